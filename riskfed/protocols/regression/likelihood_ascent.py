"""One climb to the maximum of a pooled logistic likelihood, by Newton's method with step-halving.

    1  at the current coefficients: pooled log-likelihood, score and information
    2  with Firth's penalty: the pooled sum of what it adds to the score, once the information is known
    3  every bank takes the same Newton step; where the log-likelihood falls, half of it, and half again
    4  until the step is tiny

Rows are rounded to whole numbers before they are added, and all that follows a sum is arithmetic in a fixed order: the result is the
same to the last bit at every bank, for every partition of the rows and every number of banks.

Who learns what: see `riskfed.protocols.regression.logistic_regression`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from riskfed.errors import JobError
from riskfed.protocols.program import Program
from riskfed.protocols.regression.pooled_likelihood import Regression
from riskfed.scorecard.likelihood import FixedPoint, Likelihood
from riskfed.scorecard.linear_algebra import (
    Matrix,
    NotPositiveDefiniteError,
    cholesky,
    dot,
    inverse,
    solve,
    submatrix,
)
from riskfed.scorecard.portable import log

_LAST_STEP = 1e-12
"""Squared length, in standard errors, of the step after which Newton's next one is negligible: its length is about the square."""
_NO_STEP = 1e-22
"""Squared length of a step that is not worth a round, unless rounding makes longer ones. Firth's steps come down to it by a factor."""
_MOVING = 1e-3
"""Least share of itself by which a coefficient moves that has not been found. Under separation it moves by a fixed amount for ever."""
_FLOAT_ROUNDING = 2.0**-40
"""Relative fall of the log-likelihood that the rounding of floats may cause; that of rows is known (`Likelihood.rounding`)."""
_FURTHEST = 2.0**100
"""Most that a coefficient is tried at."""


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where the search for the maximum stands, or has ended.

    Attributes:
        likelihood: at the current coefficients, over all k columns.
        active: (a,) which of the k + 1 coefficients are fitted, rising, 0 (the intercept) first; the others are 0.
        information: (k + 1, k + 1), the ridge included.
        factor: Cholesky factor of its active part; None where it has none.
        objective: log-likelihood with the penalty; minus infinity without `factor`.
        score: (k + 1,) its gradient (without Firth's part as long as that is not summed).
        iterations, rounds: steps taken and sums asked for, so far.
    """

    likelihood: Likelihood
    active: tuple[int, ...]
    information: Matrix
    factor: list[list[float]] | None
    objective: float
    score: list[float]
    iterations: int = 0
    rounds: int = 0

    @classmethod
    def at(cls, likelihood: Likelihood, active: tuple[int, ...], regression: Regression) -> Maximum:
        """Take stock of a pooled likelihood."""
        coefficients, ridge = likelihood.coefficients, regression.ridge
        information = [
            [cell + (ridge if i == j > 0 else 0.0) for j, cell in enumerate(row)]
            for i, row in enumerate(likelihood.information)
        ]
        score = [
            u - (ridge * b if j else 0.0) for j, (u, b) in enumerate(zip(likelihood.score, coefficients, strict=True))
        ]
        try:
            factor = cholesky(submatrix(information, active))
        except NotPositiveDefiniteError:
            return cls(likelihood, active, information, None, -math.inf, score)
        penalty = ridge / 2 * dot(coefficients[1:], coefficients[1:])
        bonus = math.fsum(log(row[-1]) for row in factor) if regression.firth else 0.0
        return cls(likelihood, active, information, factor, likelihood.log_likelihood - penalty + bonus, score)

    @property
    def coefficients(self) -> list[float]:
        """(k + 1,) the current ones."""
        return self.likelihood.coefficients

    @property
    def step(self) -> list[float]:
        """(a,) Newton's step of the active coefficients."""
        return solve(self._factored, [self.score[i] for i in self.active])

    @property
    def covariance(self) -> list[list[float]]:
        """(a, a) inverse of the active information."""
        return inverse(self._factored)

    @property
    def _factored(self) -> list[list[float]]:
        assert self.factor is not None, "only a point with a factor is ever kept"
        return self.factor


def maximise(regression: Regression, active: tuple[int, ...], start: Likelihood) -> Program[Maximum]:
    """One bank's side of a climb.

    Args:
        regression: own rows, and the penalty.
        active: which of the k + 1 coefficients are fitted, rising, 0 (the intercept) first.
        start: the pooled likelihood where to start; its coefficients that are not active are 0.

    Returns:
        The maximum; its `rounds` do not count that of `start`.

    Raises:
        JobError: there is no maximum, or none was reached within `most_iterations`.
    """
    here = Maximum.at(start, active, regression)
    if here.factor is None:
        raise JobError(_dependent(regression, here))
    length = math.inf
    tried = 0
    while True:
        if regression.firth:
            here = yield from _with_firth(regression, here)
        step = here.step
        before, length = length, dot(step, [here.score[i] for i in active])
        if _arrived(regression, here, step, (before, length)):
            return here
        share = 1.0
        while True:
            if tried == regression.most_iterations:
                raise JobError(_lost(regression, here, step))
            there = yield from _try(regression, here, [share * s for s in step])
            tried += 1
            if there.objective >= here.objective - _slack(regression, here, there):
                here = there
                break
            here, share = replace(here, rounds=there.rounds), share / 2


def _try(regression: Regression, here: Maximum, step: list[float]) -> Program[Maximum]:
    """The point that lies one step further. One sum."""
    coefficients = list(here.coefficients)
    for i, s in zip(here.active, step, strict=True):
        # Far enough for any PD to be 0 or 1: the log-likelihood says so, and numbers stay finite.
        coefficients[i] = min(max(coefficients[i] + s, -_FURTHEST), _FURTHEST)
    likelihood = yield from regression.likelihood_at(coefficients)
    there = Maximum.at(likelihood, here.active, regression)
    return replace(there, iterations=here.iterations + 1, rounds=here.rounds + 1)


def _with_firth(regression: Regression, here: Maximum) -> Program[Maximum]:
    """The point with Firth's part in its score. One sum."""
    added = yield from regression.firth_score_at(here.coefficients, here.active, here.covariance)
    score = [u + a for u, a in zip(here.score, added, strict=True)]
    return replace(here, score=score, rounds=here.rounds + 1)


def _arrived(regression: Regression, here: Maximum, step: list[float], lengths: tuple[float, float]) -> bool:
    """Whether the coefficients are found, given the squared lengths of the last step and of the one that would be next."""
    before, length = lengths
    close = length <= max(_NO_STEP, _noise(regression, here)) or (not regression.firth and before <= _LAST_STEP)
    return close and max(_motion(regression, here, step)) <= _MOVING


def _noise(regression: Regression, here: Maximum) -> float:
    """Squared length, in standard errors, of the step that the rounding of rows can make."""
    fixed, errors = _errors_in_units(regression, here)
    of_score = regression.pooled_rows / (fixed.score * fixed.score) * dot(errors, errors)
    # Firth's part of the score is a function of the information, about as far off as its log-determinant is.
    of_information = _determinant_rounding(regression, here)
    return of_score + of_information * of_information


def _slack(regression: Regression, here: Maximum, there: Maximum) -> float:
    """By how much the objective may seem to fall though it does not."""
    of_rows = max(here.likelihood.rounding, there.likelihood.rounding) + _determinant_rounding(regression, here)
    return of_rows + _FLOAT_ROUNDING * (1 + abs(here.likelihood.log_likelihood))


def _determinant_rounding(regression: Regression, here: Maximum) -> float:
    """By how much the rounding of rows may move the log-determinant: tr(I^-1 dI). 0 where the penalty does not have it."""
    if not regression.firth:
        return 0.0
    fixed, errors = _errors_in_units(regression, here)
    return 4 * math.sqrt(regression.pooled_rows) / fixed.information * math.fsum(errors) * math.fsum(errors)


def _errors_in_units(regression: Regression, here: Maximum) -> tuple[FixedPoint, list[float]]:
    """The fixed point, and (a,) standard errors of the active coefficients were columns counted in its unit."""
    fixed = FixedPoint.of(regression.pooled_rows, regression.bound, here.coefficients)
    covariance = here.covariance
    errors = [math.sqrt(covariance[at][at]) * (fixed.unit if i else 1.0) for at, i in enumerate(here.active)]
    return fixed, errors


def _motion(regression: Regression, here: Maximum, step: list[float]) -> list[float]:
    """By what share of itself each active coefficient would move; near 0, by what share of a margin of 1."""
    least = [1.0, *[1 / regression.bound] * (len(here.coefficients) - 1)]
    return [abs(s) / max(abs(here.coefficients[i]), least[i]) for i, s in zip(here.active, step, strict=True)]


def _dependent(regression: Regression, here: Maximum) -> str:
    """Why the information cannot be factored where the climb begins."""
    try:
        cholesky(submatrix(here.information, here.active))
    except NotPositiveDefiniteError as error:
        position = here.active[error.column]
        if position == 0 or any(here.coefficients):
            return "the information is singular at the coefficients to start from; the analyst must start nearer to 0"
        number = regression.numbers[position - 1]
        return (
            f"column {number} is constant, a linear combination of columns before it, or far below the public bound (singular "
            f"information); the analyst must drop column {number}, or set a ridge"
        )
    raise AssertionError("the information can be factored")


def _lost(regression: Regression, here: Maximum, step: list[float]) -> str:
    """Why the climb did not end."""
    tried = f"no maximum within {regression.most_iterations} iterations"
    if regression.firth or regression.ridge:
        return f"{tried}, though the penalty makes sure that there is one; the analyst must raise most_iterations"
    if len(step) == 1:
        return f"{tried}; the analyst must start nearer to 0, or raise most_iterations"
    furthest = max(range(1, len(step)), key=lambda i: abs(step[i]))
    number = regression.numbers[here.active[furthest] - 1]
    return (
        f"{tried}; the coefficient of column {number} moves most. There is none where the column, alone or with others, tells some rows' "
        f"outcomes for certain (separation): the analyst must set firth or a ridge, drop column {number}, or else raise most_iterations"
    )
