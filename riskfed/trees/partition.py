"""Where records go: splitting a node's range of the row index, and following whole trees, by bin codes.

A record goes left if its code is at most the split's bin, or is 255 (missing) and the split's default is left. Both are one
comparison: for a default to the right, 255 is above every bin that a split can have; for a default to the left, adding 1 to
the code in uint8 carries 255 round to 0. A feature whose 256 bins use code 255 for a value has no missing values, is only
ever split with the default to the right, and never with all its bins on the left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.trees.split import Splits


class RowRanges(NamedTuple):
    """The records of k nodes, segment by segment.

    The rows of a node lie side by side within a segment and not beyond it. So whoever works on a segment touches a small part of
    memory, however many records there are, and segments can be worked on at once.

    Attributes:
        rows: (n,) int32, records in the order of segments and, within each, of the nodes; shared by all levels of a tree.
        begins, ends: (k, s) int64; in segment i, node j holds the records ``rows[begins[j, i]:ends[j, i]]``.
    """

    rows: NDArray[np.int32]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> RowRanges:
        """The records of some of the nodes."""
        return RowRanges(self.rows, self.begins[chosen], self.ends[chosen])


class Paths(NamedTuple):
    """A tree as `find_leaves` follows it: (n_nodes,) arrays as in `Tree`."""

    left_children: NDArray[np.int32]
    right_children: NDArray[np.int32]
    features: NDArray[np.int32]
    bins: NDArray[np.int16]
    default_left: NDArray[np.uint8]


@njit(cache=True, nogil=True)
def partition_rows(
    columns: NDArray[np.uint8],
    ranges: RowRanges,
    splits: Splits,
    segments: NDArray[np.int64],
    buffer: NDArray[np.int32],
    middles: NDArray[np.int64],
) -> None:
    """Reorder the records of k nodes so that those of the left child come first. The order within a child is kept.

    Args:
        columns: (n_features, n) uint8 bin codes, feature by feature.
        ranges: the nodes; its rows are changed in place.
        splits: their splits.
        segments: numbers of the segments to work on.
        buffer: int32 scratch space for the rows of a segment.
        middles: (k, s) int64, filled for these segments with the first position of each right child.
    """
    rows = ranges.rows
    for segment in segments:
        for node in range(ranges.begins.shape[0]):
            codes = columns[splits.features[node]]
            shift = np.uint8(splits.default_left[node])
            last = np.int64(splits.bins[node]) + np.int64(shift)
            begin, end = np.uintp(ranges.begins[node, segment]), np.uintp(ranges.ends[node, segment])
            left, right = begin, np.uintp(0)
            for index in range(begin, end):
                row = rows[index]
                goes_left = np.uintp(np.int64(np.uint8(codes[np.uintp(row)] + shift)) <= last)
                # Both are written and one counts: a branch here would be mispredicted for every other record.
                rows[left] = row
                buffer[right] = row
                left += goes_left
                right += np.uintp(1) - goes_left
            rows[np.intp(left) : np.intp(end)] = buffer[: np.intp(right)]
            middles[node, segment] = left


@njit(cache=True, nogil=True)
def add_leaves(
    ranges: RowRanges, values: NDArray[np.float32], segments: NDArray[np.int64], margins: NDArray[np.float32]
) -> None:
    """Add the (k,) float32 values of k leaves to the (n,) float32 margins of their records in some segments."""
    rows = ranges.rows
    for segment in segments:
        for leaf in range(ranges.begins.shape[0]):
            for index in range(np.uintp(ranges.begins[leaf, segment]), np.uintp(ranges.ends[leaf, segment])):
                margins[np.uintp(rows[index])] += values[leaf]


@njit(cache=True, nogil=True)
def add_sibling_leaves(
    columns: NDArray[np.uint8],
    ranges: RowRanges,
    splits: Splits,
    values: NDArray[np.float32],
    segments: NDArray[np.int64],
    margins: NDArray[np.float32],
) -> None:
    """Add the leaves of k splits with two leaves each to margins, without sorting the records into them first.

    Args:
        columns, ranges, splits, segments: as in `partition_rows`, nothing of which changes.
        values: (k, 2) float32 left and right leaf.
        margins: (n,) float32, changed in place.
    """
    rows = ranges.rows
    for segment in segments:
        for node in range(ranges.begins.shape[0]):
            codes = columns[splits.features[node]]
            shift = np.uint8(splits.default_left[node])
            last = np.int64(splits.bins[node]) + np.int64(shift)
            for index in range(np.uintp(ranges.begins[node, segment]), np.uintp(ranges.ends[node, segment])):
                row = np.uintp(rows[index])
                goes_right = np.uintp(np.int64(np.uint8(codes[row] + shift)) > last)
                margins[row] += values[node, goes_right]


@njit(cache=True, nogil=True)
def add_leaf_of_each(
    columns: NDArray[np.uint8], paths: Paths, values: NDArray[np.float32], margins: NDArray[np.float32]
) -> None:
    """Follow n records through a tree and add the (n_nodes,) float32 value of its leaf to the (n,) float32 margin of each."""
    for row in range(np.uintp(columns.shape[1])):
        margins[row] += values[_leaf(columns, paths, row)]


@njit(cache=True, nogil=True)
def find_leaves(columns: NDArray[np.uint8], paths: Paths, leaves: NDArray[np.int32]) -> None:
    """Follow n records, (n_features, n) uint8 codes, through a tree; ``leaves`` is filled with (n,) node ids."""
    for row in range(np.uintp(columns.shape[1])):
        leaves[row] = _leaf(columns, paths, row)


@njit(cache=True, nogil=True, inline="always")
def _leaf(columns: NDArray[np.uint8], paths: Paths, row: int) -> np.int32:
    left_children, right_children, features, bins, default_left = paths
    node = np.int32(0)
    while left_children[node] >= 0:
        shift = np.uint8(default_left[node])
        code = np.int64(np.uint8(columns[np.uintp(features[node]), row] + shift))
        goes_left = code <= np.int64(bins[node]) + np.int64(shift)
        node = left_children[node] if goes_left else right_children[node]
    return node
