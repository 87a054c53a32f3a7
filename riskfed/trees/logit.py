"""Between a probability of default and its margin (log-odds), in XGBoost's float32 arithmetic."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import JobError

_ONE = np.float32(1)


def _platform_logf() -> Callable[[float], float]:
    """The C library's logf, which XGBoost calls. It is not correctly rounded, so log() rounded to float32 can differ."""
    try:
        logf = ctypes.CDLL("ucrtbase" if os.name == "nt" else None).logf
    except (OSError, AttributeError):
        return math.log
    logf.restype, logf.argtypes = ctypes.c_float, [ctypes.c_float]
    return logf


_logf = _platform_logf()


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
    """PD of float32 margins, any shape, as float32: XGBoost's own value or a neighbour of it (1 ULP).

    XGBoost takes the C library's expf; here exp() is computed in double and rounded, which differs from expf in about one
    value of a thousand.
    """
    exponent = np.minimum(-margins, np.float32(88.7))
    return np.asarray(_ONE / (np.exp(exponent, dtype=np.float64).astype(np.float32) + _ONE))


def estimate_base_score(
    weight_of_defaults: float, weight_of_repaid: float, scale_pos_weight: float = 1.0
) -> np.float32:
    """The prior PD that XGBoost 3.2 takes when none is given.

    With ``scale_pos_weight`` 1 that is the weighted default rate. With another factor it is the PD after one Newton step from
    margin 0 on the scaled weights, which is near the scaled default rate but not equal to it.

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
