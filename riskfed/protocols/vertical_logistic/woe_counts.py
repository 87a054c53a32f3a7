"""Defaults by cell of a feature holder's grid: all that it needs for its bins, and nothing that it could use for a single row.

    1  the feature holder merges the cells of its public grid until each has enough rows, and few are left
    2  it sums the label holder's encrypted labels by cell, masks the sums, has them opened, and takes the mask off
    3  it finds bins and weights of evidence as for any scorecard (`riskfed.scorecard`)

Who learns what: the feature holder the number of defaults in each of its own merged cells, and in all; nobody else anything. A cell that
cannot be merged, such as missing values, and has too few rows is counted with the largest one, so that no difference of sums gives it
away. Counts of several features of the same rows are told: whoever combines them can narrow down what a few rows hold in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ProtectionError
from riskfed.jobs import VerticalLogistic
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.protocols.vertical_logistic.opened import open_sums
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.optimal_binning import merged_counts, optimal_bins
from riskfed.scorecard.woe import BinnedFeature
from riskfed.secure.encrypted_vectors import EncryptedVector

_MOST_CELLS: Final = 64
"""Cells of a numeric feature that are asked for: bins lose next to nothing, and fewer counts are told."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What is asked for of one feature.

    Attributes:
        grid: its merged cells.
        codes: (n,) int64 cell of each development row; a row of a cell with too few is in the largest.
        rows: (len(grid),) int64 rows counted in each.
    """

    grid: FeatureBins
    codes: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, grid: FeatureBins, records: Records, least: int) -> Cells:
        """Merge the cells of a public grid.

        Args:
            grid: the feature's.
            records: development rows.
            least: least rows of a cell.
        """
        rows = np.bincount(grid.codes(records.column), minlength=len(grid)).astype(np.int64)
        if not grid.groups:
            wanted = max(least, -(-len(records) // _MOST_CELLS))
            grid = replace(grid, edges=_edges(grid, rows[: grid.regular], wanted))
        codes = grid.codes(records.column).astype(np.int64)
        rows = np.bincount(codes, minlength=len(grid)).astype(np.int64)
        small = (rows > 0) & (rows < least)
        codes[small[codes]] = int(rows.argmax())
        return cls(grid, codes, np.bincount(codes, minlength=len(grid)).astype(np.int64))

    @property
    def filled(self) -> NDArray[np.int64]:
        """Cells that have rows."""
        return np.flatnonzero(self.rows)

    @property
    def weights(self) -> NDArray[np.int64]:
        """(n, len(filled)) int64: 1 where a row is in a cell."""
        return np.asarray(self.codes[:, None] == self.filled, dtype=np.int64)

    def counts(self, defaults: Sequence[int]) -> NDArray[np.int64]:
        """(len(grid), 2) goods and bads, from the defaults of the filled cells.

        Raises:
            ProtectionError: they cannot be.
        """
        bads = np.zeros(len(self.grid), dtype=np.int64)
        for cell, count in zip(self.filled.tolist(), defaults, strict=True):
            if not 0 <= count <= self.rows[cell]:
                raise ProtectionError(
                    "a cell has more defaults than rows, or fewer than none: the labels or the opened sums are not sound; "
                    "the operators of label holder and coordinator must act"
                )
            bads[cell] = count
        return np.stack([self.rows - bads, bads], axis=1)


def _edges(grid: FeatureBins, rows: NDArray[np.int64], wanted: int) -> tuple[float, ...]:
    """Those edges of a grid between which there are so many rows, in cells of about equal size."""
    kept, since = list[float](), 0
    for cell, count in enumerate(rows.tolist()):
        if since >= wanted and count:
            kept.append(grid.edges[cell - 1])
            since = 0
        since += count
    if kept and since < wanted:
        kept.pop()  # what is left over joins the cell before
    return tuple(kept)


def binned_by(cells: Cells, counts: NDArray[np.int64], job: VerticalLogistic, least: int) -> BinnedFeature:
    """The bins of a feature from the counts of its cells, as a scorecard's."""
    least_rows = max(math.ceil(job.min_bin_share * int(counts.sum())), least)
    bins = optimal_bins(cells.grid, counts, trend=job.trend, max_bins=job.max_bins, least_rows=least_rows)
    return BinnedFeature.of(bins, merged_counts(cells.grid, bins, counts), least)


def own_bins(grid: Sequence[FeatureBins], records: Records, job: VerticalLogistic) -> list[BinnedFeature]:
    """The label holder's bins: it counts by itself."""
    cells = [Cells.of(one, records, job.least_bin) for one in grid]
    bads = [np.bincount(one.codes, records.labels != 0, len(one.grid)).astype(np.int64) for one in cells]
    return [
        binned_by(one, np.stack([one.rows - bad, bad], axis=1), job, job.least_bin)
        for one, bad in zip(cells, bads, strict=True)
    ]


def asked_bins(
    grid: Sequence[FeatureBins],
    records: Records,
    labels: EncryptedVector,
    job: VerticalLogistic,
    least: int,
) -> Program[list[BinnedFeature]]:
    """A feature holder's bins.

    Args:
        grid: its features' public one.
        records: its development rows.
        labels: of the same rows, encrypted.
        job: what bins may be.
        least: least rows of a cell that it asks for.

    Raises:
        ProtectionError: what was opened cannot be counts.
        RemoteProtocolError: the coordinator answered something else.
    """
    cells = [Cells.of(one, records, least) for one in grid]
    opened = yield from open_sums([labels.weighted_sums(one.weights) for one in cells], job.coordinator)
    return [binned_by(one, one.counts(sums), job, least) for one, sums in zip(cells, opened, strict=True)]
