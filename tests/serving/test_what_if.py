"""What is said to change a score does: every value is one the form takes, and scoring it anew gives the points that were promised."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.schema import Attribute, Schema
from riskfed.serving.engine import what_if
from riskfed.serving.engine.applicant import ApplicantError
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.what_if import MOST_POINTS, WORTH_IT, alternatives, immutable
from tests.serving.engines import engine_for, scorecard, taiwan_model
from tests.serving.models import SCHEMA, loans, make_release

TREES, CARD = engine_for(make_release().model, SCHEMA), engine_for(scorecard().to_bytes(), SCHEMA)
NAMES = [feature.name for feature in SCHEMA.features]


def applicants(rows: int, seed: int) -> list[dict[str, object]]:
    frame = loans(rows, seed).drop(columns="default")
    return list(json.loads(frame.to_json(orient="records")))


@pytest.mark.parametrize("engine", [TREES, CARD], ids=["trees", "scorecard"])
def test_every_point_of_a_curve_is_the_score_of_that_value(engine: ScoringEngine) -> None:
    for applicant in applicants(12, 1):
        own = engine.score(applicant).points
        for found in alternatives(engine, applicant, NAMES):
            scored = {value: engine.score({**applicant, found.feature: value}).points for value, _ in found.curve}
            assert dict(found.curve) == scored
            assert found.current == applicant[found.feature]
            assert scored[found.best] == found.best_points == max(scored.values())
            if found.nearest is not None:
                assert scored[found.nearest] == found.nearest_points >= own + WORTH_IT
            else:
                assert max(scored.values()) < own + WORTH_IT


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1_000_000))
def test_no_income_gives_more_than_the_best(seed: int, income: float) -> None:
    """One value in each interval between the thresholds is enough."""
    applicant = applicants(1, seed)[0]
    (found,) = alternatives(TREES, applicant, ["income"])
    assert TREES.score({**applicant, "income": income}).points <= found.best_points


def test_nearest_is_nearer_than_any_other_that_is_worth_it() -> None:
    for applicant in applicants(12, 4):
        own = TREES.score(applicant).points
        for found in alternatives(TREES, applicant, ["income"]):
            better = [value for value, points in found.curve if points >= own + WORTH_IT]
            if better:
                assert found.nearest == min(better, key=lambda value: abs(value - applicant["income"]))


def test_curves_rise_by_value_and_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_for(taiwan_model(), taiwan_schema())
    frame = load_taiwan().drop(columns=["id", "default"]).iloc[:6]
    wanted = ["limit_bal", "bill_amt1", "pay_amt1", "pay_0"]
    for applicant in json.loads(frame.to_json(orient="records")):
        for most in (MOST_POINTS, 8):
            monkeypatch.setattr(what_if, "MOST_POINTS", most)
            for found in alternatives(engine, applicant, wanted):
                values = [value for value, _ in found.curve]
                assert values == sorted(set(values))
                assert len(values) <= most
                assert {found.current, found.best} <= set(values)
                assert found.nearest is None or found.nearest in values


def test_values_of_whole_numbers_are_whole_and_have_few_digits() -> None:
    engine = engine_for(taiwan_model(), taiwan_schema())
    applicant = json.loads(load_taiwan().drop(columns=["id", "default"]).iloc[0].to_json())
    values = [value for found in alternatives(engine, applicant, ["limit_bal", "pay_0"]) for value, _ in found.curve]
    assert all(isinstance(value, int) for value in values)
    assert all(len(str(abs(value)).rstrip("0")) <= 2 for value in values)


@given(
    st.floats(-(2.0**99), 2.0**99, width=32),
    st.floats(0, 2.0**99, width=32),
    st.floats(-(2.0**99), 2.0**99) | st.integers(-99, 99),
)
def test_a_rounded_value_stays_in_its_interval(low: float, width: float, near: float) -> None:
    high = float(np.float32(low + width))
    value = what_if._between(low, high, float(near))
    assert low <= value <= high
    if low <= near <= high:
        assert value == near


@pytest.mark.parametrize(
    ("low", "high", "near", "expected"),
    [
        (1234.5, 9000.0, 0.0, 1300.0),
        (1234.5, 1290.0, 0.5, 1240.0),
        (1234.5, 1236.0, 1.0, 1235.0),
        (0.5, 1.49, 0.0, 1.0),
        (0.5, 0.9, 0.0, 0.5),
        (-50.0, -12.3, 0.0, -13.0),
        (0.123456, 7.0, 8.25, 7.0),
        (0.29, 0.3000001, 2.5, 0.3),
    ],
)
def test_which_value_stands_for_an_interval(low: float, high: float, near: float, expected: float) -> None:
    assert what_if._between(low, high, near) == expected


def test_features_of_the_reasons_are_the_default() -> None:
    for applicant in applicants(10, 6):
        reasons = [reason.feature for reason in TREES.score(applicant).reasons]
        assert [found.feature for found in alternatives(TREES, applicant)] == reasons


def test_without_reasons_the_strongest_features_are_tried() -> None:
    everyone = applicants(400, 8)
    best = max(everyone, key=lambda applicant: TREES.score(applicant).points)
    assert not TREES.score(best).reasons or alternatives(TREES, best)
    unmoved = {**best, "late payments": "none"}
    assert alternatives(TREES, unmoved)


def test_what_nobody_is_told_to_change_is_left_out() -> None:
    assert immutable(taiwan_schema()) == ("sex", "marriage", "age")
    protected = Attribute(name="late payments", encoding="ordinal", levels=("none", "one", "many"), role="protected")
    schema = Schema(**{**SCHEMA.model_dump(), "attributes": (protected,)})
    engine, applicant = engine_for(make_release().model, schema), applicants(1, 3)[0]
    assert "late payments" in [found.feature for found in alternatives(TREES, applicant, NAMES)]
    assert "late payments" not in [found.feature for found in alternatives(engine, applicant, NAMES)]


def test_a_missing_value_is_no_improvement_but_can_be_filled_in() -> None:
    applicant = {**applicants(1, 3)[0], "balance/limit": None, "region": None}
    filled, region = alternatives(TREES, applicant, ["balance/limit", "region"])
    assert filled.current is None
    assert all(value is not None and not math.isnan(value) for value, _ in filled.curve)
    assert [value for value, _ in region.curve] == [1, 2, 3]


def test_special_values_are_not_proposed() -> None:
    schema = Schema(
        **{
            **SCHEMA.model_dump(),
            "features": [
                {**feature.model_dump(), "special_values": (-0.1,)}
                if feature.name == "balance/limit"
                else feature.model_dump()
                for feature in SCHEMA.features
            ],
        }
    )
    engine, applicant = engine_for(scorecard().to_bytes(), schema), applicants(1, 3)[0]
    values = [value for value, _ in alternatives(engine, applicant, ["balance/limit"])[0].curve]
    assert -0.1 not in values
    assert len(values) >= 3


def test_applicants_that_do_not_meet_the_schema_are_refused() -> None:
    with pytest.raises(ApplicantError):
        alternatives(TREES, {"income": "much"})
