"""Model against champion: swap set and paired DeLong test, against the computation on pooled loans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from riskfed.evaluation.record import Evaluation, SwapSet
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.measuring.score_cells import score_cells
from riskfed.protocols.program import run_alone
from tests.evaluation.loans import SCALE, SCHEMA, Formula, loans, programs
from tests.helpers import add_up

DEVELOPMENT, HELD_OUT = loans(2000, 1), loans(2500, 2)
CHAMPION = "c" * 64


class Crude(Formula):
    """A champion that looks at two columns, and ties often."""

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        parts = self.reason_contributions(matrix)
        return (self.level + np.round(parts[:, 0] + parts[:, 2], 1)).astype(np.float32)


def evaluated(champion: Any, held_out: pd.DataFrame = HELD_OUT, banks: int = 3, **fields: Any) -> Evaluation:
    job = HorizontalXgboost(**{"champion_sha256": CHAMPION, "approval_rate": 0.7, **fields})
    found = add_up(programs(DEVELOPMENT, held_out, banks, champion=champion, job=job))
    assert all(other == found[0] for other in found)
    return found[0]


def swapped(champion: Any, **more: Any) -> SwapSet:
    swap = evaluated(champion, **more).swap
    assert swap is not None
    return swap


def test_swap_set_is_the_pooled_one() -> None:
    got = evaluated(Crude())
    swap = got.swap
    assert swap is not None
    matrix, bad = SCHEMA.encode(HELD_OUT), HELD_OUT["default"].to_numpy() == 1
    new, old = (SCALE.points_of_log_odds(model.margins(matrix)) for model in (Formula(), Crude()))
    rate = (new >= got.cutoff).mean()
    apart = {at: abs((old >= at).mean() - rate) for at in range(300, 851)}
    cutoff = max(at for at, distance in apart.items() if distance == min(apart.values()))
    for (a, b), name in {(1, 1): "both", (1, 0): "in", (0, 1): "out", (0, 0): "neither"}.items():
        here = ((new >= got.cutoff) == a) & ((old >= cutoff) == b)
        assert (getattr(swap, f"{name}_goods"), getattr(swap, f"{name}_bads")) == (
            (here & ~bad).sum(),
            (here & bad).sum(),
        )
    assert swap.approval_rate == got.approval_rate == rate
    assert swap.champion_sha256 == CHAMPION


def test_paired_difference_is_delongs() -> None:
    swap = swapped(Crude())
    matrix, bad = SCHEMA.encode(HELD_OUT), HELD_OUT["default"].to_numpy() == 1
    scores = [model.margins(matrix) for model in (Formula(), Crude())]
    wins = [(s[bad][:, None] > s[~bad]) + 0.5 * (s[bad][:, None] == s[~bad]) for s in scores]
    variance = sum(
        np.var(wins[0].mean(axis=axis) - wins[1].mean(axis=axis), ddof=1) / wins[0].shape[1 - axis] for axis in (0, 1)
    )
    assert swap.champion_auc == pytest.approx(roc_auc_score(bad, scores[1]), abs=1e-15)
    expected = roc_auc_score(bad, scores[0]) - roc_auc_score(bad, scores[1])
    assert swap.auc_difference.value == pytest.approx(expected, abs=1e-14)
    assert swap.auc_difference.standard_error == pytest.approx(np.sqrt(variance), abs=1e-12)


def test_the_same_model_differs_in_nothing() -> None:
    swap = swapped(Formula())
    assert (swap.auc_difference.value, swap.auc_difference.standard_error) == (0.0, 0.0)
    assert (swap.in_goods, swap.in_bads, swap.out_goods, swap.out_bads) == (0, 0, 0, 0)
    assert swap.both_goods is not None
    assert swap.both_goods > 1000


def test_a_small_cell_hides_the_swap_set_and_not_the_difference() -> None:
    almost = Formula(weight=1.1, dtype=np.float64)
    assert swapped(almost, least_cell=1).in_goods is not None
    evaluation = evaluated(almost, least_cell=100)
    assert evaluation.swap is not None
    assert evaluation.swap.in_goods is evaluation.swap.both_bads is None
    assert evaluation.swap.auc_difference.standard_error is not None
    assert evaluation.left_out >= 4


@pytest.mark.parametrize("banks", [1, 4])
def test_it_does_not_depend_on_who_holds_which_loan(banks: int) -> None:
    assert swapped(Crude(), banks=banks) == swapped(Crude())


def test_every_loan_is_found_in_its_cell_also_beside_zero() -> None:
    """The edge of the last cell below zero is -0.0, which as a score is 0.0 and in the next cell."""
    margins = np.float32([-3, -1e-45, -1e-45, 0.0, -0.0, 0.0, 1e-45, 2, 2])
    labels = np.float32([1, 0, 0, 1, 0, 1, 0, 0, 1])
    cells = run_alone(score_cells(margins, labels))
    found = cells.positions(margins)
    assert np.signbit(cells.upper[1])
    assert cells.upper[1] == 0
    for side, pooled in ((0, cells.goods), (1, cells.bads)):
        assert np.bincount(found[labels == side], minlength=len(pooled)).tolist() == pooled.tolist()
    assert np.abs(margins).max() <= cells.margin_bound


@given(hnp.arrays(np.float32, 30, elements=st.floats(-1e6, 1e6, width=32)), hnp.arrays(np.bool_, 30))
def test_cells_and_bound_hold_for_any_scores(margins: np.ndarray, defaults: np.ndarray) -> None:
    cells = run_alone(score_cells(margins, defaults.astype(np.float32)))
    found = cells.positions(margins)
    assert np.bincount(found[defaults], minlength=len(cells.bads)).tolist() == cells.bads.tolist()
    assert np.bincount(found[~defaults], minlength=len(cells.goods)).tolist() == cells.goods.tolist()
    assert np.abs(margins).max() <= cells.margin_bound
