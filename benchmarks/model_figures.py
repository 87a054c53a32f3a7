"""How good a model is, measured in the open on all banks' held-out rows: the same figures, by the same code, for every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskfed.protocols.measuring.score_cells import score_cells
from riskfed.protocols.program import run_alone

_MOST_ITERATIONS = 100
_CONVERGED = 1e-10
_SINGULAR = 1e14


@dataclass(frozen=True, slots=True)
class Quality:
    """Discrimination and calibration.

    Attributes:
        auc, ks: exact, ties counted half.
        log_loss: mean, natural logarithm.
        calibration_slope: coefficient of the margin in a logistic regression of the label on it (Cox 1958, Biometrika 45, 562-565):
            1 where the spread of the PDs is right, below 1 where they are too extreme.
    """

    auc: float
    ks: float
    log_loss: float
    calibration_slope: float


def quality(margins: np.ndarray, labels: np.ndarray) -> Quality:
    """Measure a model.

    Args:
        margins: (n,) floats, log-odds of default.
        labels: (n,) floats, 1.0 default; both kinds must be there.
    """
    z, y = margins.astype(np.float64), labels.astype(np.float64)
    cells = run_alone(score_cells(margins.astype(np.float32), labels.astype(np.float32)))
    # ln(1 + e^z) - y z is -ln of the PD of what happened, without rounding the PD to 0 or 1.
    loss = float(np.mean(np.logaddexp(0.0, z) - y * z))
    return Quality(cells.auc(), cells.ks(), loss, calibration(z, y)[1])


def calibration(margins: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of a logistic regression of (n,) labels on (n,) margins, by Newton's method with step-halving.

    Raises:
        ArithmeticError: it does not converge, as when the margins separate the labels.
    """
    design = np.column_stack([np.ones_like(margins), margins])
    beta, reached = np.zeros(2), -np.inf
    step = np.zeros(2)
    for _ in range(_MOST_ITERATIONS):
        eta = design @ (beta + step)
        likelihood = float(np.sum(labels * eta - np.logaddexp(0.0, eta)))
        if likelihood < reached - _CONVERGED * abs(reached):
            step = step / 2
            continue
        beta, reached = beta + step, likelihood
        pd = np.exp(eta - np.logaddexp(0.0, eta))
        information = design.T @ (design * (pd * (1 - pd))[:, None])
        if not np.linalg.cond(information) < _SINGULAR:
            break
        step = np.linalg.solve(information, design.T @ (labels - pd))
        if np.abs(step).max() < _CONVERGED * max(1.0, np.abs(beta).max()):
            return float(beta[0]), float(beta[1])
    raise ArithmeticError("the regression of the label on the margin does not converge")
