"""The form encodes an applicant as the schema encodes a loan, and refuses everything else without saying what it was."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.schema import Feature, Schema
from riskfed.serving.engine.applicant import ApplicantError, ApplicantForm
from tests.serving.models import SCHEMA, loans

FORM = ApplicantForm(SCHEMA)
SOUND = {"income": 30_000, "balance/limit": 0.5, "late payments": "one", "region": 3, "free": None}


def codes(applicant: dict[str, object]) -> dict[tuple[str, ...], str]:
    with pytest.raises(ApplicantError) as refused:
        FORM.encode(applicant)
    return {problem.path: problem.code for problem in refused.value.problems}


def test_encodes_as_the_schema_does() -> None:
    frame = loans(500, 5)
    applicants = frame.drop(columns="default").astype(object).where(frame.notna(), None).to_dict("records")
    rows = np.concatenate([FORM.encode(json.loads(json.dumps(applicant))) for applicant in applicants])
    np.testing.assert_array_equal(rows, SCHEMA.encode(frame))
    assert rows.dtype == np.float32


@given(st.floats(width=64, allow_nan=False, min_value=-3e38, max_value=3e38) | st.integers(-(2**53), 2**53))
def test_numbers_round_to_float32_as_in_a_frame(value: float) -> None:
    schema = Schema(target="y", features=(Feature(name="x"),))
    encoded = ApplicantForm(schema).encode({"x": value})
    np.testing.assert_array_equal(encoded, schema.encode(pd.DataFrame({"x": [value]})))


def test_a_nullable_field_may_be_null_or_absent() -> None:
    absent = FORM.encode({name: value for name, value in SOUND.items() if name not in ("region", "free")})
    null = FORM.encode({**SOUND, "region": None, "free": None})
    np.testing.assert_array_equal(absent, null)
    assert np.isnan(absent[0, -4:]).all()


def test_all_problems_are_named_at_once() -> None:
    assert codes({"balance/limit": 9, "late payments": "sometimes", "region": "1", "colour": "red"}) == {
        ("colour",): "unknown",
        ("income",): "missing",
        ("balance/limit",): "out_of_range",
        ("late payments",): "unknown_level",
        ("region",): "wrong_type",
    }


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("income", None, "wrong_type"),
        ("income", True, "wrong_type"),
        ("income", "30000", "wrong_type"),
        ("income", [1], "wrong_type"),
        ("income", -0.01, "out_of_range"),
        ("income", 1_000_000.01, "out_of_range"),
        ("income", float("nan"), "out_of_range"),
        ("free", float("inf"), "out_of_range"),
        ("free", 1e39, "out_of_range"),
        ("free", 10**400, "out_of_range"),
        ("late payments", 1, "wrong_type"),
        ("late payments", "", "unknown_level"),
        ("late payments", {"none": 1}, "wrong_type"),
        ("region", True, "wrong_type"),
        ("region", 1.5, "wrong_type"),
        ("region", 4, "unknown_level"),
    ],
)
def test_refuses(field: str, value: object, code: str) -> None:
    assert codes({**SOUND, field: value}) == {(field,): code}


@pytest.mark.parametrize(("field", "value"), [("income", 0), ("income", 1_000_000), ("region", 2.0), ("free", -3.4e38)])
def test_accepts(field: str, value: object) -> None:
    assert FORM.encode({**SOUND, field: value}).shape == (1, 7)


def test_the_example_and_its_json_schema_describe_a_sound_applicant() -> None:
    FORM.encode(FORM.example())
    described = FORM.json_schema()
    assert described["required"] == ["income", "late payments"]
    assert described["additionalProperties"] is False
    assert described["properties"]["region"] == {"enum": [1, 2, 3, None]}
    assert described["properties"]["income"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 1_000_000,
        "description": "a year, in EUR",
    }


@given(
    st.dictionaries(
        st.text(max_size=200), st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=5
    )
)
def test_no_message_holds_a_value(applicant: dict[str, object]) -> None:
    secret = "S3cret-Value"
    with pytest.raises(ApplicantError) as refused:
        FORM.encode({**applicant, "income": secret, "late payments": secret, "region": secret, "x" * 200 + secret: 1})
    assert secret not in str(refused.value)
    assert secret not in repr([(p.code, p.detail, p.path) for p in refused.value.problems])
