"""The scale of points: its definition, its ends and its ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError
from riskfed.scorecard.points import ScoreScale


def test_the_scale_by_its_definition() -> None:
    odds = np.array([50, 100, 25, 200, 3.125])
    assert ScoreScale().points(1 / (1 + odds)).tolist() == [600, 620, 580, 640, 520]


def test_another_scale() -> None:
    scale = ScoreScale(base=500, odds=1, pdo=40, minimum=0, maximum=1000)
    assert scale.points(np.array([[0.5, 1 / 3], [1 / 5, 1 / 9]])).tolist() == [[500, 540], [580, 620]]
    assert scale.offset == 500


def test_the_ends() -> None:
    points = ScoreScale().points(np.array([0.0, 1e-300, 1.0, 1 - 1e-16], dtype=np.float64))
    assert points.tolist() == [850, 850, 300, 300]
    assert points.dtype == np.int32
    assert ScoreScale().points_of_log_odds(np.array([np.inf, -np.inf])).tolist() == [300, 850]


@given(st.lists(st.floats(-30, 30), min_size=2))
def test_points_fall_as_the_log_odds_of_default_rise(log_odds: list[float]) -> None:
    margins = np.sort(np.array(log_odds))
    points = ScoreScale().points_of_log_odds(margins)
    assert (np.diff(points) <= 0).all()
    assert ((points >= 300) & (points <= 850)).all()


@given(st.floats(1e-6, 1 - 1e-6))
def test_both_ways_agree(pd: float) -> None:
    scale = ScoreScale()
    exact = scale.offset - scale.factor * np.log(pd / (1 - pd))
    assert abs(int(scale.points(pd)) - np.clip(exact, 300, 850)) <= 0.5 + 1e-9


@pytest.mark.parametrize("pd", [np.nan, -0.1, 1.1])
def test_what_is_no_probability_is_refused(pd: float) -> None:
    with pytest.raises(ConfigurationError, match="outside of"):
        ScoreScale().points(np.array([0.5, pd]))


@pytest.mark.parametrize("fields", [{"odds": 0}, {"pdo": -20}, {"minimum": 850}, {"base": float("nan")}])
def test_an_impossible_scale_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="scale of points"):
        ScoreScale(**fields)  # type: ignore[arg-type]
