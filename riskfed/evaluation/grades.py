"""Grades: bands of the score, and what the loans of each did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskfed.evaluation.calibration import jeffreys_p
from riskfed.evaluation.cells import is_publishable, merge_neighbours
from riskfed.evaluation.record import Grade, Shift, ShiftBin
from riskfed.evaluation.stability import sampling_noise, shift_index


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Pooled counts by bands of the score, as fine as single points.

    Attributes:
        low, high: (b,) first and last point of each band, rising, without gaps.
        development: (b,) int64 loans at development.
        goods, bads: (b,) int64 held-out loans.
        recent: (b,) int64 of these, the recent ones.
        pd_sums: (b,) int64 sums of the PDs of held-out loans, in units.
        unit: that is a PD of 1.
    """

    low: Sequence[int]
    high: Sequence[int]
    development: NDArray[np.int64]
    goods: NDArray[np.int64]
    bads: NDArray[np.int64]
    recent: NDArray[np.int64]
    pd_sums: NDArray[np.int64]
    unit: float

    @property
    def mean_pd(self) -> float:
        """Of all held-out loans; there is one at least."""
        return int(self.pd_sums.sum()) / (int((self.goods + self.bads).sum()) * self.unit)


def grades_of(table: ScoreTable, least: int, most: int | None) -> tuple[Grade, ...]:
    """Merge bands into grades.

    Args:
        table: the bands, with `least` loans at least at development and held out.
        least: least loans of a grade at development and held out; recent ones, and held-out ones that are not recent, may also be none.
        most: most grades wanted, of about equal shares of the development loans; None to keep all bands that are large enough.
    """

    def is_sound(counts: Sequence[int]) -> bool:
        development, rows, recent = counts
        enough = min(development, rows) >= least
        return enough and is_publishable(recent, least) and is_publishable(rows - recent, least)

    counts = np.stack([table.development, table.goods + table.bads, table.recent], axis=1)
    return tuple(_grade(table, *ends) for ends in merge_neighbours(counts, is_sound, most))


def _grade(table: ScoreTable, first: int, end: int) -> Grade:
    goods, bads, development, recent, pds = (
        int(values[first:end].sum())
        for values in (table.goods, table.bads, table.development, table.recent, table.pd_sums)
    )
    mean_pd = pds / ((goods + bads) * table.unit)
    return Grade(
        low=table.low[first],
        high=table.high[end - 1],
        goods=goods,
        bads=bads,
        mean_pd=mean_pd,
        jeffreys_p=jeffreys_p(goods, bads, mean_pd),
        development=development,
        recent=recent,
    )


def score_shift(grades: Sequence[Grade]) -> Shift:
    """How the score has moved over the grades."""
    bins = tuple(
        ShiftBin(label=f"{grade.low} to {grade.high}", expected=grade.development, actual=grade.recent)
        for grade in grades
    )
    return shift_of("score", bins)


def shift_of(name: str, bins: tuple[ShiftBin, ...]) -> Shift:
    """A distribution's bins with their index and its noise."""
    expected, actual = [row.expected for row in bins], [row.actual for row in bins]
    return Shift(name=name, index=shift_index(expected, actual), noise=sampling_noise(expected, actual), bins=bins)
