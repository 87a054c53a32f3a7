"""A feature holder's columns as the label holder meets them: numbered in a secret order, binned, thresholds kept back.

Secret: the order, the cuts, and every value. The label holder learns each column's number of bins and its monotone constraint, and can
tell from them what kind of column it may be (two bins: a 0/1 column); the order only keeps it from reading names off the schema.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.program import run_alone
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.protocols.vertical.aligned import AlignedRecords
from riskfed.schema import Schema
from riskfed.trees.cuts import MAX_BINS, MISSING, Cuts
from riskfed.trees.joint_search import Option, PartnerColumns
from riskfed.vertical_model import SplitRule


@dataclass(frozen=True)
class HiddenColumns:
    """Binned columns of the common customers.

    Attributes:
        cuts: of the columns in their true order.
        order: (f,) true column of each numbered one.
        codes: (f, n) uint8 bin codes, by numbered column.
        learned: (n,) bool, which rows are for development.
        left_out: names of columns that take no part.
    """

    cuts: Cuts = field(repr=False)
    order: NDArray[np.int64] = field(repr=False)
    codes: NDArray[np.uint8] = field(repr=False)
    learned: NDArray[np.bool_] = field(repr=False)
    left_out: tuple[str, ...]

    @classmethod
    def of(
        cls,
        aligned: AlignedRecords,
        schema: Schema,
        job: VerticalXgboost,
        order: Sequence[int],
        *,
        least_bin: int,
        threads: int,
    ) -> HiddenColumns:
        """Find the cuts, merge small bins, and hide the order.

        Args:
            aligned: the common customers' records.
            schema: this party's part.
            job: gives ``max_bin`` and ``cut_rounds``.
            order: true column of each numbered one, see `shuffled`; the same in all attempts of a run.
            least_bin: least development rows in a bin. A column with fewer missing values than that, but some, takes no part: the sums
                over them are what the other bins lack.
            threads: how many work on the columns.
        """
        cuts = run_alone(shared_cuts(aligned.development, schema, job, threads))
        codes = aligned.codes(cuts, threads)
        left_out: list[str] = []
        if least_bin > 1:
            counts = [np.bincount(column[aligned.learned], minlength=MAX_BINS) for column in codes]
            missing = [0 if n == MAX_BINS else int(some[MISSING]) for some, n in zip(counts, cuts.n_bins, strict=True)]
            cuts = merged(cuts, counts, least_bin)
            codes = aligned.codes(cuts, threads)
            for column in np.flatnonzero([0 < few < least_bin for few in missing]).tolist():
                codes[column] = MISSING
                left_out.append(cuts.feature_names[column])
        hidden = np.array(order, dtype=np.int64)
        return cls(cuts, hidden, codes[hidden], aligned.learned, tuple(left_out))

    @cached_property
    def development_codes(self) -> NDArray[np.uint8]:
        """(f, m) uint8 codes of the development rows, by numbered column."""
        return self.codes if self.learned.all() else np.ascontiguousarray(self.codes[:, self.learned])

    @property
    def n_bins(self) -> list[int]:
        """Number of bins of each numbered column."""
        return [int(bins) for bins in self.cuts.n_bins[self.order]]

    def told(self, name: str, job: VerticalXgboost) -> PartnerColumns:
        """What the label holder is told of the columns."""
        names = self.cuts.feature_names
        limits = [job.monotone_constraints.get(names[column], 0) for column in self.order.tolist()]
        return PartnerColumns(name, np.array(self.n_bins, dtype=np.int64), np.array(limits, dtype=np.int8))

    def first_of(self, options: Sequence[Option], sender: str) -> int:
        """Which of equally good splits is by the first column in the true order, as xgboost would take it.

        Raises:
            RemoteProtocolError: an option is none of these columns'.
        """
        if any(
            option.column >= len(self.order) or not -1 <= option.bin < self.n_bins[option.column] for option in options
        ):
            raise RemoteProtocolError(
                f"{sender} offered a split by a column or bin that does not exist; its operator must act"
            )
        return min(range(len(options)), key=lambda number: self.order[options[number].column])

    def rule(self, option: Option) -> SplitRule:
        """The split with its column's name and threshold."""
        column = int(self.order[option.column])
        points, low = self.cuts.values[column], self.cuts.min_values[column]
        threshold = points[option.bin] if option.bin >= 0 else low
        return SplitRule(self.cuts.feature_names[column], float(threshold), option.default_left)

    def goes_right(self, option: Option, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(k,) whether some rows go right at a split, by their bins."""
        codes = self.codes[option.column, rows].astype(np.int16)
        right = codes > option.bin
        if self.n_bins[option.column] < MAX_BINS:
            right[codes == MISSING] = not option.default_left
        return np.asarray(right)


def merged(cuts: Cuts, counts: Sequence[NDArray[np.int64]], least: int) -> Cuts:
    """Cuts with which every bin has at least ``least`` rows, or a column has one bin.

    Args:
        cuts: as they were found.
        counts: for each column, rows by bin.
        least: 1 or more.
    """
    values = tuple(
        points[_closing(some[: len(points)], least)] for points, some in zip(cuts.values, counts, strict=True)
    )
    return replace(cuts, values=values)


def _closing(counts: NDArray[np.int64], least: int) -> list[int]:
    """The bins after which a merged bin ends."""
    closing, rows = [], 0
    for place, count in enumerate(counts.tolist()):
        rows += count
        if rows >= least:
            closing.append(place)
            rows = 0
    # What is left at the end is too little for a bin, and joins the one before. The last cut stays above every value.
    return [*closing[:-1], len(counts) - 1]


def shuffled(columns: int) -> tuple[int, ...]:
    """A random order of so many columns, from the system's source of randomness."""
    order = list(range(columns))
    secrets.SystemRandom().shuffle(order)
    return tuple(order)
