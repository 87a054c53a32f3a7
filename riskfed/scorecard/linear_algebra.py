"""Dense linear algebra for small matrices, the same to the last bit at every bank.

BLAS and LAPACK choose the order of their sums by the processor. Here every inner product is `math.fsum`, which rounds the exact sum of
its terms once, whatever their order; the built-in `sum` would not do, since Python 3.12 adds floats otherwise than 3.11. A matrix is
a list of rows, symmetric where it is said to be factored; sizes are tens, not hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector = Sequence[float]
Matrix = Sequence[Sequence[float]]

LEAST_PIVOT = 1e-12
"""Share of its diagonal element that a pivot must keep: what remains of a column once the ones before it are taken out."""


class NotPositiveDefiniteError(ArithmeticError):
    """A matrix cannot be factored.

    Attributes:
        column: from 0, the first one that depends on the columns before it.
    """

    def __init__(self, column: int) -> None:
        super().__init__(f"column {column} of the matrix depends on the ones before it")
        self.column = column


def dot(left: Vector, right: Vector) -> float:
    """Inner product: the rounded products, their sum rounded once."""
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def cholesky(matrix: Matrix) -> list[list[float]]:
    """Lower factor L of a symmetric (k, k) matrix, L L' = matrix, its row i of length i + 1 (Golub and Van Loan 2013, 4.2.5).

    Raises:
        NotPositiveDefiniteError: a pivot is not above `LEAST_PIVOT` of its diagonal element, or not finite.
    """
    factor: list[list[float]] = []
    for i, row in enumerate(matrix):
        own: list[float] = []
        for j, done in enumerate(factor):
            own.append(math.fsum([row[j], *(-a * b for a, b in zip(own, done[:j], strict=True))]) / done[j])
        pivot = math.fsum([row[i], *(-a * a for a in own)])
        if not LEAST_PIVOT * row[i] < pivot < math.inf:
            raise NotPositiveDefiniteError(i)
        factor.append([*own, math.sqrt(pivot)])
    return factor


def forward(factor: Matrix, right: Vector) -> list[float]:
    """v of L v = right, for a lower factor of `cholesky`. (k,) -> (k,)"""
    solved: list[float] = []
    for row, value in zip(factor, right, strict=True):
        solved.append(math.fsum([value, *(-a * b for a, b in zip(row[:-1], solved, strict=True))]) / row[-1])
    return solved


def solve(factor: Matrix, right: Vector) -> list[float]:
    """x of L L' x = right, for a lower factor of `cholesky`. (k,) -> (k,)"""
    size = len(factor)
    solved = forward(factor, right)
    for i in range(size - 1, -1, -1):
        below = [-factor[m][i] * solved[m] for m in range(i + 1, size)]
        solved[i] = math.fsum([solved[i], *below]) / factor[i][i]
    return solved


def inverse(factor: Matrix) -> list[list[float]]:
    """(L L')^-1 = L'^-1 L^-1 of a lower factor of `cholesky`: (k, k), exactly symmetric."""
    size = len(factor)
    columns = [forward(factor, [float(i == j) for i in range(size)]) for j in range(size)]
    return [[dot(columns[i], columns[j]) for j in range(size)] for i in range(size)]


def submatrix(matrix: Matrix, positions: Sequence[int]) -> list[list[float]]:
    """Rows and columns of a square matrix at some positions, in their order."""
    return [[matrix[i][j] for j in positions] for i in positions]


def vif(gram: Matrix) -> tuple[float, ...]:
    """Variance inflation factor of each column, 1 / (1 - R^2) of its regression on the other columns (Marquardt 1970).

    Args:
        gram: (k + 1, k + 1) X'X, the column of ones first. It must be positive at [0][0].

    Returns:
        k values of 1 or more; infinite for a constant column and for one that depends on others.
    """
    size = len(gram) - 1
    sums = gram[0][1:]
    centred = [[gram[i + 1][j + 1] - sums[i] * sums[j] / gram[0][0] for j in range(size)] for i in range(size)]
    # A constant column leaves rounding errors only, which must not pass for a variance.
    constant = [centred[j][j] <= LEAST_PIVOT * gram[j + 1][j + 1] for j in range(size)]
    varying = [j for j in range(size) if not constant[j]]
    return tuple(math.inf if constant[j] else _inflation(centred, varying, j) for j in range(size))


def _inflation(centred: Matrix, varying: Sequence[int], column: int) -> float:
    """Variance of a column over what is left of it once the others are taken out by Gaussian elimination, dependent ones left out."""
    order = [*(j for j in varying if j != column), column]
    left = submatrix(centred, order)
    last = len(order) - 1
    for p in range(last):
        if left[p][p] <= LEAST_PIVOT * centred[order[p]][order[p]]:
            continue
        for i in range(p + 1, last + 1):
            share = left[i][p] / left[p][p]
            for j in range(p + 1, last + 1):
                left[i][j] -= share * left[p][j]
    variance = centred[column][column]
    return max(variance / left[last][last], 1.0) if left[last][last] > LEAST_PIVOT * variance else math.inf
