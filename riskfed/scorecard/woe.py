"""Weight of evidence and information value of a feature's bins, from counts.

    WoE_i = ln((g_i / G) / (b_i / B)),   IV = sum over bins of (g_i / G - b_i / B) WoE_i

with g_i goods and b_i bads of bin i, G and B of all (Siddiqi, Credit Risk Scorecards, 2006, ch. 5). A higher WoE is safer.

The rule for counts that are published: a bin with fewer loans than `least_cell` has a WoE of 0, and its loans are counted with the bin
that has most. So no such count stands on a card, and none comes out by subtracting the others from the total; nor does a WoE tell it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.portable import log

_PURE = 0.5
"""Added to both counts of a bin that holds only goods or only bads (Haldane 1956; Anscombe 1956), so that its WoE is finite."""


@dataclass(frozen=True, slots=True)
class BinnedFeature:
    """A feature's bins with what the pooled development loans say of them; equal at every bank.

    Attributes:
        bins: the bins.
        counts: goods and bads of each bin as published; None where the bin has loans but fewer than `least_cell`.
        woe: weight of evidence of each bin; 0 where it has no loan, or too few.
        iv: information value.
    """

    bins: FeatureBins
    counts: tuple[tuple[int, int] | None, ...]
    woe: tuple[float, ...]
    iv: float

    @classmethod
    def of(cls, bins: FeatureBins, pooled: np.ndarray, least_cell: int) -> BinnedFeature:
        """Weigh bins.

        Args:
            bins: k bins.
            pooled: (k, 2) integers, goods and bads; of all bins together there must be at least one each.
            least_cell: least loans of a bin whose count is published.
        """
        counts = published_counts(pooled, least_cell)
        woe = weights_of_evidence([(0, 0) if pair is None else pair for pair in counts])
        shown = [number for number, pair in enumerate(counts) if pair is not None]
        parts = information_values([counts[number] or (0, 0) for number in shown], [woe[number] for number in shown])
        return cls(bins, counts, woe, math.fsum(parts))

    @property
    def mean_woe(self) -> float:
        """Mean over the development loans, as they are counted."""
        counted = [(sum(pair), value) for pair, value in zip(self.counts, self.woe, strict=True) if pair is not None]
        return math.fsum(rows * value for rows, value in counted) / max(sum(rows for rows, _ in counted), 1)

    @property
    def separates(self) -> bool:
        """Whether at least two bins with loans differ in their WoE; otherwise the feature is a constant."""
        return len({value for value, pair in zip(self.woe, self.counts, strict=True) if pair is None or any(pair)}) > 1

    def weigh(self, codes: np.ndarray) -> np.ndarray:
        """(n,) float64 WoE of (n,) bin numbers."""
        return np.asarray(np.array(self.woe)[codes])


def published_counts(pooled: np.ndarray, least_cell: int) -> tuple[tuple[int, int] | None, ...]:
    """Counts of bins by the rule for publishing.

    Args:
        pooled: (k, 2) integers, goods and bads.
        least_cell: least loans of a published count; 0 loans are published too.

    Returns:
        k pairs with the same totals as `pooled`, None for a bin that is counted with the largest one (of equal ones, the first). All are
        None where all loans together are too few.
    """
    counts: list[list[int]] = pooled.astype(np.int64).tolist()
    rows = [goods + bads for goods, bads in counts]
    largest = max(range(len(rows)), key=lambda number: (rows[number], -number))
    small = [number for number, size in enumerate(rows) if 0 < size < least_cell]
    for number in small:
        if number != largest:
            counts[largest][0] += counts[number][0]
            counts[largest][1] += counts[number][1]
    hidden = set(small) - ({largest} if sum(counts[largest]) >= least_cell else set())
    return tuple(None if number in hidden else (goods, bads) for number, (goods, bads) in enumerate(counts))


def weights_of_evidence(counts: list[tuple[int, int]]) -> tuple[float, ...]:
    """WoE of each bin, correctly rounded logarithms; 0 for a bin without loans, and for all if there are only goods or only bads."""
    goods, bads = sum(pair[0] for pair in counts), sum(pair[1] for pair in counts)
    if not goods or not bads:
        return (0.0,) * len(counts)
    return tuple(log((g * bads) / (b * goods)) if g or b else 0.0 for g, b in map(_finite, counts))


def information_values(counts: list[tuple[int, int]], woe: list[float]) -> list[float]:
    """What each bin adds to the IV, 0 or more; 0 if there are only goods or only bads."""
    goods, bads = sum(pair[0] for pair in counts), sum(pair[1] for pair in counts)
    if not goods or not bads:
        return [0.0] * len(counts)
    finite = zip(map(_finite, counts), woe, strict=True)
    return [(g / goods - b / bads) * value for (g, b), value in finite]


def _finite(pair: tuple[int, int]) -> tuple[float, float]:
    goods, bads = pair
    if not goods and not bads:
        return 0, 0
    return (goods, bads) if goods and bads else (goods + _PURE, bads + _PURE)
