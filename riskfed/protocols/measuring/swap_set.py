"""Model against champion on the same loans: whose approvals differ at the same rate, and whether the AUCs do.

    1  the champion's score cells -> its exact AUC
    2  loans by the champion's points -> its cut-off, for the new model's rate of approval
    3  goods and bads by the two decisions
    4  sums of products of each loan's placements by either score -> DeLong's paired standard error

Who learns what: the banks pooled counts, of the champion down to single scores as of the new model, and two sums of products. Of what is
released, the swap set is left out where one of its four cells holds fewer loans than the least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskfed.evaluation.cells import is_publishable
from riskfed.evaluation.discrimination import covariance, cutoff_at, interval
from riskfed.evaluation.record import SwapSet
from riskfed.protocols.measuring.score_cells import ScoreCells, score_cells
from riskfed.protocols.measuring.scored import ScoredLoans, sum_tables
from riskfed.protocols.program import Program

_SIDES = ("neither", "out", "in", "both")
"""By 2 x (approved by the new model) + (approved by the champion)."""
_MOST_BITS = 61


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A bank's loans by one score, and what is pooled of it.

    Attributes:
        loans: the bank's.
        cells: pooled score cells.
        cutoff: position of the points from which a loan is approved.
    """

    loans: ScoredLoans
    cells: ScoreCells
    cutoff: int


def swap_set(
    model: Decided, champion: ScoredLoans, champion_sha256: str, approval_rate: float, public: tuple[int, int]
) -> Program[SwapSet]:
    """One bank's side.

    Args:
        model: the new model's side, of loans of both outcomes.
        champion: the same loans in the same order as the champion scores them.
        champion_sha256: of the champion.
        approval_rate: share that the new model approves.
        public: how many points the scale has, and the least cell.
    """
    size, least = public
    cells = yield from score_cells(champion.margins, champion.labels)  # 1
    (by_points,) = yield from sum_tables([champion.by_points(size).sum(axis=1)])  # 2
    other = Decided(champion, cells, cutoff_at(by_points, approval_rate, least))
    (counts,) = yield from sum_tables([_decisions(model, other)])  # 3
    difference = model.cells.auc() - cells.auc()
    variance = yield from _variance_of_difference(model, other)  # 4
    shown = all(is_publishable(rows, least) for rows in counts.sum(axis=1).tolist())
    named: dict[str, int | None] = {
        f"{side}_{outcome}": count if shown else None
        for side, row in zip(_SIDES, counts.tolist(), strict=True)
        for outcome, count in zip(("goods", "bads"), row, strict=True)
    }
    return SwapSet(
        champion_sha256=champion_sha256,
        approval_rate=approval_rate,
        champion_auc=cells.auc(),
        auc_difference=interval(difference, variance, -1.0, 1.0),
        **named,
    )


def _decisions(model: Decided, champion: Decided) -> np.ndarray:
    """(4, 2) int64 goods and bads of a bank by the two decisions."""
    new, old = (side.loans.points >= side.cutoff for side in (model, champion))
    codes = 4 * new.astype(np.int64) + 2 * old + (model.loans.labels != 0)
    return np.bincount(codes, minlength=8).reshape(4, 2).astype(np.int64)


def _variance_of_difference(model: Decided, champion: Decided) -> Program[float | None]:
    """DeLong's variance of the difference of two AUCs; None unless there are two goods and two bads."""
    one, other = model.cells.placements, champion.cells.placements
    goods, bads = one.totals
    # Of a bad a product is at most (2 goods)^2. Beyond what fits, the last bits of each are rounded away.
    dropped = [max(0, (4 * n * n * m).bit_length() - _MOST_BITS) for n, m in ((goods, bads), (bads, goods))]
    here, there = (side.cells.positions(side.loans.margins) for side in (model, champion))
    bad = model.loans.labels != 0
    own = [
        _product_sum(one.of_bads[here[bad]], other.of_bads[there[bad]], dropped[0]),
        _product_sum(one.of_goods[here[~bad]], other.of_goods[there[~bad]], dropped[1]),
    ]
    (pooled,) = yield from sum_tables([np.array(own, dtype=np.int64)], 2 << _MOST_BITS)
    products = [int(total) << bits for total, bits in zip(pooled, dropped, strict=True)]
    shared = covariance(one, other, (products[0], products[1]))
    variances = one.variance(), other.variance()
    if shared is None or variances[0] is None or variances[1] is None:
        return None
    return variances[0] + variances[1] - 2 * shared


def _product_sum(one: np.ndarray, other: np.ndarray, dropped: int) -> int:
    half = (1 << dropped) >> 1
    return int((((one * other) + half) >> dropped).sum())
