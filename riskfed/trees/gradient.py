"""Gradients of the logistic loss in XGBoost's float32 arithmetic, and their int64 fixed point.

The gradient pair of a record with label y, weight w and probability p (Chen and Guestrin 2016, section 2.2, with the logistic
loss) is ``g = (p - y) w`` and ``h = max(p (1 - p), 1e-16) w``. Both are computed as XGBoost computes them, every step rounded
to float32, and kept so. They are added up as ``round(g 2^q)``: integers give the same sum in any order and over any partition of
the records, which floating-point numbers do not.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.errors import ContractError

_ONE = np.float32(1)
_LARGEST_EXPONENT = np.float32(88.7)
_SMALLEST_HESSIAN = np.float32(1e-16)
_ROWS_AT_ONCE = 1 << 20

FAINT = 1 << 10
"""A record with a weight is faint if its fixed-point hessian is below this; see `riskfed.trees.sum_bounds`."""


def effective_weights(
    labels: NDArray[np.generic], weights: NDArray[np.float32], scale_pos_weight: float, effective: NDArray[np.float32]
) -> None:
    """Multiply the factor of defaults into the sample weights, as XGBoost does, in float32.

    Args:
        labels, weights: (n,) labels and float32 weights.
        scale_pos_weight: the factor.
        effective: (n,) float32, filled.

    Raises:
        ContractError: a label is not 0 or 1, or a weight is negative or not finite.
    """
    if weights.shape != labels.shape:
        raise ContractError(f"{len(labels)} labels, but weights of shape {weights.shape}")
    wrong_labels = wrong_weights = 0
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        wrong_labels += int(((labels[rows] != 0) & (labels[rows] != 1)).sum())
        wrong_weights += int((~(np.isfinite(weights[rows]) & (weights[rows] >= 0))).sum())
        effective[rows] = np.where(labels[rows] == 1, weights[rows] * np.float32(scale_pos_weight), weights[rows])
    if wrong_labels:
        raise ContractError(f"{wrong_labels} labels are neither 0 nor 1")
    if wrong_weights:
        raise ContractError(f"{wrong_weights} sample weights are negative or not finite")


@njit(cache=True, nogil=True, inline="always")
def fixed_point(value: np.float32, scale: float) -> np.int64:
    """A gradient as a whole number of units; half-way cases go to the even one."""
    return np.int64(np.rint(np.float64(value) * scale))


@njit(cache=True, nogil=True, error_model="numpy")
def fill_gradients(
    margins: NDArray[np.float32],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float32],
    scale: float,
    spans: NDArray[np.int64],
    gradients: NDArray[np.float32],
) -> tuple[np.int64, np.int64, np.int64]:
    """Write the float32 gradient pairs of some records; the fixed-point sums of g and h over them, and how many are faint.

    Args:
        margins: (n,) float32.
        labels: (n,) uint8, 0 or 1.
        weights: (n,) float32 from `effective_weights`.
        scale: 2^q.
        spans: (m, 2) int64, first record of each span, and the one after the last.
        gradients: (2 n,) float32, filled with g, h of each record in turn.
    """
    total_g = total_h = faint = np.int64(0)
    for span in range(spans.shape[0]):
        for row in range(np.uintp(spans[span, 0]), np.uintp(spans[span, 1])):
            exponent = min(-margins[row], _LARGEST_EXPONENT)
            # math.exp of a float32 is the C library's expf, like XGBoost's. NumPy's own vector exp rounds differently.
            p = _ONE / (math.exp(exponent) + _ONE)
            g = (p - np.float32(labels[row])) * weights[row]
            h = max(p * (_ONE - p), _SMALLEST_HESSIAN) * weights[row]
            gradients[np.uintp(2) * row], gradients[np.uintp(2) * row + np.uintp(1)] = g, h
            total_g += fixed_point(g, scale)
            units = fixed_point(h, scale)
            total_h += units
            faint += units < FAINT and weights[row] > 0
    return total_g, total_h, faint
