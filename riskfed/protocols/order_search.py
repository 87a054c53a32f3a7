"""Find order statistics of numbers that lie at several banks, by counting under prefixes of their sort keys.

A float32 has a uint32 key that sorts as the number does. Sixteen children of a prefix are counted at every bank, the counts are
summed under protection, and the search goes on below the child that holds the wanted rank. No bank learns more than pooled counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAN_OUT_BITS = 4
FAN_OUT = 1 << FAN_OUT_BITS
KEY_BITS = 32


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


@dataclass(slots=True)
class RankSearch:
    """Search for several ranks in one pooled, sorted list.

    Attributes:
        ranks: (t,) int64, rank of each target within its prefix, from 0.
        prefixes: (t,) uint64, the bits known so far.
        bits: how many bits those are.
    """

    ranks: np.ndarray
    prefixes: NDArray[np.uint64]
    bits: int = 0

    @classmethod
    def for_ranks(cls, ranks: np.ndarray) -> RankSearch:
        """Start with nothing known."""
        return cls(ranks.astype(np.int64), np.zeros(len(ranks), dtype=np.uint64))

    @property
    def open_prefixes(self) -> NDArray[np.uint64]:
        """(p,) the distinct prefixes whose children are to be counted next."""
        return np.unique(self.prefixes)

    def narrow(self, pooled: np.ndarray) -> None:
        """Descend by one level, given the pooled (p, FAN_OUT) counts under `open_prefixes`."""
        row = np.searchsorted(self.open_prefixes, self.prefixes)
        reached = np.cumsum(pooled, axis=1)[row]
        child = (reached <= self.ranks[:, None]).sum(axis=1)
        below = np.where(child > 0, np.take_along_axis(reached, np.maximum(child - 1, 0)[:, None], axis=1)[:, 0], 0)
        self.ranks = self.ranks - below
        self.prefixes = (self.prefixes << np.uint64(FAN_OUT_BITS)) | child.astype(np.uint64)
        self.bits += FAN_OUT_BITS
