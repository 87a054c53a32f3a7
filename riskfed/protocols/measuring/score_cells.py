"""Measure a model on rows that lie at several banks: exact AUC, KS, log-loss and Brier score, from sums.

AUC and KS need only the order of the scores. Counts of goods and bads are taken in cells of the score's sort key; a cell that holds
both goods and bads is split again, until every cell is pure or holds one single score. Then both figures are exact, ties included.

Who learns what: banks learn pooled counts by cell, down to single scores where goods and bads lie close; never a feature, and never
whose score it is. The server learns the figures that are released, nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from riskfed.evaluation.discrimination import Placements
from riskfed.evaluation.special_functions import logistic
from riskfed.protocols.order_search import FAN_OUT_BITS, KEY_BITS, count_children, from_sort_keys, sort_keys
from riskfed.protocols.program import Program, Sum, run_alone

FIRST_BITS = 12
"""Bits of the sort key that the first count of scores fixes."""
_COUNT_BOUND = 1 << 40
_LEAST_PD = 2.0**-149
"""Smallest positive float32: keeps the logarithm finite."""
_MOST_LOSS = 104
"""More than -ln(_LEAST_PD)."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreCells:
    """Pooled counts by rising score.

    Attributes:
        upper: (c,) float32, upper edge of each cell, as a margin.
        goods: (c,) int64.
        bads: (c,) int64.
    """

    upper: np.ndarray
    goods: np.ndarray
    bads: np.ndarray

    @property
    def placements(self) -> Placements:
        """Placements of goods and bads, for the AUC and its standard error."""
        return Placements.of(self.goods, self.bads)

    def auc(self) -> float:
        """Area under the ROC curve, ties counted half (Mann and Whitney 1947); NaN unless there are goods and bads."""
        return self.placements.auc()

    def ks(self) -> float:
        """Greatest distance of the score distributions of goods and bads; NaN unless there are both."""
        goods, bads = self.totals()
        if goods == 0 or bads == 0:
            return float("nan")
        return float(np.abs(np.cumsum(self.goods) / goods - np.cumsum(self.bads) / bads).max())

    def merged(self, least: int, most_cells: int = 50) -> list[tuple[float, int, int]]:
        """(upper PD, goods, bads) in at most about `most_cells` cells of at least `least` rows each; empty if there are fewer rows."""
        rows = self.goods + self.bads
        target = max(least, int(rows.sum()) // most_cells)
        cells: list[tuple[float, int, int]] = []
        goods = bads = 0
        for upper, g, b in zip(self.upper, self.goods, self.bads, strict=True):
            goods, bads = goods + int(g), bads + int(b)
            if goods + bads >= target:
                cells.append((logistic(float(upper)), goods, bads))
                goods = bads = 0
        if cells and goods + bads:
            _, last_goods, last_bads = cells.pop()
            cells.append((logistic(float(self.upper[-1])), last_goods + goods, last_bads + bads))
        return cells

    def positions(self, margins: np.ndarray) -> np.ndarray:
        """(n,) cells of (n,) margins that were counted, rounded to float32 as there."""
        negative_zero = (self.upper == 0) & np.signbit(self.upper)
        # Of all edges only that of the last cell below 0 may be -0.0, which is 0.0 as a score.
        upper = sort_keys(self.upper) - negative_zero.astype(np.uint32)
        return np.asarray(np.searchsorted(upper, sort_keys(margins)))

    @property
    def margin_bound(self) -> float:
        """A power of two that no counted margin passes in magnitude; 1.0 where none was."""
        ends = [abs(float(edge)) for edge in (*self.upper[:1], *self.upper[-1:])]
        # A cell's margins have the exponent of its upper edge: the first count already fixes sign and exponent.
        return 2.0 ** max((math.frexp(end)[1] for end in ends), default=0)

    def totals(self) -> tuple[int, int]:
        """(goods, bads) in all."""
        return int(self.goods.sum()), int(self.bads.sum())


def score_cells(margins: np.ndarray, labels: np.ndarray) -> Program[ScoreCells]:
    """One bank's side of counting goods and bads by score.

    Args:
        margins: (n,) log-odds of default; rounded to float32, so that scores which differ by less count as tied.
        labels: (n,) float32, 1.0 default.
    """
    keys = sort_keys(margins)
    sides = [np.sort(keys[labels == 0]), np.sort(keys[labels != 0])]
    prefixes, bits, child_bits = np.zeros(1, dtype=np.uint64), 0, FIRST_BITS
    edges: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    bounds = np.full(2 << FIRST_BITS, _COUNT_BOUND)
    while len(prefixes):
        local = np.stack([count_children(side, prefixes, bits, child_bits) for side in sides])
        pooled = (yield Sum(local.ravel(), bounds)).reshape(2, -1)
        children = ((prefixes << np.uint64(child_bits))[:, None] + np.arange(1 << child_bits, dtype=np.uint64)).ravel()
        bits += child_bits
        mixed = (pooled > 0).all(axis=0) & (bits < KEY_BITS)
        settled = (pooled > 0).any(axis=0) & ~mixed
        edges.append(((children[settled] + np.uint64(1)) << np.uint64(KEY_BITS - bits)) - np.uint64(1))
        counts.append(pooled[:, settled])
        prefixes, child_bits = children[mixed], FAN_OUT_BITS
        bounds = np.repeat(pooled[:, mixed].ravel(), 1 << FAN_OUT_BITS)  # the next cells share these rows
    upper, pooled = np.concatenate(edges), np.concatenate(counts, axis=1)
    order = np.argsort(upper)
    return ScoreCells(from_sort_keys(upper[order].astype(np.uint32)), pooled[0][order], pooled[1][order])


def losses(pds: np.ndarray, labels: np.ndarray, pooled_rows: int) -> Program[dict[str, float]]:
    """One bank's side of pooled log-loss and Brier score, each row rounded to as many bits as `pooled_rows` rows leave in 62.

    Args:
        pds: (n,) float32 or float64.
        labels: (n,) float32, 1.0 default.
        pooled_rows: rows of all banks together; with 0, both figures are NaN.
    """
    p = np.clip(pds.astype(np.float64), _LEAST_PD, 1 - 2.0**-53)
    log_loss = -np.where(labels != 0, np.log(p), np.log1p(-p))
    brier = (pds.astype(np.float64) - labels) ** 2
    bits = 62 - math.ceil(math.log2(_MOST_LOSS * pooled_rows + 1))
    own = [int(np.rint(loss * 2.0**bits).astype(np.int64).sum()) for loss in (log_loss, brier)]
    pooled = yield Sum(np.array(own, dtype=np.int64), 1 << 62)
    scale = pooled_rows * 2.0**bits if pooled_rows else float("nan")
    return {"logloss": float(pooled[0]) / scale, "brier": float(pooled[1]) / scale}


def evaluate(margins: np.ndarray, pds: np.ndarray, labels: np.ndarray) -> Program[tuple[dict[str, float], ScoreCells]]:
    """One bank's side of all figures: ``auc``, ``ks``, ``logloss``, ``brier``, ``rows``, ``defaults``, and the cells behind them."""
    cells = yield from score_cells(margins, labels)
    goods, bads = cells.totals()
    figures = yield from losses(pds, labels, goods + bads)
    counts = {"rows": float(goods + bads), "defaults": float(bads)}
    return {"auc": cells.auc(), "ks": cells.ks(), **figures, **counts}, cells


def own_figures(margins: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AUC and KS of one bank's own rows; without those that are not defined, where it has one class only."""
    rows, defaults = len(labels), int((labels != 0).sum())
    figures = {"rows": float(rows), "defaults": float(defaults)}
    if 0 < defaults < rows:
        cells = run_alone(score_cells(margins, labels))
        figures |= {"auc": cells.auc(), "ks": cells.ks()}
    return figures
