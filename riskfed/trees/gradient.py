"""Gradients of the logistic loss in XGBoost's float32 arithmetic, as int64 fixed point.

The gradient pair of a record with label y, weight w and probability p (Chen and Guestrin 2016, section 2.2, with the logistic
loss) is ``g = (p - y) w`` and ``h = max(p (1 - p), 1e-16) w``. Both are computed as XGBoost computes them, every step rounded
to float32, and then stored as ``round(g 2^q)``: integers add up to the same sum in any order and over any partition of the
records, which floating-point numbers do not.
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


def effective_weights(
    labels: NDArray[np.generic], weights: NDArray[np.float32], scale_pos_weight: float
) -> NDArray[np.float32]:
    """(n,) float32 sample weights with the factor of defaults multiplied in, as XGBoost does, in float32.

    Raises:
        ContractError: a label is not 0 or 1, or a weight is negative or not finite.
    """
    if outside := int(((labels != 0) & (labels != 1)).sum()):
        raise ContractError(f"{outside} labels are neither 0 nor 1")
    weights = np.asarray(weights, dtype=np.float32)
    if weights.shape != labels.shape:
        raise ContractError(f"{len(labels)} labels, but weights of shape {weights.shape}")
    if outside := int((~(np.isfinite(weights) & (weights >= 0))).sum()):
        raise ContractError(f"{outside} sample weights are negative or not finite")
    return np.where(labels == 1, weights * np.float32(scale_pos_weight), weights).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def fill_gradients(
    margins: NDArray[np.float32],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float32],
    scale: float,
    gradients: NDArray[np.int64],
) -> tuple[np.int64, np.int64]:
    """Write the fixed-point gradient pairs of n records; the sums of g and h over them.

    Args:
        margins: (n,) float32.
        labels: (n,) uint8, 0 or 1.
        weights: (n,) float32 from `effective_weights`.
        scale: 2^q.
        gradients: (2 n,) int64, filled with g, h of each record in turn; half-way cases go to the even integer.
    """
    total_g = total_h = np.int64(0)
    for row in range(margins.shape[0]):
        exponent = min(-margins[row], _LARGEST_EXPONENT)
        # math.exp of a float32 is the C library's expf, like XGBoost's. NumPy's own vector exp rounds differently.
        p = _ONE / (math.exp(exponent) + _ONE)
        g = (p - np.float32(labels[row])) * weights[row]
        h = max(p * (_ONE - p), _SMALLEST_HESSIAN) * weights[row]
        gradients[2 * row] = np.int64(np.rint(np.float64(g) * scale))
        gradients[2 * row + 1] = np.int64(np.rint(np.float64(h) * scale))
        total_g += gradients[2 * row]
        total_h += gradients[2 * row + 1]
    return total_g, total_h
