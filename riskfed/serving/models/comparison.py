"""Champion and challenger on the same applicants: what would change for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskfed.evaluation.stability import shift_index

_TENTHS = np.arange(1, 10) / 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """The latest applicants that both have scored, in points on the champion's scale. Rates and differences are NaN where there are none.

    Attributes:
        scored: applicants that the figures are over: the latest, as many as the window holds.
        dropped, failed: applicants that were not compared since this champion and this challenger met: there were too many at once;
            the challenger could not score, or its audit line could not be written.
        psi: population stability index of the challenger's points over the tenths of the champion's.
        swap_in_rate: share that the challenger alone would approve, where both approve about the same share.
        swap_out_rate: share that the champion alone would approve. Cut-offs are whole points, as a bank's are: where many have the same
            points the shares approved, and so the two rates, may differ.
        mean_difference: points, challenger less champion.
    """

    scored: int
    dropped: int
    failed: int
    psi: float
    swap_in_rate: float
    swap_out_rate: float
    mean_difference: float


class ScoreWindow:
    """The latest pairs of points, in a ring."""

    def __init__(self, size: int) -> None:
        self._pairs = np.zeros((size, 2), dtype=np.int32)
        self._added = 0

    def add(self, champion: int, challenger: int) -> None:
        """Add a pair; the oldest goes where the window is full."""
        self._pairs[self._added % len(self._pairs)] = champion, challenger
        self._added += 1

    def pairs(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Points of champion and challenger, (n,) each, in no particular order."""
        filled = self._pairs[: self._added]
        return filled[:, 0], filled[:, 1]


def compare(
    champion: NDArray[np.int32], challenger: NDArray[np.int32], approval_rate: float, *, dropped: int, failed: int
) -> Comparison:
    """Compare (n,) points with (n,) points of the same applicants; see `Comparison`.

    Args:
        champion, challenger: points, higher is better.
        approval_rate: share that each approves, above 0 and at most 1: all with the points of the last one of that share, or better.
        dropped, failed: as they are.
    """
    n = len(champion)
    if not n:
        return Comparison(0, dropped, failed, *[float("nan")] * 4)
    by_champion, by_challenger = (points >= _cut_off(points, approval_rate) for points in (champion, challenger))
    return Comparison(
        n,
        dropped,
        failed,
        psi(champion, challenger),
        float(np.mean(by_challenger & ~by_champion)),
        float(np.mean(by_champion & ~by_challenger)),
        float(np.mean(challenger, dtype=np.float64) - np.mean(champion, dtype=np.float64)),
    )


def psi(expected: NDArray[np.int32], actual: NDArray[np.int32]) -> float:
    """Population stability index (`riskfed.evaluation.stability.shift_index`) over the tenths of `expected`, equal points in one bin.

    Bins are open below and closed above; tenths that end at the same points are one.
    """
    edges = np.unique(np.quantile(expected, _TENTHS, method="inverted_cdf"))
    counts = [np.bincount(np.searchsorted(edges, points), minlength=len(edges) + 1) for points in (expected, actual)]
    index = shift_index(*(count.tolist() for count in counts))
    return float("nan") if index is None else index


def _cut_off(points: NDArray[np.int32], approval_rate: float) -> int:
    approved = min(max(round(approval_rate * len(points)), 1), len(points))
    return int(np.partition(points, len(points) - approved)[len(points) - approved])
