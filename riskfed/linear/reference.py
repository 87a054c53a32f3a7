"""The same descent in plain, on the table that no party has: what a vertical run is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskfed.linear.descent import Rates
from riskfed.linear.sigmoids import ResidualPolynomial


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """Where a descent went.

    Attributes:
        intercept: on the log-odds of default.
        coefficients: (m,) float64.
        losses: mean loss of each epoch, each mini-batch's before its step.
    """

    intercept: float
    coefficients: NDArray[np.float64]
    losses: tuple[float, ...]

    def scores(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) log-odds of default of (n, m) inputs."""
        return np.asarray(self.intercept + inputs @ self.coefficients, dtype=np.float64)


def descend(
    inputs: NDArray[np.float64],
    labels: NDArray[np.floating],
    polynomial: ResidualPolynomial,
    rates: Rates,
    batches_of: Callable[[int], Sequence[NDArray[np.int64]]],
    epochs: int,
) -> Descent:
    """Learn from the joined table, in floating point; scores are not bounded.

    Args:
        inputs: (n, m) of all parties.
        labels: (n,) 1 for default.
        polynomial: in the sigmoid's place.
        rates: of the steps.
        batches_of: epoch, from 0 -> row numbers of its mini-batches.
        epochs: how many.
    """
    design = np.column_stack([np.ones(len(inputs)), inputs])
    weights, velocity = np.zeros(design.shape[1]), np.zeros(design.shape[1])
    weights[0] = polynomial.score_of(float(labels.sum()) / len(labels))
    penalty = np.append(0.0, np.full(inputs.shape[1], rates.l2))
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for rows in batches_of(epoch):
            scores = design[rows] @ weights
            total += float(polynomial.losses(scores, labels[rows]).sum())
            gradient = design[rows].T @ polynomial.residuals(scores, labels[rows]) / len(rows)
            velocity = rates.momentum * velocity + gradient + penalty * weights
            weights = weights - rates.learning_rate * velocity
        losses.append(total / len(labels))
    return Descent(float(weights[0]), weights[1:], tuple(losses))
