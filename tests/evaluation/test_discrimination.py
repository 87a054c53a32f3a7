"""AUC, DeLong's variances and cut-offs against plain computations over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from riskfed.evaluation.discrimination import (
    Placements,
    auc_by_points,
    covariance,
    cutoff_at,
    interval,
    ks_at,
)

SCORES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), min_size=6, max_size=40)


def placements(scores: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the bads and of the goods, as DeLong et al. define them, by all pairs."""
    wins = (scores[bad][:, None] > scores[~bad]) + 0.5 * (scores[bad][:, None] == scores[~bad])
    return wins.mean(axis=1), wins.mean(axis=0)


def cells(scores: np.ndarray, bad: np.ndarray) -> Placements:
    return Placements.of(np.bincount(scores[~bad], minlength=10), np.bincount(scores[bad], minlength=10))


@given(SCORES)
def test_auc_and_delong_are_those_of_all_pairs(loans: list[tuple[int, int, bool]]) -> None:
    one, other, bad = (np.array(column) for column in zip(*loans, strict=True))
    assume(2 <= bad.sum() <= len(bad) - 2)
    of_one, of_other = placements(one, bad), placements(other, bad)
    here, there = cells(one, bad), cells(other, bad)
    assert here.auc() == pytest.approx(roc_auc_score(bad, one), abs=1e-15)
    expected = [np.cov(a, b)[0, 1] / len(a) for a, b in zip(of_one, of_other, strict=True)]
    products = (
        int((here.of_bads[one[bad]] * there.of_bads[other[bad]]).sum()),
        int((here.of_goods[one[~bad]] * there.of_goods[other[~bad]]).sum()),
    )
    assert covariance(here, there, products) == pytest.approx(sum(expected), abs=1e-15)
    variance = sum(np.var(v, ddof=1) / len(v) for v in of_one)
    assert here.variance() == pytest.approx(variance, abs=1e-15)


def test_variance_of_a_hundred_million_loans_does_not_overflow() -> None:
    goods, bads = np.full(10, 10**8), np.full(10, 10**7)
    few = Placements.of(goods // 10**6, bads // 10**6)
    many = Placements.of(goods, bads)
    assert many.auc() == few.auc() == 0.5
    assert many.variance() == pytest.approx(few.variance() / 10**6, rel=0.02)


def test_one_default_has_an_auc_and_no_interval() -> None:
    only = Placements.of(np.array([3, 0]), np.array([0, 1]))
    assert (only.auc(), only.variance()) == (1.0, None)
    assert interval(1.0, None).low is None
    cut = interval(0.99, 0.01, 0.0, 1.0)
    assert (cut.high, cut.standard_error) == (1.0, 0.1)
    assert cut.low == pytest.approx(0.99 - 1.96 * 0.1, abs=1e-5)


def test_more_points_are_safer() -> None:
    counts = np.array([[0, 4], [1, 1], [5, 0]])
    assert auc_by_points(counts) == pytest.approx(1 - 0.5 / 30)
    assert ks_at(counts) == 1, "up to here are all bads and one good in six"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.floats(0.05, 0.95), st.integers(1, 20))
def test_cut_off_is_the_nearest_that_leaves_no_small_side(rows: list[int], rate: float, least: int) -> None:
    counts = np.array(rows)
    assume(counts.sum() >= least)
    at = cutoff_at(counts, rate, least)
    total = counts.sum()

    def is_allowed(position: int) -> bool:
        sides = counts[:position].sum(), counts[position:].sum()
        return all(side == 0 or side >= least for side in sides)

    assert is_allowed(at)
    best = min(abs(counts[i:].sum() - rate * total) for i in range(len(rows)) if is_allowed(i))
    assert abs(counts[at:].sum() - rate * total) == best
