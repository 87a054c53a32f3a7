"""Values to bin codes, and codes from one layout to the other: compiled, for `Cuts.bin` and `TrainingRows`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.trees.cuts import MAX_BINS, MISSING

_ROWS_PER_TILE = 64


@njit(cache=True, nogil=True)
def fill_codes(
    column: NDArray[np.float32], points: NDArray[np.float32], n_bins: int, codes: NDArray[np.uint8]
) -> tuple[np.intp, np.intp]:
    """Write the bin codes of a column.

    Args:
        column: (n,) float32, NaN where missing.
        points: (256,) float32, the ``n_bins`` cuts and after them infinity.
        n_bins: number of bins.
        codes: (n,) uint8, filled.

    Returns:
        How many values are infinite, and how many missing.
    """
    infinite = missing = np.intp(0)
    for row in range(column.shape[0]):
        value = column[row]
        # A binary search without branches: values come in no order, and every other branch would be mispredicted.
        code, step = np.uintp(0), np.uintp(MAX_BINS // 2)
        while step > 0:
            code += step * np.uintp(points[code + step - np.uintp(1)] <= value)
            step >>= np.uintp(1)
        codes[row] = np.uint8(MISSING if np.isnan(value) else min(code, np.uintp(n_bins - 1)))
        infinite += np.intp(np.isinf(value))
        missing += np.intp(np.isnan(value))
    return infinite, missing


@njit(cache=True, nogil=True)
def transpose_codes(columns: NDArray[np.uint8], spans: NDArray[np.int64], rows: NDArray[np.uint8]) -> None:
    """Copy the codes of some records from (n_features, n) ``columns`` to (n * n_features,) ``rows``, record by record.

    Args:
        spans: (m, 2) int64, first record of each span, and the one after the last.
    """
    n_features = np.uintp(columns.shape[0])
    for begin, end in spans:
        for first in range(begin, end, _ROWS_PER_TILE):
            # A tile of rows stays in the nearest cache while its columns are written into it.
            for feature in range(n_features):
                for row in range(np.uintp(first), np.uintp(min(first + _ROWS_PER_TILE, end))):
                    rows[row * n_features + feature] = columns[feature, row]
