"""Ids that mean the same customer become the same bytes; what is unusable is counted and never told."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from riskfed.customer_id import LONGEST_ID, CustomerId, IdFindings
from riskfed.errors import ContractError


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([7, 123]),
        pd.Series([7.0, 123.0]),
        pd.Series([7, 123], dtype="float32"),
        pd.Series([7, 123], dtype="Int64"),
        pd.Series([7, 123], dtype="uint8"),
        pd.Series([7, 123], dtype="category"),
        pd.Series(["7", " 123\t"]),
        pd.Series(["7", "123"], dtype="string"),
        pd.Series(["7", "123"], dtype="category"),
        pd.Series([Decimal("7.0"), "１２３"], dtype=object),  # full-width digits
    ],
    ids=lambda values: str(values.dtype),
)
def test_one_id_however_it_is_stored(values: pd.Series) -> None:
    ids = CustomerId().normalised(values)
    assert ids.dtype.kind == "S"
    assert ids.tolist() == [b"7", b"123"]


@pytest.mark.parametrize(
    ("rules", "given_id", "expected"),
    [
        ((), " aB ", " aB "),
        (("strip",), "\u00a0aB ", "aB"),
        (("collapse_spaces",), "a \t b", "a b"),
        (("upper",), "straße", "STRASSE"),
        (("lower",), "ÀB", "àb"),
        (("casefold",), "Straße", "strasse"),
        (("no_accents",), "Željko Ångström", "Zeljko Angstrom"),
        (("alphanumeric",), "AB_12-34/ü", "AB1234ü"),
        (("digits",), "DE 12.345-٣", "12345"),
        (("nfkc",), "e\u0301ﬁ", "éfi"),
        (("no_leading_zeros",), "00070", "70"),
        (("no_leading_zeros",), "000", "0"),
        (("strip", "upper", "alphanumeric"), " ab-1 ", "AB1"),
        (("digits", "no_leading_zeros"), "ID-0042", "42"),
    ],
)
def test_each_rule(rules: Any, given_id: str, expected: str) -> None:
    customer_id = CustomerId(normalise=rules)
    assert customer_id.normalised_one(given_id) == expected.encode()
    assert customer_id.normalised(pd.Series([given_id])).tolist() == [expected.encode()]


def test_the_table_of_the_documentation_is_true() -> None:
    lines = (Path(__file__).parents[1] / "docs" / "alignment.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| `")]
    checked = []
    for row in rows:
        for rule, result in zip(re.findall(r"`(\w+)`", row[0]), re.findall(r'`"(.*?)"`', row[-1])):
            if rule != "no_leading_zeros":
                assert CustomerId(normalise=(rule,)).normalised_one(" Àb-007 ").decode() == result
                checked.append(rule)
    assert len(checked) == 9
    assert CustomerId(normalise=("digits", "no_leading_zeros")).normalised_one(" Àb-007 ") == b"7"


def test_what_is_told_apart() -> None:
    assert CustomerId().normalised(pd.Series(["0123", "123", "123.0", "a", "A"])).tolist() == [
        b"0123",
        b"123",
        b"123.0",
        b"a",
        b"A",
    ]


@given(st.lists(st.integers(-(2**53) + 1, 2**53 - 1), unique=True, min_size=1))
def test_whole_numbers_are_the_same_as_their_digits(numbers: list[int]) -> None:
    customer_id = CustomerId()
    as_text = customer_id.normalised(pd.Series([str(number) for number in numbers]))
    assert (customer_id.normalised(pd.Series(numbers, dtype="int64")) == as_text).all()
    assert (customer_id.normalised(pd.Series(numbers, dtype="float64")) == as_text).all()


@given(st.text(max_size=40))
def test_a_text_is_normalised_or_refused_and_twice_is_once(text: str) -> None:
    customer_id = CustomerId(normalise=("nfkc", "strip", "casefold", "alphanumeric"))
    try:
        once = customer_id.normalised_one(text)
    except ContractError:
        return
    assert customer_id.normalised_one(once.decode()) == once
    assert np.array([once])[0] == once  # numpy loses nothing of it


def test_numbers_of_any_size_and_uuids() -> None:
    customer_id = CustomerId()
    assert customer_id.normalised_one(2**80) == str(2**80).encode()
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    assert customer_id.normalised_one(uuid) == str(uuid).encode()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (pd.NA, "missing"),
        (pd.NaT, "missing"),
        (Decimal("NaN"), "missing"),
        (" ", "missing"),
        (True, "neither a text nor a whole number"),
        (np.True_, "neither a text nor a whole number"),
        (1.5, "neither a text nor a whole number"),
        (Decimal("1.5"), "neither a text nor a whole number"),
        (float("inf"), "neither a text nor a whole number"),
        (pd.Timestamp("2024-01-01"), "neither a text nor a whole number"),
        (b"bytes", "neither a text nor a whole number"),
        (2.0**53, "too large to be exact"),
        (np.float32(2**24), "too large to be exact"),
        ("x" * (LONGEST_ID + 1), "longer than"),
        (10**5000, "longer than"),
        (Decimal("1e999999"), "longer than"),
        ("nul\0", "control characters"),
        ("\ud800", "control characters"),
        ("ab", "shorter than least_length"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() and len(value) < 50 else type(value).__name__,
)
def test_unusable_ids_are_refused(value: object, problem: str) -> None:
    customer_id = CustomerId(least_length=3)
    with pytest.raises(ContractError, match=problem):
        customer_id.normalised_one(value)
    with pytest.raises(ContractError, match=rf"column customer_id .*{problem}[^;]*, 1 rows\. Each"):
        customer_id.normalised(pd.Series([value, "good"], dtype=object))


def test_findings_add_up_over_batches_and_never_tell_a_value() -> None:
    findings = IdFindings(CustomerId(column="ssn", normalise=("digits",)))
    assert findings.add(pd.Series(["111-22", "333-44", "555-66"]))
    assert not findings.add(pd.Series(["111 22", None, "no digits", "777-88"]))
    assert findings.problems == {"missing, or empty once it is normalised": 2, "the same id as another row": 2}
    with pytest.raises(ContractError) as refused:
        findings.check()
    message = str(refused.value)
    assert "column ssn" in message
    assert "missing, or empty once it is normalised, 2 rows" in message
    assert "the same id as another row, 2 rows" in message
    assert not any(text in message for text in ("111", "333", "no digits", "777"))


def test_ids_keep_the_order_of_the_rows_over_batches_of_different_widths() -> None:
    findings = IdFindings(CustomerId())
    for batch in (["b", "a"], [], ["longer than before"], ["c"]):
        assert findings.add(pd.Series(batch, dtype=object))
    assert findings.check().tolist() == [b"b", b"a", b"longer than before", b"c"]
    assert len(IdFindings(CustomerId()).check()) == 0


def test_the_settings_are_strict() -> None:
    for wrong in ({"normalise": ("title",)}, {"column": ""}, {"least_length": 0}, {"salt": "x"}):
        with pytest.raises(ValidationError):
            CustomerId(**wrong)
    assert CustomerId.model_validate_json(CustomerId().model_dump_json()) == CustomerId()


def test_a_scoring_service_needs_no_pandas() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from riskfed.customer_id import CustomerId\n"
        "assert CustomerId().normalised_one(' 12 ') == b'12'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
