"""The verdict: each figure against its limit, on the right side of it, and the worst colour of all."""

from __future__ import annotations

from functools import cache

import pytest

from riskfed.errors import ConfigurationError
from riskfed.evaluation.limits import Limit, Limits, ScorecardFigures, judge
from riskfed.evaluation.record import Evaluation
from riskfed.jobs import HorizontalXgboost
from riskfed.simulation import simulate
from tests.flower.federation import records, schema

NOTHING = Limits(**{name: Limit() for name in Limits.model_fields})


@cache
def evaluation() -> Evaluation:
    job = HorizontalXgboost(n_estimators=5, max_depth=2, max_bin=8, validation_fraction=0.4)
    found = simulate(records(), schema(), job).evaluation
    assert found is not None
    return found


def values() -> dict[str, float]:
    worst = ScorecardFigures(vif=("a", 7.0), p_value=("b", 0.2))
    return {check.name: check.value for check in judge(evaluation(), NOTHING, worst).checks}


@pytest.mark.parametrize("name", sorted(values()))
def test_a_figure_is_held_against_its_limit_from_the_right_side(name: str) -> None:
    value, least = values()[name], name in {"auc", "ks", "auc_difference", "jeffreys_p", "air"}
    worst = ScorecardFigures(vif=("a", 7.0), p_value=("b", 0.2))
    inside, beyond = (value - 0.01, value + 0.01) if least else (value + 0.01, value - 0.01)
    further = beyond + 0.01 if least else beyond - 0.01
    for limit, colour in (
        (Limit(amber=value), "green"),  # the limit itself is still kept
        (Limit(amber=inside), "green"),
        (Limit(amber=beyond), "amber"),
        (Limit(amber=beyond, red=inside), "amber"),
        (Limit(amber=further, red=beyond), "red"),
    ):
        verdict = judge(evaluation(), NOTHING.model_copy(update={name: limit}), worst)
        assert verdict.colour == colour, limit
        assert [check.colour for check in verdict.checks if check.name == name] == [colour]
        assert bool(verdict.reasons) == (colour != "green")


def test_the_worst_colour_is_the_verdict_and_comes_first() -> None:
    limits = NOTHING.model_copy(update={"ks": Limit(amber=0.99), "auc": Limit(amber=0.995, red=0.99)})
    verdict = judge(evaluation(), limits)
    assert verdict.colour == "red"
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["red", "amber"]


def test_many_grades_make_a_low_one_less_telling() -> None:
    grades = evaluation().grades
    least = min(grade.jeffreys_p for grade in grades)
    assert values()["jeffreys_p"] == min(1.0, least * len(grades))


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"auc": {"amber": 0.6, "red": 0.7}}, "auc: red must be below amber"),
        ({"psi": {"amber": 0.3, "red": 0.1}}, "psi: red must be above amber"),
        ({"psi": {"yellow": 0.3}}, "psi.yellow"),
        ({"gini": {"amber": 0.3}}, "gini"),
        ({"auc": {"amber": float("nan")}}, "auc.amber"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(stated: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Limits(**stated)
