"""One bank's loans with a model's scores, and sums of several tables at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.protocols.program import Program, Sum
from riskfed.protocols.records import Records
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel, pd_of

COUNT_BOUND = 1 << 40
"""More loans than all banks together can have."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredLoans:
    """One bank's loans as a model scores them.

    Attributes:
        margins: (n,) log-odds of default, float32 of trees and float64 of a scorecard.
        pds: (n,) of the same type.
        points: (n,) int16 positions on the scale, 0 the lowest points.
        labels: (n,) float32, 1.0 default.
    """

    margins: np.ndarray
    pds: np.ndarray
    points: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, model: ScoringModel, records: Records, scale: ScoreScale) -> ScoredLoans:
        """Score a bank's records, some at a time."""
        margins = np.concatenate([np.empty(0, np.float32), *map(model.margins, records.blocks())])
        return cls(margins, pd_of(margins), _positions(margins, scale), records.labels)

    def by_points(self, size: int) -> np.ndarray:
        """(size, 2) int64 goods and bads at each of `size` points."""
        cells = 2 * self.points.astype(np.int64) + (self.labels != 0)
        return np.bincount(cells, minlength=2 * size).reshape(size, 2).astype(np.int64)


def count_by_points(model: ScoringModel, records: Records, scale: ScoreScale) -> np.ndarray:
    """(size_of(scale),) int64 loans of a bank at each point; scores of all loans are not held at once."""
    counts = np.zeros(size_of(scale), dtype=np.int64)
    for block in records.blocks():
        counts += np.bincount(_positions(model.margins(block), scale), minlength=len(counts))
    return counts


def size_of(scale: ScoreScale) -> int:
    """How many points a scale has."""
    return scale.maximum - scale.minimum + 1


def sum_tables(tables: Sequence[np.ndarray], bound: int = COUNT_BOUND) -> Program[list[np.ndarray]]:
    """Sum int64 tables over all banks in one round; the same shapes at every bank."""
    pooled = yield Sum(np.concatenate([table.ravel() for table in tables]), bound)
    ends = np.cumsum([table.size for table in tables])[:-1]
    return [part.reshape(table.shape) for part, table in zip(np.split(pooled, ends), tables, strict=True)]


def share_bits(pooled_rows: int) -> int:
    """Fractional bits with which `pooled_rows` numbers of at most 1 add up within 2^62."""
    return 61 - pooled_rows.bit_length()


def summed_by(codes: np.ndarray, size: int, values: np.ndarray, bits: int) -> np.ndarray:
    """(size,) int64 sums of (n,) values by their (n,) codes from 0, each value rounded to a multiple of 2^-bits first."""
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, codes.astype(np.intp), np.rint(values.astype(np.float64) * 2.0**bits).astype(np.int64))
    return sums


def _positions(margins: np.ndarray, scale: ScoreScale) -> np.ndarray:
    return (scale.points_of_log_odds(margins) - scale.minimum).astype(np.int16)
