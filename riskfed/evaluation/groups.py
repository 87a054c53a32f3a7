"""How a model does on groups of loans, and how it treats groups of people, from counts by points.

The adverse impact ratio (AIR) is a group's approval rate over the reference group's; below 0.80 it is commonly looked into (the four-fifths
rule, 29 CFR 1607.4(D)). The standardised mean difference (SMD) is the difference of mean points over the pooled standard deviation
(Cohen 1988); below 0 the group has fewer points than the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskfed.evaluation.cells import left_out
from riskfed.evaluation.discrimination import auc_by_points
from riskfed.evaluation.record import Group, Role

MISSING = "missing"
"""Name of the group of loans whose attribute is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Breakdown:
    """Pooled counts by one attribute.

    Attributes:
        attribute, role: its name and role.
        levels: (l,) names of its levels, the one of missing values last.
        reference: position of the level that others are compared with.
        counts: (l, p, 2) int64 goods and bads by rising points.
        pd_sums: (l,) sums of the PDs.
    """

    attribute: str
    role: Role
    levels: tuple[str, ...]
    reference: int
    counts: NDArray[np.int64]
    pd_sums: Sequence[float]


def figures_by_group(
    breakdown: Breakdown, lowest: int, cutoff: int, least: int
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Figures of each level with enough loans.

    Args:
        breakdown: the counts.
        lowest: points of the first position.
        cutoff: points from which loans are approved.
        least: least loans of a level that is shown; an AUC needs as many goods and as many bads.

    Returns:
        the groups, and the names of levels that were left out.
    """
    rows = breakdown.counts.sum(axis=(1, 2)).tolist()
    out = left_out(rows, least)
    shown = [level for level, count in enumerate(rows) if count and level not in out]
    reference = breakdown.reference if breakdown.role == "protected" and breakdown.reference in shown else None
    groups = tuple(
        # Loans of which the attribute is not known are no group of people.
        _group(breakdown, level, None if breakdown.levels[level] == MISSING else reference, (lowest, cutoff, least))
        for level in shown
    )
    return groups, tuple(breakdown.levels[level] for level in sorted(out))


def _group(breakdown: Breakdown, level: int, reference: int | None, public: tuple[int, int, int]) -> Group:
    lowest, cutoff, least = public
    counts = breakdown.counts[level]
    goods, bads = counts.sum(axis=0).tolist()
    own = _Moments.of(counts, lowest, cutoff)
    air = smd = None
    if reference is not None:
        other = _Moments.of(breakdown.counts[reference], lowest, cutoff)
        air, smd = own.impact_against(other), own.difference_to(other)
    return Group(
        attribute=breakdown.attribute,
        role=breakdown.role,
        level=breakdown.levels[level],
        rows=own.rows,
        defaults=bads,
        approved=own.approved,
        mean_pd=breakdown.pd_sums[level] / own.rows,
        mean_points=own.total / own.rows,
        auc=auc_by_points(counts) if min(goods, bads) >= least else None,
        air=air,
        smd=smd,
    )


@dataclass(frozen=True, slots=True)
class _Moments:
    """Rows, sum of points and of their squares, and approved rows of a group that has some: whole numbers."""

    rows: int
    total: int
    squares: int
    approved: int

    @classmethod
    def of(cls, counts: NDArray[np.int64], lowest: int, cutoff: int) -> _Moments:
        rows: list[int] = counts.sum(axis=1).tolist()
        points = range(lowest, lowest + len(rows))
        return cls(
            sum(rows),
            sum(n * p for n, p in zip(rows, points, strict=True)),
            sum(n * p * p for n, p in zip(rows, points, strict=True)),
            sum(n for n, p in zip(rows, points, strict=True) if p >= cutoff),
        )

    @property
    def scatter(self) -> float:
        """Sum of squared distances from the mean."""
        return (self.rows * self.squares - self.total * self.total) / self.rows

    def impact_against(self, other: _Moments) -> float | None:
        """Approval rate over the other's; None where that has none approved."""
        return self.approved * other.rows / (self.rows * other.approved) if other.approved else None

    def difference_to(self, other: _Moments) -> float | None:
        """Standardised mean difference to the other; None where points do not vary."""
        freedom = self.rows + other.rows - 2
        scatter = self.scatter + other.scatter
        if freedom <= 0 or not scatter > 0:
            return None
        return (self.total / self.rows - other.total / other.rows) / math.sqrt(scatter / freedom)
