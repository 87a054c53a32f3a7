"""How well a score ranks, from counts of goods and bads in cells by rising risk: exact, ties counted half.

DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating characteristic curves,
Biometrics 44, 837-845. The placement of a bad is the share of goods that it outranks, that of a good the share of bads above it; their
means are the AUC, and their variances give its standard error. Placements are kept as whole numbers, so sums of them are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskfed.evaluation.record import Interval

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class Placements:
    """Placements of the loans of each cell, in halves of a loan.

    Attributes:
        goods, bads: (c,) int64 counts by rising risk.
        of_bads: (c,) int64, twice the goods of lower risk plus those of the same cell: of a bad of that cell.
        of_goods: (c,) int64, twice the bads of higher risk plus those of the same cell: of a good.
    """

    goods: NDArray[np.int64]
    bads: NDArray[np.int64]
    of_bads: NDArray[np.int64]
    of_goods: NDArray[np.int64]

    @classmethod
    def of(cls, goods: NDArray[np.int64], bads: NDArray[np.int64]) -> Placements:
        """From (c,) int64 counts of cells by rising risk; a cell's loans count as tied."""
        to_bads = 2 * np.cumsum(goods) - goods
        to_goods = 2 * (int(bads.sum()) - np.cumsum(bads)) + bads
        return cls(goods, bads, to_bads, to_goods)

    @property
    def totals(self) -> tuple[int, int]:
        """(goods, bads) in all."""
        return int(self.goods.sum()), int(self.bads.sum())

    @property
    def sums(self) -> tuple[int, int]:
        """Sum of the placements over all bads, and over all goods: equal."""
        return _product(self.bads, self.of_bads), _product(self.goods, self.of_goods)

    def auc(self) -> float:
        """P(a bad ranks above a good) + P(tie) / 2 (Mann and Whitney 1947); NaN unless there are both."""
        goods, bads = self.totals
        return self.sums[0] / (2 * goods * bads) if goods and bads else float("nan")

    def variance(self) -> float | None:
        """DeLong's variance of the AUC; None unless there are two goods and two bads."""
        products = (_product(self.bads, self.of_bads, self.of_bads), _product(self.goods, self.of_goods, self.of_goods))
        return covariance(self, self, products)


def covariance(one: Placements, other: Placements, products: tuple[int, int]) -> float | None:
    """DeLong's covariance of the AUCs of two scores on the same loans.

    Args:
        one, other: placements by either score.
        products: sum over all bads, and over all goods, of the product of a loan's two placements.

    Returns:
        the covariance; None unless there are two goods and two bads.
    """
    goods, bads = one.totals
    if min(goods, bads) < 2:
        return None
    over_bads, over_goods = (
        count * product - a * b
        for count, product, a, b in zip((bads, goods), products, one.sums, other.sums, strict=True)
    )
    # Whole numbers of any size: the only rounding is in these two divisions and their sum.
    of_bads = over_bads / (bads * (bads - 1) * bads * 4 * goods * goods)
    return of_bads + over_goods / (goods * (goods - 1) * goods * 4 * bads * bads)


def interval(value: float, variance: float | None, low: float = -math.inf, high: float = math.inf) -> Interval:
    """An estimate with its 95 % interval by the normal distribution, cut off at the ends of what is possible."""
    if variance is None:
        return Interval(value=value)
    error = math.sqrt(max(variance, 0.0))
    ends = max(low, value - Z_95 * error), min(high, value + Z_95 * error)
    return Interval(value=value, standard_error=error, low=ends[0], high=ends[1])


def auc_by_points(counts: NDArray[np.int64]) -> float:
    """AUC of (p, 2) counts of goods and bads by rising points, where more points are safer; NaN unless there are both."""
    falling = counts[::-1]
    return Placements.of(falling[:, 0], falling[:, 1]).auc()


def ks_at(counts: NDArray[np.int64]) -> int:
    """Position up to which the distributions of goods and bads are furthest apart.

    Args:
        counts: (p, 2) int64 goods and bads by rising points; both occur.
    """
    goods, bads = counts.sum(axis=0).tolist()
    # Both shares times both totals: whole numbers, in Python's since their products may pass int64.
    apart = [abs(g * bads - b * goods) for g, b in np.cumsum(counts, axis=0).tolist()]
    return apart.index(max(apart))


def cutoff_at(rows: NDArray[np.int64], rate: float, least: int) -> int:
    """Position from which loans are approved, so that the approved share is nearest to a rate.

    Args:
        rows: (p,) int64 loans by rising points, some at least.
        rate: wanted share.
        least: neither approved nor declined loans may be fewer, unless there are none.

    Returns:
        the position; of several that are equally near the highest.
    """
    total = int(rows.sum())
    approved = (total - np.cumsum(rows) + rows).tolist()
    possible = [
        (abs(count - rate * total), -at)
        for at, count in enumerate(approved)
        if all(part == 0 or part >= least for part in (count, total - count))
    ]
    return -min(possible)[1]


def _product(*factors: NDArray[np.int64]) -> int:
    """Sum over all cells of the product of int64 factors, exact whatever its size."""
    if not len(factors[0]):
        return 0
    largest = math.prod(int(np.abs(factor).max()) for factor in factors) * len(factors[0])
    if largest < 1 << 62:
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor
        return int(product.sum())
    return sum(math.prod(row) for row in zip(*(factor.tolist() for factor in factors), strict=True))
