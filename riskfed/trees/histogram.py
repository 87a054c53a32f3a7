"""Histograms of fixed-point gradients: for every bin the sums of g and h of the records in it.

A histogram of one node is ``2 * total_bins`` int64: g and h of each bin in turn, the bins of feature 0 first. Records with a
missing value are in none of the feature's bins, as in XGBoost.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError, JobError
from riskfed.trees.cuts import MAX_BINS
from riskfed.trees.gradient import fixed_point
from riskfed.trees.machine import add_pair, prefetch
from riskfed.trees.partition import RowRanges

_SLOTS = MAX_BINS
_ONE, _TWO = np.uintp(1), np.uintp(2)
_AHEAD = np.uintp(16)
_PER_FEATURE = np.uintp(2 * _SLOTS)


def fixed_point_bits(total_weight: float, wanted: int | None = None) -> int:
    """Fractional bits q with which no sum over records of ``total_weight`` in all leaves int64.

    ``|g| <= w`` and ``h <= w / 4`` for a record of weight w, so that sums stay within ``total_weight * 2^q < 2^62``.

    Args:
        total_weight: sum of the weights of all records.
        wanted: how many bits to use; None for all that there is room for.

    Raises:
        JobError: the weight is not positive and finite, or so large that no fractional bits are left.
        ConfigurationError: there is no room for the bits wanted.
    """
    if not (total_weight > 0 and math.isfinite(total_weight)):
        raise JobError(f"the weights of all records sum to {total_weight}; expected a positive number")
    # The slack keeps the bound of a sum, which allows for rounding (see `sum_bound`), within 2^62 too.
    most = 62 - math.ceil(math.log2(total_weight * (1 + 2**-19) + 1))
    if most < 1:
        raise JobError(f"the weights of all records sum to {total_weight:.3g}, beyond fixed point; scale them down")
    if wanted is not None and not 1 <= wanted <= most:
        raise ConfigurationError(f"{wanted} fractional bits wanted; with these weights 1 to {most} are possible")
    return most if wanted is None else wanted


def sum_bound(total_weight: float, bits: int) -> int:
    """No sum of gradients over records of ``total_weight`` in all is larger in size, with ``bits`` fractional bits."""
    # Rounding adds half a unit a record, and float32 products 2^-24 of the whole: covered by 2^32 and 2^-20 of the whole.
    return math.ceil(total_weight * 2.0**bits * (1 + 2**-20)) + 2**32


def workspace(n_threads: int, n_nodes: int, n_features: int) -> NDArray[np.int64]:
    """(n_threads, n_nodes, n_features * 512) zeros for `count_gradients` to count in; `gather_counts` leaves them zero."""
    return np.zeros((n_threads, n_nodes, n_features * _SLOTS * 2), dtype=np.int64)


class Records(NamedTuple):
    """One party's records.

    Attributes:
        codes: (n * n_features,) uint8 bin codes, record by record; 255 is missing where the feature has fewer bins.
        gradients: (2 n,) float32, g and h of each record in turn.
        scale: 2^q.
    """

    codes: NDArray[np.uint8]
    gradients: NDArray[np.float32]
    scale: float


@njit(cache=True, nogil=True)
def count_gradients(
    records: Records, ranges: RowRanges, segments: NDArray[np.int64], n_features: int, counts: NDArray[np.int64]
) -> None:
    """Add the fixed-point gradients of some segments' records to the histograms of their nodes.

    Args:
        records: bins and gradients.
        ranges: which records each of k nodes holds.
        segments: numbers of the segments.
        n_features: number of features.
        counts: (k or more, n_features * 512) int64, g and h of every code of every feature, changed in place.
    """
    for segment in segments:
        for node in range(ranges.begins.shape[0]):
            _count(records, ranges, (node, segment), n_features, counts[node])


@njit(cache=True, nogil=True)
def _count(
    records: Records, ranges: RowRanges, place: tuple[int, int], n_features: int, counts: NDArray[np.int64]
) -> None:
    # Plain locals: compiled code would count references at every access through the tuples.
    codes, gradients, scale, rows = records.codes, records.gradients, records.scale, ranges.rows
    width, end = np.uintp(n_features), np.uintp(ranges.ends[place])
    for index in range(np.uintp(ranges.begins[place]), end):
        # The records of a node lie scattered in memory; without the hint every one of them is a wait (2 to 7 times slower).
        ahead = np.uintp(rows[min(index + _AHEAD, end - _ONE)])
        prefetch(codes, ahead * width)
        prefetch(codes, ahead * width + (width - _ONE))
        prefetch(gradients, _TWO * ahead)
        row = np.uintp(rows[index])
        g, h = fixed_point(gradients[_TWO * row], scale), fixed_point(gradients[_TWO * row + _ONE], scale)
        slots = np.uintp(0)
        for code in range(row * width, row * width + width):
            # Every feature has 256 slots, so that a code is a slot as it stands: no test for missing, no offset to load.
            add_pair(counts, slots + _TWO * np.uintp(codes[code]), g, h)
            slots += _PER_FEATURE


@njit(cache=True, nogil=True)
def gather_counts(
    counts: NDArray[np.int64], n_bins: NDArray[np.int64], nodes: NDArray[np.int64], histograms: NDArray[np.int64]
) -> None:
    """Add up what the threads have counted for some of k nodes, without the records whose value is missing, and clear it.

    Args:
        counts: (n_threads, k or more, n_features * 512) int64; see `count_gradients`.
        n_bins: (n_features,) int64.
        nodes: which of the k nodes.
        histograms: (k, 2 * total_bins) int64, overwritten for these nodes.
    """
    for node in nodes:
        histograms[node] = 0
        for thread in range(counts.shape[0]):
            own, total = counts[thread, node], histograms[node]
            position = 0
            for feature in range(n_bins.shape[0]):
                first = feature * _SLOTS * 2
                for slot in range(2 * n_bins[feature]):
                    total[position + slot] += own[first + slot]
                position += 2 * n_bins[feature]
            own[:] = 0


@njit(cache=True, nogil=True)
def derive_siblings(
    parents: NDArray[np.int64],
    positions: NDArray[np.int64],
    summed: NDArray[np.int64],
    places: NDArray[np.int64],
    histograms: NDArray[np.int64],
) -> bool:
    """Fill in the histograms of both children of k nodes, of which only one child's was summed.

    Args:
        parents: (any, 2 * total_bins) int64.
        positions: (k,) int64, where the k nodes are among the parents.
        summed: (k, 2 * total_bins) int64 histogram of one child each.
        places: (k,) int64, where that child goes; its sibling's place differs in the last bit only.
        histograms: (2 k, 2 * total_bins) int64, filled.

    Returns:
        Whether every hessian is 0 or more, as it must be if the sums are sums over records.
    """
    lowest = np.int64(0)
    for pair in range(positions.shape[0]):
        parent, own, other = positions[pair], places[pair], places[pair] ^ 1
        for cell in range(summed.shape[1]):
            histograms[own, cell] = summed[pair, cell]
            histograms[other, cell] = parents[parent, cell] - summed[pair, cell]
        for cell in range(1, summed.shape[1], 2):
            lowest = min(lowest, histograms[own, cell], histograms[other, cell])
    return bool(lowest >= 0)
