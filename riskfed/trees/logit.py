"""Between a probability of default and its margin (log-odds), in XGBoost's float32 arithmetic."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import JobError

_ONE = np.float32(1)


def _c_library(name: str, otherwise: Callable[[float], float]) -> Callable[[float], float]:
    """A float32 function of the C library, which is what XGBoost calls. Such functions are not correctly rounded."""
    try:
        function = getattr(ctypes.CDLL("ucrtbase" if os.name == "nt" else None), name)
    except (OSError, AttributeError):
        return otherwise
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return cast("Callable[[float], float]", function)


_logf = _c_library("logf", math.log)
_expf = _c_library("expf", math.exp)

# expf lies within this many ULP of the exact value (0.502 in glibc), so it can only differ from the correctly rounded value
# where the exact one is this near to the middle between two float32.
_EXPF_ERROR = 0.51


def margin_of(base_score: float) -> np.float32:
    """Margin of a prior PD: ``-log(1 / base_score - 1)`` in float32.

    Raises:
        JobError: the PD, rounded to float32, is not inside (0, 1).
    """
    score = np.float32(base_score)
    if not 0 < score < 1:
        raise JobError(f"base_score is {base_score!r}; expected a PD inside (0, 1)")
    return np.float32(-_logf(float(_ONE / score - _ONE)))


def sigmoid(margins: NDArray[np.float32]) -> NDArray[np.float32]:
    """PD of float32 margins, any shape, as float32: to the last bit what XGBoost predicts on this machine."""
    return np.asarray(_ONE / (_exp(np.minimum(-margins, np.float32(88.7))) + _ONE))


def _exp(exponents: NDArray[np.float32]) -> NDArray[np.float32]:
    """expf of the C library, mostly without calling it: exp in double, rounded, except where that leaves a doubt."""
    exact = np.exp(exponents, dtype=np.float64)
    rounded = exact.astype(np.float32)
    doubtful = np.abs(exact - rounded) > (1 - _EXPF_ERROR) * np.spacing(rounded)
    rounded[doubtful] = [_expf(exponent) for exponent in exponents[doubtful].tolist()]
    return rounded


def estimate_base_score(
    weight_of_defaults: float, weight_of_repaid: float, scale_pos_weight: float = 1.0
) -> np.float32:
    """The prior PD that XGBoost 3.2 takes when none is given.

    With ``scale_pos_weight`` 1 that is the weighted default rate. With another factor it is the PD after one Newton step from
    margin 0 on the scaled weights, which is near the scaled default rate but not equal to it. The result is XGBoost's own to
    the last bit, except for the factor together with sample weights: XGBoost rounds each product to float32 before it adds
    them up, which this sum of sums cannot follow, and which moves the result by 1 ULP now and then.

    Args:
        weight_of_defaults, weight_of_repaid: sums of the sample weights, without ``scale_pos_weight``.

    Raises:
        JobError: all records have the same outcome, so no prior PD inside (0, 1) exists.
    """
    total = weight_of_defaults + weight_of_repaid
    if not (weight_of_defaults > 0 and weight_of_repaid > 0 and math.isfinite(total)):
        raise JobError("base_score cannot be estimated: expected both defaulted and repaid records in the pool")
    if scale_pos_weight == 1:
        return np.float32(weight_of_defaults / total)
    scaled = float(np.float32(scale_pos_weight)) * weight_of_defaults
    step = 2 * (scaled - weight_of_repaid) / (scaled + weight_of_repaid)
    return np.float32(sigmoid(np.array([step], dtype=np.float32))[0])
