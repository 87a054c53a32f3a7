"""Records: the same however they come in batches, wherever they are stored, and recognised by their digest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.contract import Batch, Findings, Violation
from riskfed.errors import ContractError
from riskfed.protocols.records import Records, is_held_out, row_hash
from riskfed.schema import Feature, Schema
from riskfed.storage import MEMORY, Scratch, Storage

SCHEMA = Schema(
    target="default",
    weight="w",
    features=(
        Feature(name="amount", minimum=0, nullable=False),
        Feature(name="dti"),
        Feature(name="grade", encoding="ordinal", levels=("A", "B", "C")),
        Feature(name="region", encoding="onehot", levels=(1, 2)),
    ),
)


def loans(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": rng.integers(1, 10_000, rows),
            "dti": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(30, 10, rows)),
            "grade": rng.choice(np.array(["A", "B", "C", None], dtype=object), rows),
            "region": rng.integers(1, 3, rows),
            "default": rng.integers(0, 2, rows),
            "w": rng.random(rows) + 0.5,
        }
    )


def batches(frame: pd.DataFrame, borders: list[int]) -> list[Batch]:
    places = [0, *sorted(borders), len(frame)]
    return [Batch(frame.iloc[start:stop]) for start, stop in pairwise(places)]


@given(st.lists(st.integers(0, 90), max_size=5), st.booleans())
def test_batches_make_no_difference(borders: list[int], categorical: bool) -> None:
    frame = loans(90)
    expected = Records.from_frame(frame, SCHEMA)
    if categorical:
        frame = frame.astype({"grade": "category", "region": "category"})
    records = Records.from_batches(batches(frame, borders), SCHEMA)
    assert np.array_equal(records.matrix, SCHEMA.encode(loans(90)), equal_nan=True)
    assert np.array_equal(records.labels, expected.labels)
    assert np.array_equal(records.weights, frame["w"].to_numpy(dtype=np.float32))
    assert records.digest() == expected.digest()


@pytest.mark.parametrize("kind", ["memory", "scratch"])
def test_storage_makes_no_difference(tmp_path: Path, kind: str) -> None:
    storage: Storage = MEMORY if kind == "memory" else Scratch(tmp_path / "new" / "scratch")
    frame = loans(40_000)
    records = Records.from_batches(batches(frame, [10_000, 10_001, 30_000]), SCHEMA, storage)
    assert np.array_equal(records.matrix, SCHEMA.encode(frame), equal_nan=True)
    assert records.column(1).flags.c_contiguous
    development, held_out = records.hold_out(0.3, 5)
    wanted = is_held_out(SCHEMA.encode(frame).T, 0.3, 5)
    assert np.array_equal(held_out.matrix, SCHEMA.encode(frame[wanted]), equal_nan=True)
    assert np.array_equal(development.labels, SCHEMA.labels(frame[~wanted]))
    assert np.array_equal(development.weights, SCHEMA.weights(frame[~wanted]))
    assert development.storage is storage
    assert development.digest() == Records.from_frame(frame[~wanted], SCHEMA).digest()


def test_violations_are_added_up_over_all_batches() -> None:
    frame = loans(100)
    frame.loc[[3, 50, 99], "amount"] = -1
    frame.loc[[20, 70], "grade"] = "ZEBRA"
    frame["default"] = frame["default"].astype(float)
    frame.loc[[98], "default"] = np.nan
    with pytest.raises(ContractError) as whole:
        Records.from_frame(frame, SCHEMA)
    with pytest.raises(ContractError) as pieces:
        Records.from_batches(batches(frame, [10, 60, 80]), SCHEMA)
    assert str(pieces.value) == str(whole.value)
    for clause in ("column amount, 3 rows", "column grade, 2 rows", "column default, 1 rows"):
        assert clause in str(whole.value)
    assert "ZEBRA" not in str(whole.value)


def test_what_a_connector_found_is_not_found_again() -> None:
    findings = Findings(SCHEMA)
    told = Violation("wrong type, expected a number, got text", "amount", 2)
    assert not findings.look_at(Batch(loans(5).assign(amount="x"), (told,)))
    assert not findings.look_at(Batch(loans(5).assign(amount="x"), (told,)))
    assert findings.look_at(Batch(loans(5)))
    assert findings.violations == [Violation(told.rule, "amount", 4)]


def test_applicants_have_neither_target_nor_weight() -> None:
    applicants = loans(5).drop(columns=["default", "w"])
    assert Findings(SCHEMA, labelled=False).look_at(Batch(applicants))
    assert not Findings(SCHEMA).look_at(Batch(applicants))


def test_no_records_at_all_still_meet_or_break_the_contract(tmp_path: Path) -> None:
    assert Records.from_frame(loans(0), SCHEMA).matrix.shape == (0, 5)
    assert len(Records.from_batches([Batch(loans(0))], SCHEMA, Scratch(tmp_path))) == 0
    with pytest.raises(ContractError, match="missing column: column dti"):
        Records.from_frame(loans(0).drop(columns="dti"), SCHEMA)


@given(st.randoms(use_true_random=False))
def test_the_digest_knows_rows_but_not_their_order(random: object) -> None:
    frame = loans(60)
    order = list(range(60))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert Records.from_frame(frame.iloc[order], SCHEMA).digest() == Records.from_frame(frame, SCHEMA).digest()


@pytest.mark.parametrize(
    ("column", "value"), [("amount", 10_001), ("dti", 0.5), ("grade", None), ("default", None), ("w", 3.0)]
)
def test_the_digest_notices_every_change(column: str, value: float | None) -> None:
    frame = loans(20_000)
    changed = frame.copy()
    changed.loc[17_000, column] = 1 - frame.loc[17_000, "default"] if column == "default" else value
    changed.loc[17_000, "grade"] = None if column == "grade" else frame.loc[17_000, "grade"]
    if column == "grade":
        frame.loc[17_000, "grade"] = "B"
    assert Records.from_frame(changed, SCHEMA).digest() != Records.from_frame(frame, SCHEMA).digest()


def test_the_digest_counts_equal_rows() -> None:
    once, twice, thrice = (Records.from_frame(pd.concat([loans(1)] * number), SCHEMA) for number in (1, 2, 3))
    assert len({once.digest(), twice.digest(), thrice.digest()}) == 3


def test_zeros_and_missing_values_have_one_hash() -> None:
    missing = np.array([0x7FC00000, 0xFFC00001], dtype=np.uint32).view(np.float32)
    columns = np.array([missing, [0.0, -0.0]], dtype=np.float32)
    first, second = row_hash(columns, 3)
    assert first == second
    assert row_hash(columns, 4)[0] != first
