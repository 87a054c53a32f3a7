"""Calibration slope and intercept: logistic regressions of default on a model's own log-odds, over all banks' loans.

Cox (1958), Two further applications of a model for binary regression, Biometrika 45, 562-565. The slope is fitted with an intercept; the
intercept ("calibration in the large") with the slope held at 1, so that it says by how much the level of the PDs is off.

    1  slope: `riskfed.protocols.regression.logistic_regression`, from intercept 0 and slope 1, where a good model ends too
    2  intercept: Newton's method on one number; each step sums the residuals y - p and weights p (1 - p)

Who learns what: the banks pooled residuals and weights at each step. The server how many steps there were.
"""

from __future__ import annotations

import numpy as np

from riskfed.errors import JobError
from riskfed.evaluation.discrimination import interval
from riskfed.evaluation.record import Interval
from riskfed.protocols.measuring.scored import share_bits
from riskfed.protocols.program import Program, Sum
from riskfed.protocols.regression.logistic_regression import fit_logistic, most_fit_rounds

_MOST_ITERATIONS = 20
_LONGEST_STEP = 4.0
_LAST_STEP = 1e-20
"""Squared length, in standard errors, of the step after which the next one is negligible: its length is about the square."""

MOST_ROUNDS = most_fit_rounds(_MOST_ITERATIONS) + _MOST_ITERATIONS
"""Most sums of `calibration_line`."""


def calibration_line(
    margins: np.ndarray, labels: np.ndarray, pooled_rows: int, margin_bound: float
) -> Program[tuple[Interval, Interval]]:
    """One bank's side of both fits.

    Args:
        margins: (n,) log-odds of default.
        labels: (n,) 1.0 default.
        pooled_rows: rows of all banks together.
        margin_bound: no bank's margin is above it in magnitude; the same at every bank.

    Returns:
        (intercept, slope), with 95 % intervals.

    Raises:
        JobError: there is no fit: loans of one outcome only, one score for all, or scores that part goods and bads.
    """
    own = margins.astype(np.float64)
    fit = yield from fit_logistic(
        own[:, None], labels, pooled_rows, margin_bound, start=(0.0, 1.0), most_iterations=_MOST_ITERATIONS
    )  # 1
    intercept = yield from _intercept(own, labels, pooled_rows)  # 2
    return intercept, interval(fit.coefficients[1], fit.covariance[1][1])


def _intercept(margins: np.ndarray, labels: np.ndarray, pooled_rows: int) -> Program[Interval]:
    unit = 2.0 ** share_bits(pooled_rows)
    shift, low, high = 0.0, float("-inf"), float("inf")
    for _ in range(_MOST_ITERATIONS):
        residual, weight = ((yield Sum(_residuals(margins + shift, labels, unit), 1 << 62)) / unit).tolist()
        if not weight > 0:
            break
        # The sum of residuals falls as the intercept rises, so its sign tells on which side the root is.
        low, high = (shift, high) if residual > 0 else (low, shift)
        step = min(max(residual / weight, -_LONGEST_STEP), _LONGEST_STEP)
        shift = shift + step if low <= shift + step <= high else (low + high) / 2
        if step * step * weight < _LAST_STEP:
            return interval(shift, 1 / weight)
    raise JobError("the calibration intercept was not found: nearly all PDs are 0 or 1, or far off the default rate")


def _residuals(margins: np.ndarray, labels: np.ndarray, unit: float) -> np.ndarray:
    """(2,) int64 sums of y - p and of p (1 - p), in units."""
    small = np.exp(-np.abs(margins))
    far, near = small / (1 + small), 1 / (1 + small)
    residuals = np.where(labels != 0, np.where(margins > 0, far, near), -np.where(margins > 0, near, far))
    parts = (residuals, far * near)
    return np.array([np.rint(part * unit).astype(np.int64).sum() for part in parts], dtype=np.int64)
