"""Histograms of fixed-point gradients: for every bin the sums of g and h of the records in it.

A histogram of one node is ``2 * total_bins`` int64: g and h of each bin in turn, the bins of feature 0 first. Records with a
missing value are in none of the feature's bins, as in XGBoost.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.errors import JobError
from riskfed.trees.machine import add_pair, prefetch

_SLOTS = 256
_AHEAD = 16


def fixed_point_bits(total_weight: float) -> int:
    """Fractional bits q with which no sum over records of ``total_weight`` in all leaves int64.

    ``|g| <= w`` and ``h <= w / 4`` for a record of weight w, so that sums stay within ``total_weight * 2^q < 2^62``.

    Raises:
        JobError: the weight is not positive and finite, or so large that no fractional bits are left.
    """
    if not (total_weight > 0 and math.isfinite(total_weight)):
        raise JobError(f"the weights of all records sum to {total_weight}; expected a positive number")
    bits = 62 - math.ceil(math.log2(total_weight + 1))
    if bits < 1:
        raise JobError(f"the weights of all records sum to {total_weight:.3g}, beyond fixed point; scale them down")
    return bits


def workspace(n_features: int) -> NDArray[np.int64]:
    """Zeros for `build_histograms` to count in; it leaves them zero."""
    return np.zeros(n_features * _SLOTS * 2, dtype=np.int64)


@njit(cache=True, nogil=True)
def build_histograms(
    codes: NDArray[np.uint8],
    gradients: NDArray[np.int64],
    rows: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    n_bins: NDArray[np.int64],
    counts: NDArray[np.int64],
    histograms: NDArray[np.int64],
) -> None:
    """Histograms of nodes, each of which is a range of the row index.

    Args:
        codes: (n * n_features,) uint8 bin codes, record by record; 255 is missing where the feature has fewer bins.
        gradients: (2 n,) int64 pairs of g and h.
        rows: (n,) int32 records in the order of the nodes.
        begins, ends: (n_nodes,) int64; node k holds the records ``rows[begins[k]:ends[k]]``.
        n_bins: (n_features,) int64.
        counts: from `workspace`.
        histograms: (n_nodes, 2 * total_bins) int64, overwritten.
    """
    n_features = n_bins.shape[0]
    for node in range(begins.shape[0]):
        _count(codes, gradients, rows, begins[node], ends[node], n_features, counts)
        position = 0
        for feature in range(n_features):
            first = feature * _SLOTS * 2
            for slot in range(first, first + 2 * n_bins[feature]):
                histograms[node, position] = counts[slot]
                counts[slot] = 0
                position += 1
            # What records with a missing value have left behind; without missing values this slot is a bin, copied above.
            counts[first + 2 * _SLOTS - 2] = 0
            counts[first + 2 * _SLOTS - 1] = 0


@njit(cache=True, nogil=True)
def _count(
    codes: NDArray[np.uint8],
    gradients: NDArray[np.int64],
    rows: NDArray[np.int32],
    begin: int,
    end: int,
    n_features: int,
    counts: NDArray[np.int64],
) -> None:
    # Every feature has 256 slots here, so that a code is a slot as it stands: no test for missing values, no offset to load.
    for index in range(begin, end):
        # The records of a node lie scattered in memory; without the hint every one of them is a wait (2 to 7 times slower).
        ahead = np.intp(rows[min(index + _AHEAD, end - 1)])
        prefetch(codes, ahead * n_features)
        prefetch(codes, ahead * n_features + n_features - 1)
        prefetch(gradients, 2 * ahead)
        row = np.intp(rows[index])
        g = gradients[2 * row]
        h = gradients[2 * row + 1]
        first = row * n_features
        for feature in range(n_features):
            add_pair(counts, 2 * (feature * _SLOTS + np.intp(codes[first + feature])), g, h)
