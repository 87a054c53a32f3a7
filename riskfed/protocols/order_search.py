"""Find order statistics of numbers that lie at several banks, by counting under prefixes of their sort keys.

A float32 has a uint32 key that sorts as the number does. Sixteen children of a prefix are counted at every bank, the counts are
summed under protection, and the search goes on below the child that holds the wanted rank. No bank learns more than pooled counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.trees.pages import release

FAN_OUT_BITS = 4
FAN_OUT = 1 << FAN_OUT_BITS
KEY_BITS = 32
_HALF_BITS = KEY_BITS // 2


def sort_keys(values: np.ndarray) -> np.ndarray:
    """(n,) uint32 keys that sort as the (n,) float32 `values` do; -0.0 and 0.0 have one key. NaN is not allowed."""
    bits = (np.asarray(values, dtype=np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(0x80000000))


def from_sort_keys(keys: np.ndarray) -> np.ndarray:
    """The float32 values of (n,) uint32 keys: the inverse of `sort_keys`."""
    keys = np.asarray(keys, dtype=np.uint32)
    bits = np.where(keys >> np.uint32(31), keys & np.uint32(0x7FFFFFFF), ~keys)
    return bits.astype(np.uint32).view(np.float32)


def count_children(
    sorted_keys: np.ndarray, prefixes: NDArray[np.uint64], prefix_bits: int, child_bits: int
) -> np.ndarray:
    """Count keys under each child of each prefix.

    Args:
        sorted_keys: (n,) uint32, rising.
        prefixes: (p,) uint64, the upper `prefix_bits` of a key.
        prefix_bits: length of a prefix.
        child_bits: how many more bits a child fixes.

    Returns:
        (p, 2**child_bits) int64.
    """
    shift = np.uint64(KEY_BITS - prefix_bits - child_bits)
    children = np.arange((1 << child_bits) + 1, dtype=np.uint64)
    edges = ((prefixes << np.uint64(child_bits))[:, None] + children) << shift
    return np.diff(_positions(sorted_keys, edges), axis=1)


def _positions(sorted_keys: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Left insertion points of uint64 edges, the last of which may be 2^32, above every key."""
    inside = np.minimum(edges, np.uint64(0xFFFFFFFF)).astype(np.uint32)
    positions = np.searchsorted(sorted_keys, inside, side="left")
    return np.where(edges > np.uint64(0xFFFFFFFF), len(sorted_keys), positions).astype(np.int64)


class ColumnCounts:
    """Counts one column's values under prefixes of their sort keys, by going through the column: nothing of its size is made.

    Args:
        column: gives the (n,) float32 values, NaN where missing; called anew for every pass.
    """

    def __init__(self, column: Callable[[], np.ndarray]) -> None:
        self._column = column
        # Of the upper half of the keys, one pass counts all there is: it answers every search for the first 16 bits.
        table = self._through(np.zeros(1, dtype=np.uint64), 0, _HALF_BITS)[0]
        self._below = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(table)])

    def __len__(self) -> int:
        return int(self._below[-1])

    def children(self, prefixes: NDArray[np.uint64], prefix_bits: int) -> np.ndarray:
        """Count values under each child of each prefix.

        Args:
            prefixes: (p,) uint64, rising, the upper `prefix_bits` of a key.
            prefix_bits: length of a prefix.

        Returns:
            (p, FAN_OUT) int64, as `count_children` gives for sorted keys.
        """
        if prefix_bits + FAN_OUT_BITS > _HALF_BITS:
            return self._through(prefixes, prefix_bits, FAN_OUT_BITS)
        shift = np.uint64(_HALF_BITS - prefix_bits - FAN_OUT_BITS)
        children = np.arange(FAN_OUT + 1, dtype=np.uint64)
        edges = ((prefixes << np.uint64(FAN_OUT_BITS))[:, None] + children) << shift
        return np.asarray(np.diff(self._below[edges.astype(np.int64)], axis=1))

    def _through(self, prefixes: NDArray[np.uint64], prefix_bits: int, child_bits: int) -> np.ndarray:
        counts = np.zeros((len(prefixes), 1 << child_bits), dtype=np.int64)
        # The positions of the prefixes that begin with each half key.
        halves = prefixes >> np.uint64(max(0, prefix_bits - _HALF_BITS))
        starts = np.searchsorted(halves, np.arange((1 << min(prefix_bits, _HALF_BITS)) + 1, dtype=np.uint64))
        column = np.ascontiguousarray(self._column(), dtype=np.float32)
        _count_keys(column.view(np.uint32), prefixes.astype(np.uint32), starts, (prefix_bits, child_bits), counts)
        release(column)
        return counts


@njit(cache=True, nogil=True)
def _count_keys(
    bits: NDArray[np.uint32],
    prefixes: NDArray[np.uint32],
    starts: NDArray[np.int64],
    lengths: tuple[int, int],
    counts: NDArray[np.int64],
) -> None:
    """Count the keys of (n,) float32 numbers, given by their bits, under the children of prefixes.

    Args:
        starts: where among the prefixes those begin that start with each half key.
        lengths: bits of a prefix, and bits that a child fixes further.
        counts: (p, children) int64, added to.
    """
    sign, infinity = np.uint32(0x80000000), np.uint32(0x7F800000)
    prefix_bits, child_bits = lengths
    half, low = KEY_BITS - min(prefix_bits, _HALF_BITS), KEY_BITS - prefix_bits
    for value in bits:
        if value & np.uint32(0x7FFFFFFF) > infinity:
            continue  # NaN
        positive = value & sign == 0 or value == sign  # -0.0 counts as 0.0
        key = np.uint64(value | sign) if positive else np.uint64(value ^ np.uint32(0xFFFFFFFF))
        begin, end = starts[key >> np.uint64(half)], starts[(key >> np.uint64(half)) + np.uint64(1)]
        prefix = key >> np.uint64(low)
        while end - begin > 1:
            middle = (begin + end) // 2
            if prefixes[middle] <= prefix:
                begin = middle
            else:
                end = middle
        if begin < end and prefixes[begin] == prefix:
            child = (key >> np.uint64(low - child_bits)) & np.uint64((1 << child_bits) - 1)
            counts[begin, child] += 1


@dataclass(slots=True)
class RankSearch:
    """Search for several ranks in one pooled, sorted list.

    Attributes:
        ranks: (t,) int64, rank of each target within its prefix, from 0.
        prefixes: (t,) uint64, the bits known so far.
        counts: (t,) int64, how many numbers of the list begin with each prefix.
        bits: how many bits those are.
    """

    ranks: np.ndarray
    prefixes: NDArray[np.uint64]
    counts: NDArray[np.int64]
    bits: int = 0

    @classmethod
    def for_ranks(cls, ranks: np.ndarray, length: int) -> RankSearch:
        """Start with nothing known but the list's length."""
        return cls(ranks.astype(np.int64), np.zeros(len(ranks), dtype=np.uint64), np.full(len(ranks), length))

    @property
    def open_prefixes(self) -> NDArray[np.uint64]:
        """(p,) the distinct prefixes whose children are to be counted next."""
        return np.unique(self.prefixes)

    def bounds(self) -> NDArray[np.int64]:
        """(p * FAN_OUT,) bounds of the counts that `narrow` takes: a prefix's children share its numbers among them."""
        _, first = np.unique(self.prefixes, return_index=True)
        return np.repeat(self.counts[first], FAN_OUT)

    def narrow(self, pooled: np.ndarray) -> None:
        """Descend by one level, given the pooled (p, FAN_OUT) counts under `open_prefixes`."""
        row = np.searchsorted(self.open_prefixes, self.prefixes)
        reached = np.cumsum(pooled, axis=1)[row]
        child = (reached <= self.ranks[:, None]).sum(axis=1)
        below = np.where(child > 0, np.take_along_axis(reached, np.maximum(child - 1, 0)[:, None], axis=1)[:, 0], 0)
        self.ranks = self.ranks - below
        self.counts = pooled[row, child]
        self.prefixes = (self.prefixes << np.uint64(FAN_OUT_BITS)) | child.astype(np.uint64)
        self.bits += FAN_OUT_BITS
