"""One party's share of a logistic likelihood in whole numbers: log-likelihood, score and information, row by row.

Of a row x (the 1 of the intercept first) with label y, margin m = x'b and p = 1 / (1 + exp(-m)) the log-likelihood is
``y ln p + (1 - y) ln(1 - p)``, the score ``x (y - p)`` and the information ``p (1 - p) x x'`` (Hosmer, Lemeshow and Sturdivant 2013,
ch. 2). Each is rounded to a multiple of a power of two before it is added. Integers have the same sum in any order and over any
partition of the rows, so that the pooled sums, and all that is computed from them, do not depend on which bank has which row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.scorecard.linear_algebra import Matrix

SUM_BOUND = 1 << 62
"""No pooled number here is above it in absolute value."""
_COUNTS = 3
"""Rows, defaults and the log-likelihood come first."""


class FixedPoint(NamedTuple):
    """How a likelihood is written in whole numbers; from public figures alone, so it is the same at every party.

    Attributes:
        unit: power of two that no design value exceeds; columns are counted in it, so that they are at most 1.
        loss: units of the log-likelihood in 1.
        score: units of the score in 1.
        information: units of the information in 1.
    """

    unit: float
    loss: float
    score: float
    information: float

    @classmethod
    def of(cls, pooled_rows: int, bound: float, coefficients: list[float]) -> FixedPoint:
        """As fine as `pooled_rows` rows allow within `SUM_BOUND`.

        Args:
            pooled_rows: rows of all parties, 1 to 2^40.
            bound: no design value is above it in absolute value.
            coefficients: (k + 1,) intercept first, finite.
        """
        unit = math.ldexp(1.0, math.frexp(bound)[1])
        furthest = math.fsum([abs(coefficients[0]), *(unit * abs(b) for b in coefficients[1:])])
        # A row's negative log-likelihood is at most ln 2 above its margin's distance from 0.
        return cls(unit, _scale(pooled_rows, furthest + 1), _scale(pooled_rows, 1.0), _scale(pooled_rows, 0.25))


def _scale(rows: int, most: float) -> float:
    """Power of two with which `rows` numbers of at most `most`, or more by the rounding of floats, add up within 2^62."""
    return math.ldexp(1.0, 62 - math.frexp(rows * most * (1 + 2.0**-10))[1])


@dataclass(frozen=True, slots=True)
class Likelihood:
    """A pooled likelihood at some coefficients.

    Attributes:
        coefficients: (k + 1,) intercept first.
        rows, defaults: pooled counts.
        log_likelihood: its value.
        rounding: by how much rounding the rows may have changed it; 14 standard deviations.
        score: (k + 1,) gradient.
        information: (k + 1, k + 1) symmetric, expected and observed in one.
    """

    coefficients: list[float]
    rows: int
    defaults: int
    log_likelihood: float
    rounding: float
    score: list[float]
    information: Matrix

    @classmethod
    def from_pooled(cls, pooled: NDArray[np.int64], coefficients: list[float], fixed: FixedPoint) -> Likelihood:
        """Read the sum of all parties' `likelihood_sums`."""
        size = len(coefficients)
        numbers: list[int] = pooled.tolist()
        units = [1.0, *[fixed.unit] * (size - 1)]
        information = [[0.0] * size for _ in range(size)]
        cells = iter(numbers[_COUNTS + size :])
        for i in range(size):
            for j in range(i, size):
                information[i][j] = information[j][i] = next(cells) / fixed.information * units[i] * units[j]
        score = score_from_pooled(numbers[_COUNTS : _COUNTS + size], fixed)
        rounding = 4 * math.sqrt(numbers[0]) / fixed.loss
        return cls(coefficients, numbers[0], numbers[1], -numbers[2] / fixed.loss, rounding, score, information)


def score_from_pooled(pooled: list[int], fixed: FixedPoint) -> list[float]:
    """A (k + 1,) score from its pooled whole numbers."""
    return [number / fixed.score * (fixed.unit if j else 1.0) for j, number in enumerate(pooled)]


def likelihood_sums(
    design: NDArray[np.float64], labels: NDArray[np.float64], coefficients: list[float], fixed: FixedPoint
) -> NDArray[np.int64]:
    """One party's share of the pooled likelihood.

    Args:
        design: (n, k) in C order, without the intercept; n may be 0.
        labels: (n,) 1.0 default, 0.0 none.
        coefficients: (k + 1,) intercept first.
        fixed: the fixed point.

    Returns:
        (3 + (k + 1) + (k + 1)(k + 2) / 2,) int64: rows, defaults, negative log-likelihood, score, and by rows the upper triangle of the
        information.
    """
    size = len(coefficients)
    sums = np.zeros(_COUNTS + size + size * (size + 1) // 2, dtype=np.int64)
    _add_rows(design, labels, np.array(coefficients), fixed, sums)
    return sums


@njit(cache=True, nogil=True, error_model="numpy")
def _add_rows(
    design: NDArray[np.float64],
    labels: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    fixed: FixedPoint,
    sums: NDArray[np.int64],
) -> None:
    size, per_unit = coefficients.shape[0], 1 / fixed.unit
    row = np.ones(size)
    for i in range(design.shape[0]):
        margin = coefficients[0]
        for j in range(1, size):
            margin += design[i, j - 1] * coefficients[j]
            row[j] = design[i, j - 1] * per_unit
        # exp of a negative number never overflows, and 1 - p keeps its digits where p is near 1.
        small = math.exp(-abs(margin))
        near, far = 1 / (1 + small), small / (1 + small)
        as_expected = (margin > 0) == (labels[i] == 1)
        residual = (far if as_expected else near) * (1 if labels[i] == 1 else -1)
        weight = near * far
        sums[0] += 1
        sums[1] += np.int64(labels[i])
        sums[2] += np.int64(np.rint((math.log1p(small) + (0.0 if as_expected else abs(margin))) * fixed.loss))
        at = _COUNTS + size
        for j in range(size):
            sums[_COUNTS + j] += np.int64(np.rint(residual * row[j] * fixed.score))
            weighted = weight * row[j] * fixed.information
            for m in range(j, size):
                sums[at] += np.int64(np.rint(weighted * row[m]))
                at += 1


def firth_sums(
    design: NDArray[np.float64],
    coefficients: list[float],
    columns: tuple[int, ...],
    covariance: Matrix,
    fixed: FixedPoint,
) -> NDArray[np.int64]:
    """One party's share of what Firth's penalty adds to the score: ``x h (1/2 - p)``, h the diagonal of the hat matrix.

    Firth (1993), Bias reduction of maximum likelihood estimates, Biometrika 80, 27-38; Heinze and Schemper (2002), A solution to the
    problem of separation in logistic regression, Statist. Med. 21, 2409-2419, eq. 2.

    Args:
        design: (n, k) in C order.
        coefficients: (k + 1,) intercept first.
        columns: of the (k + 1), those in the model, rising, 0 the intercept.
        covariance: inverse of their pooled information.
        fixed: the fixed point.

    Returns:
        (k + 1,) int64, to be read with `score_from_pooled`.
    """
    sums = np.zeros(len(coefficients), dtype=np.int64)
    _add_firth(design, np.array(coefficients), np.array(columns), np.array(covariance), fixed, sums)
    return sums


@njit(cache=True, nogil=True, error_model="numpy")
def _add_firth(
    design: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    columns: NDArray[np.int64],
    covariance: NDArray[np.float64],
    fixed: FixedPoint,
    sums: NDArray[np.int64],
) -> None:
    size, per_unit = coefficients.shape[0], 1 / fixed.unit
    row = np.ones(size)
    for i in range(design.shape[0]):
        margin = coefficients[0]
        for j in range(1, size):
            margin += design[i, j - 1] * coefficients[j]
            row[j] = design[i, j - 1]
        leverage = 0.0
        for a in range(columns.shape[0]):
            for b in range(columns.shape[0]):
                leverage += row[columns[a]] * covariance[a, b] * row[columns[b]]
        small = math.exp(-abs(margin))
        # Between 0 and 1 in exact arithmetic: a row's own information is part of the pooled one.
        hat = min(max(leverage * small / ((1 + small) * (1 + small)), 0.0), 1.0)
        pull = math.copysign(hat * (1 - small) / (2 * (1 + small)), -margin)
        for j in range(size):
            sums[j] += np.int64(np.rint(pull * row[j] * (per_unit if j else 1.0) * fixed.score))
