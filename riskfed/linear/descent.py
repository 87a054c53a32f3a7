"""Gradient descent of one party, of whose gradient only whole-number sums come, opened by somebody else.

Inputs and scores are written in fixed point, so that sums of their products are whole numbers and add up alike under encryption:

    input      X = round(x 2^24)
    score      U = round(u 2^s),  u = sum_j x_j w_j of the party's own columns, |u| bounded
    residual   D = d 2^r
    sum        G_j = sum_i D_i X_ij,  exact;  the gradient of the mean loss is G_j / (2^r 2^24 rows)

Steps are those of heavy-ball momentum: v <- momentum v + gradient + l2 w;  w <- w - learning_rate v  (Polyak 1964).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import JobError, RemoteProtocolError
from riskfed.linear.sigmoids import COEFFICIENT_BITS, ResidualPolynomial

INPUT_BITS: Final = 24
"""Fractional bits of an input: rounding moves a coefficient by some 1e-8 of itself."""
_TAYLOR_SCORE_BITS: Final = 28
_CUBIC_SCORE_BITS: Final = 18
"""Fewer, since a score is raised to the third power."""


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Fractional bits of scores and residuals; public.

    Attributes:
        score_bits: s.
        residual_bits: r: enough that a residual of rounded scores is a whole number.
    """

    score_bits: int
    residual_bits: int

    @classmethod
    def of(cls, polynomial: ResidualPolynomial) -> FixedPoint:
        """Those of a polynomial."""
        if polynomial.degree == 1:
            return cls(_TAYLOR_SCORE_BITS, _TAYLOR_SCORE_BITS + 2)  # linear is 1/4
        return cls(_CUBIC_SCORE_BITS, 3 * _CUBIC_SCORE_BITS + COEFFICIENT_BITS)

    def score(self, value: float) -> int:
        """A bound, or another number, in units of a score."""
        return round(value * (1 << self.score_bits))


def fixed_inputs(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Finite numbers of any shape, below 2^38 in size, in multiples of 2^-24, ties to even."""
    return np.rint(values * 2.0**INPUT_BITS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Rates:
    """How steps are made; see `riskfed.jobs.VerticalLogistic`."""

    learning_rate: float
    momentum: float
    l2: float


@dataclass(slots=True)
class Coefficients:
    """One party's coefficients while they are learned. Secret to it.

    Attributes:
        values: (m,) of its columns.
        velocity: (m,) of the momentum.
        free: how many of the first are not penalised: 1 with an intercept.
    """

    values: list[float] = field(repr=False)
    velocity: list[float] = field(repr=False)
    free: int = 0

    @classmethod
    def zeros(cls, columns: int) -> Coefficients:
        """Where a descent begins."""
        return cls([0.0] * columns, [0.0] * columns)

    @classmethod
    def with_intercept(cls, intercept: float, columns: int) -> Coefficients:
        """Where a descent begins that has an intercept beside so many columns; it is the first."""
        return cls([intercept, *[0.0] * columns], [0.0] * (1 + columns), free=1)

    def scores(self, inputs: NDArray[np.int64], polynomial: ResidualPolynomial) -> NDArray[np.int64]:
        """Fixed-point scores of rows.

        Args:
            inputs: (n, m) from `fixed_inputs`.
            polynomial: whose reach bounds them.

        Returns:
            (n,) int64.
        """
        total = np.zeros(len(inputs))
        for column, value in zip(inputs.T, self.values, strict=True):
            total += column * (value / 2**INPUT_BITS)
        bounded = np.clip(total, -polynomial.reach, polynomial.reach)
        return np.rint(bounded * 2.0 ** FixedPoint.of(polynomial).score_bits).astype(np.int64)

    def step(self, sums: Sequence[int], rows: int, rates: Rates, fixed: FixedPoint) -> None:
        """Move by one mini-batch.

        Args:
            sums: (m,) G.
            rows: of the mini-batch.
            rates, fixed: of the run.

        Raises:
            RemoteProtocolError: another number of sums than columns.
            JobError: the descent runs away.
        """
        if len(sums) != len(self.values):
            raise RemoteProtocolError(
                f"{len(sums)} gradient sums for {len(self.values)} coefficients; the coordinator's operator must act"
            )
        unit = rows << (fixed.residual_bits + INPUT_BITS)
        for number, total in enumerate(sums):
            gradient = total / unit + (rates.l2 * self.values[number] if number >= self.free else 0.0)
            self.velocity[number] = rates.momentum * self.velocity[number] + gradient
            self.values[number] -= rates.learning_rate * self.velocity[number]
        if not all(abs(value) < _RUNAWAY for value in self.values):
            raise JobError("the descent runs away: a coefficient is beyond 2^20; the job needs a lower learning_rate")

    def product(self, sums: Sequence[int], fixed: FixedPoint) -> float:
        """Sum over the rows of residual times own score, which is coefficients times gradient: nothing more need be opened for the
        loss. Exact where no score was bounded, but for rounding.
        """
        unit = 1 << (fixed.residual_bits + INPUT_BITS)
        return float(sum(value * (total / unit) for value, total in zip(self.values, sums, strict=True)))


_RUNAWAY: Final = 2.0**20


def batches(ids: NDArray[np.bytes_], size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The mini-batches of an epoch: equal at all parties, and whatever the order of rows.

    Rows are dealt evenly in the order of a hash of their id, so no mini-batch has fewer than `size` rows, unless there are fewer at all: a
    short last one would give away its rows' residuals.

    Args:
        ids: (n,) normalised customer ids of the development rows, n >= 1.
        size: least rows of a mini-batch.
        seed: of the job.
        epoch: from 0.

    Returns:
        Rising row numbers of each; at most 2 `size` - 1.
    """
    key = seed.to_bytes(8, "big") + epoch.to_bytes(8, "big")
    order = np.argsort([hashlib.blake2b(one, digest_size=8, key=key).digest() for one in ids.tolist()], kind="stable")
    return [np.sort(rows) for rows in np.array_split(order, max(len(ids) // size, 1))]
