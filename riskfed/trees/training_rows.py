"""One party's records while trees grow: their bins, margins and gradients, and which node each is in.

All work on records is done here, segment by segment and on as many threads as wanted. What comes out does not depend on either:
sums are of integers, and everything else concerns one record at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError
from riskfed.storage import Storage
from riskfed.trees.binning import transpose_codes
from riskfed.trees.cuts import Cuts
from riskfed.trees.gradient import effective_weights, fill_gradients
from riskfed.trees.histogram import Records, count_gradients, gather_counts, workspace
from riskfed.trees.partition import RowRanges, add_leaves, add_sibling_leaves, partition_rows
from riskfed.trees.split import Splits
from riskfed.trees.tree import Tree
from riskfed.trees.workers import Workers, segment_borders

_NODES_AT_ONCE = 32
"""Whose histograms a thread counts in one go: so many fit the processor's caches."""

_Outcome = TypeVar("_Outcome")


class TrainingRows:
    """The records and their state.

    Args:
        codes: (n_features, n) uint8 from `Cuts.bin`, C order; n may be 0. Kept, not copied.
        labels: (n,) 0 or 1.
        weights: (n,) float32 sample weights.
        cuts: the cuts that the codes are of.
        scale_pos_weight: factor of the weights of defaults.
        margin: margin of every record at the start.
        storage: where arrays of about the records' size are made.
        workers: the threads.
        spare: how many columns of codes are kept besides, which records are sorted by but which are in no histogram. All 0 at first.

    Raises:
        ConfigurationError: shapes or types do not fit together.
        ContractError: a label is not 0 or 1, or a weight is negative or not finite.

    Attributes:
        margins: (n,) float32.
    """

    def __init__(
        self,
        codes: NDArray[np.uint8],
        labels: ArrayLike,
        weights: ArrayLike,
        cuts: Cuts,
        *,
        scale_pos_weight: float,
        margin: np.float32,
        storage: Storage,
        workers: Workers,
        spare: int = 0,
    ) -> None:
        labels, n_rows = np.asarray(labels), _checked_rows(codes, labels, cuts)
        self._columns, self._n_bins, self._workers = np.ascontiguousarray(codes), cuts.n_bins, workers
        if spare:
            self._columns = storage.empty((cuts.n_features + spare, n_rows), np.uint8)
            self._columns[: cuts.n_features], self._columns[cuts.n_features :] = codes, 0
        self._borders = segment_borders(n_rows, workers.threads)
        self._weights = storage.empty(n_rows, np.float32)
        effective_weights(labels, np.asarray(weights, dtype=np.float32), scale_pos_weight, self._weights)
        self._labels = storage.empty(n_rows, np.uint8)
        self._labels[:] = labels
        self.margins = storage.empty(n_rows, np.float32)
        self.margins[:] = margin
        self._records = Records(
            storage.empty(n_rows * cuts.n_features, np.uint8), storage.empty(2 * n_rows, np.float32), 1.0
        )
        self._rows = storage.empty(n_rows, np.int32)
        longest = int(np.diff(self._borders).max())
        dealt = workers.shares(len(self._borders) - 1)
        self._counts = workspace(len(dealt), _NODES_AT_ONCE, cuts.n_features)
        self._shares = [
            _Share(
                segments=segments,
                spans=np.column_stack([self._borders[segments], self._borders[segments + 1]]),
                buffer=np.empty(longest, dtype=np.int32),
                counts=counts,
            )
            for segments, counts in zip(dealt, self._counts, strict=True)
        ]
        own = self._columns[: cuts.n_features]
        self._each(lambda share: transpose_codes(own, share.spans, self._records.codes))

    def begin_tree(self, scale: float) -> tuple[RowRanges, NDArray[np.int64], int]:
        """Compute the gradients from the margins.

        Args:
            scale: 2^q, what gradients are multiplied with before they are added up.

        Returns:
            One node with all records, the (2,) int64 sums of g and h over them, and the number of faint ones.
        """
        self._records = self._records._replace(scale=scale)
        sums = np.array(self._each(partial(self._begin_tree, scale)), dtype=np.int64).sum(axis=0)
        root = RowRanges(self._rows, self._borders[None, :-1].copy(), self._borders[None, 1:].copy())
        return root, sums[:2], int(sums[2])

    def _begin_tree(self, scale: float, share: _Share) -> tuple[np.int64, np.int64, np.int64]:
        for begin, end in share.spans.tolist():
            self._rows[begin:end] = np.arange(begin, end, dtype=np.int32)
        return fill_gradients(self.margins, self._labels, self._weights, scale, share.spans, self._records.gradients)

    def gradients(self) -> NDArray[np.int64]:
        """(n, 2) int64 fixed-point g and h of the tree that was begun last."""
        units = self._records.gradients.astype(np.float64) * self._records.scale
        return np.asarray(np.rint(units).astype(np.int64).reshape(-1, 2))

    def set_spare(self, number: int, rows: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Write the codes of some rows into a spare column."""
        self._columns[len(self._n_bins) + number, rows] = codes

    def leaves_of(self, tree: Tree) -> NDArray[np.int32]:
        """(n,) leaf of each record in a tree, by all columns as they are now."""
        return tree.leaf_of(self._columns)

    def no_rows(self) -> RowRanges:
        """No node."""
        return RowRanges(self._rows, *np.empty((2, 0, len(self._borders) - 1), dtype=np.int64))

    def histograms(self, ranges: RowRanges) -> NDArray[np.int64]:
        """(k, 2 * total_bins) int64 histograms of k nodes."""
        n_nodes = len(ranges.begins)
        histograms = np.empty((n_nodes, 2 * int(self._n_bins.sum())), dtype=np.int64)
        for first in range(0, n_nodes, _NODES_AT_ONCE):
            nodes = np.arange(first, min(first + _NODES_AT_ONCE, n_nodes))
            self._count(ranges.where(nodes), histograms[first : first + len(nodes)])
        return histograms

    def _count(self, ranges: RowRanges, histograms: NDArray[np.int64]) -> None:
        n_features = len(self._n_bins)
        self._each(lambda share: count_gradients(self._records, ranges, share.segments, n_features, share.counts))
        nodes = self._workers.shares(len(histograms))
        self._workers.map(lambda some: gather_counts(self._counts, self._n_bins, some, histograms), nodes)

    def sort(self, ranges: RowRanges, splits: Splits) -> RowRanges:
        """Sort the records of k nodes into the children of their splits; the 2 k children, siblings side by side."""
        middles = np.empty_like(ranges.begins)
        self._each(lambda share: partition_rows(self._columns, ranges, splits, share.segments, share.buffer, middles))
        begins, ends = np.stack([ranges.begins, middles], axis=1), np.stack([middles, ranges.ends], axis=1)
        return RowRanges(self._rows, begins.reshape(-1, begins.shape[2]), ends.reshape(-1, ends.shape[2]))

    def add_leaves(self, ranges: RowRanges, values: NDArray[np.float32]) -> None:
        """Add the (k,) float32 values of k leaves to the margins of their records."""
        self._each(lambda share: add_leaves(ranges, values, share.segments, self.margins))

    def add_sibling_leaves(self, ranges: RowRanges, splits: Splits, values: NDArray[np.float32]) -> None:
        """Add the (k, 2) float32 values of the two leaves of k splits to the margins of their records."""
        self._each(
            lambda share: add_sibling_leaves(self._columns, ranges, splits, values, share.segments, self.margins)
        )

    def add_tree(self, tree: Tree) -> None:
        """Follow the records through a whole tree, and add its leaves to their margins."""
        tree.add_margins(self._columns, self.margins)

    def _each(self, task: Callable[[_Share], _Outcome]) -> list[_Outcome]:
        return self._workers.map(task, self._shares)


class _Share(NamedTuple):
    """What one thread works on, and in.

    Attributes:
        segments: (m,) int64 numbers of its segments.
        spans: (m, 2) int64 first record of each, and the one after the last.
        buffer: int32, room for the rows of a segment.
        counts: see `workspace`.
    """

    segments: NDArray[np.int64]
    spans: NDArray[np.int64]
    buffer: NDArray[np.int32]
    counts: NDArray[np.int64]


def _checked_rows(codes: NDArray[np.uint8], labels: ArrayLike, cuts: Cuts) -> int:
    """How many rows there are, of codes and labels that fit together."""
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[0] != cuts.n_features:
        raise ConfigurationError(
            f"got {codes.dtype} codes of shape {codes.shape}, expected uint8 ({cuts.n_features}, n)"
        )
    if np.shape(labels) != (codes.shape[1],):
        raise ConfigurationError(f"got labels of shape {np.shape(labels)}, expected ({codes.shape[1]},)")
    return int(codes.shape[1])
