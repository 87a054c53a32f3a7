"""The two encoders of federated transfer learning, and what each party needs of the other for its gradient: whole numbers only.

Liu, Kang, Xing, Chen, Yang 2020, A Secure Federated Transfer Learning Framework, IEEE Intelligent Systems 35(4). The label holder A puts
its customers at places u_A = tanh(x_A W_A) in d dimensions, the target B at u_B = tanh(x_B W_B). A customer's score is s = Phi . u_B, and

    Phi_k = 1/n sum_j t_j u_A_jk                            over A's n teaching customers
    loss  = 1/N sum_i (ln 2 - t_i s_i / 2 + s_i^2 / 8)      over the N common customers
          + alignment / (N d) sum_i |u_A_i - u_B_i|^2  +  l2/2 (|W_A|^2 + |W_B|^2)

This is the paper's Taylor loss, with labels t = 1/(2p) of a default and -1/(2(1-p)) of any other, p the default rate, in place of 1 and
-1. Then both outcomes weigh the same (sum t = 0), and Phi is half of the distance between the classes' mean places; where defaults are
rare, labels of 1 and -1 would teach little but the mean. For each dimension k the gradients are, without that of l2,

    N dW_B[f,k] = sum_i D^B_ikf [-t_i Phi_k / 2 - c u_A_ik]  + sum_l (sum_i D^B_ikf u_B_il) / 4 [Phi_k Phi_l]      + c sum_i D^B_ikf u_B_ik
    N dW_A[f,k] = sum_i (-t_i S_kf / 2 - c D^A_ikf) [u_B_ik] + sum_l (N S_kf Phi_l / 4) [1/N sum_i u_B_ik u_B_il]  + c sum_i D^A_ikf u_A_ik

with c = 2 alignment / d, D_ikf = (1 - u_ik^2) x_if and S_kf = 1/n sum_j t_j D^A_jkf. In brackets is the other party's: `terms`, a vector
of N + d numbers for each k. Before them stand this party's `weights`. So each party's gradient is a weighted sum of an encrypted vector,
and what is encrypted need never be multiplied with what is encrypted.

Terms and weights are rounded to 2^-16; whoever sums, and in which order, gets the same whole number. Secret: all of it but the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import JobError
from riskfed.jobs import FederatedTransfer
from riskfed.linear.rank_inputs import MOST_INPUT

UNIT: Final = 1 << 16
"""One, in the fixed point of terms and weights."""
MOST_LABEL: Final = 128
"""No label t is larger: the default rate is from 0.4 % to 99.6 %."""
_FIRST_SCALE: Final = 0.5
"""Standard deviation of a first weight, times the square root of the number of inputs."""

Whole = NDArray[np.int64]
Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no number under one party's key passes in size. Public.

    Attributes:
        terms: of that party.
        weights: of the other party.
    """

    terms: int
    weights: int

    @classmethod
    def of_label_holder(cls, job: FederatedTransfer, customers: int) -> Bounds:
        """Of what the label holder encrypts, for so many common customers."""
        terms = max(MOST_LABEL / 2 + _pull(job), 1)
        return cls(_units(terms), _units(MOST_INPUT * max(customers / 4, 1)))

    @classmethod
    def of_target(cls, job: FederatedTransfer, customers: int) -> Bounds:
        """Of what the target encrypts."""
        weights = MOST_INPUT * max(MOST_LABEL / 2 + _pull(job), customers / 4)
        return cls(_units(1), _units(weights))


class Encoder:
    """One party's encoder and its descent.

    Args:
        width: inputs f.
        job: dimensions, learning rate, momentum and l2.
        number: 0 at the label holder, 1 at the target: they begin with different weights.

    Attributes:
        weights: (f, d) float64; secret.
    """

    def __init__(self, width: int, job: FederatedTransfer, number: int) -> None:
        draw = np.random.default_rng([job.initial_seed, number])
        self.weights: Real = draw.normal(0, _FIRST_SCALE / math.sqrt(width), (width, job.dimensions))
        self._velocity = np.zeros_like(self.weights)
        self._job = job

    def places(self, inputs: Real) -> Whole:
        """(n, d) places of customers with (n, f) inputs, in units."""
        return rounded(embedded(inputs, self.weights))

    def descend(self, gradient: Real) -> None:
        """One step along (f, d) ``gradient``, that of l2 apart (Polyak 1964, heavy ball)."""
        full = gradient + self._job.l2 * self.weights
        self._velocity = self._job.momentum * self._velocity - self._job.learning_rate * full
        self.weights = self.weights + self._velocity


class LabelSide:
    """The label holder's part of the descent.

    Args:
        inputs: (n, f) float64 of its teaching customers, all of them.
        labels: (n,) float32, 1.0 default.
        common: (N,) int64, which of them are common, in the common order.
        job: the parameters.

    Raises:
        JobError: the default rate is out of range, or there are no common customers.
    """

    def __init__(self, inputs: Real, labels: NDArray[np.float32], common: NDArray[np.int64], job: FederatedTransfer):
        self._bads = labels != 0
        defaults = int(self._bads.sum())
        if not 1 / (2 * MOST_LABEL) < defaults / max(len(labels), 1) < 1 - 1 / (2 * MOST_LABEL) or not len(common):
            raise JobError(
                f"transfer learning needs common customers and a default rate from {1 / (2 * MOST_LABEL):.1%} to "
                f"{1 - 1 / (2 * MOST_LABEL):.1%}; the label holder's data engineer must see to it"
            )
        self.base_rate = defaults / len(labels)
        """Default rate p of the teaching customers."""
        self.encoder = Encoder(inputs.shape[1], job, 0)
        self._inputs, self._common, self._pull = inputs, common, _pull(job)
        signs = np.where(self._bads[common], 1 / (2 * self.base_rate), -1 / (2 * (1 - self.base_rate)))
        self._half_labels: Real = signs / 2
        self._look()

    def _look(self) -> None:
        self._places = self.encoder.places(self._inputs)
        self.phi: Real = self._between_classes(self._places)
        """(d,) Phi: half of the distance between the means of defaults and others."""

    def terms(self) -> Whole:
        """(d, N + d) int64 for the target's gradient."""
        places = self._places[self._common].T / UNIT
        of_rows = -self._half_labels * self.phi[:, None] - self._pull * places
        return rounded(np.concatenate([of_rows, np.outer(self.phi, self.phi)], axis=1))

    def weights(self) -> Whole:
        """(d, N + d, f) int64 for the target's terms."""
        customers = len(self._common)
        weights = np.empty((len(self.phi), customers + len(self.phi), self._inputs.shape[1]), dtype=np.int64)
        for k, of_dimension in enumerate(weights):
            derivatives = _derivatives(self._inputs, self._places[:, k])
            moved = self._between_classes(derivatives)
            own = self._pull * derivatives[self._common] / UNIT
            of_dimension[:customers] = rounded(-np.outer(self._half_labels, moved) - own)
            of_dimension[customers:] = rounded(customers / 4 * np.outer(self.phi, moved))
        return weights

    def descend(self, sums: Sequence[Sequence[int]]) -> None:
        """One step, from the d times f sums of the target's terms by `weights`."""
        common = self._common
        self.encoder.descend(_gradient(sums, self._inputs[common], self._places[common], self._pull))
        self._look()

    def _between_classes(self, values: Whole) -> Real:
        """(m,) sum_j t_j v_j / n of (n, m) whole numbers in units."""
        of_bads, of_all = (part.sum(axis=0).astype(np.float64) for part in (values[self._bads], values))
        bads = int(self._bads.sum())
        return np.asarray((of_bads / bads - (of_all - of_bads) / (len(self._bads) - bads)) / (2 * UNIT))


class TargetSide:
    """The target's part of the descent.

    Args:
        inputs: (N, f) float64 of the common customers, in the common order.
        job: the parameters.
    """

    def __init__(self, inputs: Real, job: FederatedTransfer) -> None:
        self.encoder = Encoder(inputs.shape[1], job, 1)
        self._inputs, self._pull = inputs, _pull(job)
        self._places = self.encoder.places(inputs)

    def terms(self) -> Whole:
        """(d, N + d) int64 for the label holder's gradient."""
        products = (self._places.T @ self._places) / (len(self._places) * UNIT)
        return np.concatenate([self._places.T, np.rint(products).astype(np.int64)], axis=1)

    def weights(self) -> Whole:
        """(d, N + d, f) int64 for the label holder's terms."""
        customers, dimensions = self._places.shape
        weights = np.empty((dimensions, customers + dimensions, self._inputs.shape[1]), dtype=np.int64)
        for k, of_dimension in enumerate(weights):
            derivatives = _derivatives(self._inputs, self._places[:, k])
            of_dimension[:customers] = derivatives
            of_dimension[customers:] = np.rint((self._places.T @ derivatives) / (4 * UNIT))
        return weights

    def descend(self, sums: Sequence[Sequence[int]]) -> None:
        """One step, from the d times f sums of the label holder's terms by `weights`."""
        self.encoder.descend(_gradient(sums, self._inputs, self._places, self._pull))
        self._places = self.encoder.places(self._inputs)


def embedded(inputs: Real, weights: Real) -> Real:
    """(n, d) tanh(x W). Added up input by input, so that no customer's place depends on who else is there, as BLAS would have it."""
    sums = np.zeros((len(inputs), weights.shape[1]))
    for column, row in zip(inputs.T, weights, strict=True):
        sums += column[:, None] * row
    return np.asarray(np.tanh(sums))


def rounded(values: Real) -> Whole:
    """Whole units, any shape."""
    return np.rint(values * UNIT).astype(np.int64)


def _derivatives(inputs: Real, places: Whole) -> Whole:
    """(n, f) D = (1 - u^2) x in units, for (n,) places in one dimension."""
    slopes = 1 - (places / UNIT) ** 2
    return rounded(slopes[:, None] * inputs)


def _gradient(sums: Sequence[Sequence[int]], inputs: Real, places: Whole, pull: float) -> Real:
    """(f, d) gradient without l2: what came from the other party's terms, and the alignment's own part."""
    of_terms = np.array([[total / UNIT**2 for total in row] for row in sums])
    own = np.stack([column @ _derivatives(inputs, column) for column in places.T]) / UNIT**2
    return np.asarray((of_terms + pull * own).T / len(inputs))


def _pull(job: FederatedTransfer) -> float:
    """c: twice the weight of the squared distance in one dimension."""
    return 2 * job.alignment / job.dimensions


def _units(bound: float) -> int:
    return math.ceil(bound * UNIT) + 1
