import numpy as np
import pandas as pd
import pytest

from riskfed.contract import MAXIMUM_WEIGHT, check_contract, violations
from riskfed.errors import ContractError, SchemaError
from riskfed.schema import Feature, Schema

LOANS = pd.DataFrame(
    {
        "amount": [1000.0, 2500.5, np.nan],
        "grade": ["b", "a", None],
        "purpose": pd.Categorical(["car", "home", "car"]),
        "branch": ["x", "y", "z"],
        "default": [0, 1, 0],
    }
)
SCHEMA = Schema.from_frame(
    LOANS, target="default", exclude=["branch"], ordinal={"grade": ["a", "b", "c"]}, ranges={"amount": (0, 10_000)}
)


def test_encoding_is_the_stated_one():
    assert SCHEMA.columns == ("amount", "grade", "purpose=car", "purpose=home")
    expected = np.float32([[1000, 1, 1, 0], [2500.5, 0, 0, 1], [np.nan, np.nan, 1, 0]])
    np.testing.assert_array_equal(SCHEMA.encode(LOANS), expected)
    assert SCHEMA.encode(LOANS).dtype == np.float32
    assert SCHEMA.labels(LOANS).tolist() == [0, 1, 0]
    assert SCHEMA.weights(LOANS).tolist() == [1, 1, 1]


def test_fingerprint_changes_with_anything_that_changes_the_encoding():
    again = Schema(**SCHEMA.model_dump(mode="json"))
    assert again == SCHEMA
    assert again.fingerprint == SCHEMA.fingerprint
    reordered = SCHEMA.model_copy(update={"features": SCHEMA.features[::-1]})
    assert reordered.fingerprint != SCHEMA.fingerprint
    assert SCHEMA.model_copy(update={"version": "2"}).fingerprint != SCHEMA.fingerprint


def test_characters_that_xgboost_refuses_are_replaced():
    feature = Feature(name="savings[1]", encoding="onehot", levels=("<100", "100-500"))
    assert feature.columns == ("savings(1)=under 100", "savings(1)=100-500")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"target": "amount"}, "columns named twice: amount"),
        ({"target": "y", "colour": 1}, "colour"),
        ({"target": "y", "features": ()}, "features"),
    ],
)
def test_an_inconsistent_schema_is_refused(fields, reason):
    with pytest.raises(SchemaError, match=reason):
        Schema(**{"features": (Feature(name="amount"),), **fields})


def test_a_date_has_no_encoding():
    frame = pd.DataFrame({"opened": pd.to_datetime(["2026-01-01"]), "y": [0]})
    with pytest.raises(SchemaError, match="column opened has type datetime64"):
        Schema.from_frame(frame, target="y")


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda f: f.drop(columns="amount"), "missing column: column amount"),
        (lambda f: f.assign(amount=["731337", "b", "c"]), "wrong type, expected a number, got .*: column amount"),
        (lambda f: f.assign(amount=[-731337.0, 1, 2]), "below the schema's minimum 0: column amount, 1 rows"),
        (lambda f: f.assign(amount=[731337.0, 731337, 2]), "above the schema's maximum 10000: column amount, 2 rows"),
        (lambda f: f.assign(amount=[np.inf, 1, 2]), "infinite, or too large for float32: column amount, 1 rows"),
        (lambda f: f.assign(grade=["a", "731337", "b"]), "level that the schema does not list: column grade, 1 rows"),
        (lambda f: f.assign(default=[0, 731337, 1]), "label other than 0 and 1: column default, 1 rows"),
        (lambda f: f.assign(default=[0, np.nan, 1]), "label other than 0 and 1: column default, 1 rows"),
        (lambda f: f.drop(columns="default"), "missing column: column default"),
    ],
)
def test_a_broken_rule_is_named_with_column_and_count_and_no_value(change, finding):
    with pytest.raises(ContractError, match=finding) as caught:
        check_contract(change(LOANS), SCHEMA)
    assert "731337" not in str(caught.value)


def test_all_findings_are_listed():
    assert len(violations(LOANS.drop(columns=["amount", "grade"]), SCHEMA)) == 2


def test_missing_values_where_none_are_allowed():
    schema = Schema(target="default", features=(Feature(name="amount", nullable=False),))
    with pytest.raises(ContractError, match="missing value where the schema allows none: column amount, 1 rows"):
        check_contract(LOANS, schema)


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, MAXIMUM_WEIGHT * 2])
def test_impossible_weights(weight):
    schema = Schema(target="default", weight="w", features=(Feature(name="amount"),))
    with pytest.raises(ContractError, match="column w, 1 rows"):
        check_contract(LOANS.assign(w=[1.0, 2.0, weight]), schema)
