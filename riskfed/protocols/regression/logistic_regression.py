"""Logistic regression over rows that lie at several banks: the maximum-likelihood fit to the pooled rows, equal to the last bit.

    1  pooled likelihood at the start
    2  Newton's method (iteratively reweighted least squares) up to the maximum: `riskfed.protocols.regression.likelihood_ascent`

Who learns what: banks learn pooled counts, log-likelihood, score and information at each step, never a row. At coefficients of 0 the
information is X'X / 4: they learn pooled means and covariances of the columns, and of the columns with default. Each can subtract its
own share (three banks at least). Two fits whose rows differ in one would disclose that one: a job fixes its rows, and the banks'
policies ration jobs. The server learns how many numbers a sum has and how many sums there were, so about how many columns and steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.errors import JobError
from riskfed.protocols.program import Program
from riskfed.protocols.regression.likelihood_ascent import Maximum, maximise
from riskfed.protocols.regression.pooled_likelihood import MOST_ITERATIONS, Regression
from riskfed.scorecard.portable import log, two_sided_p


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """A fitted logistic regression of default (1) on some columns; k of them are in. Equal at every bank.

    Attributes:
        columns: (k,) which columns of the design are in, rising, from 0.
        coefficients: (k + 1,) log-odds of default for one unit, the intercept first.
        covariance: (k + 1, k + 1) inverse of the information; with a ridge, of the penalised information.
        log_likelihood: at the coefficients, without any penalty.
        null_log_likelihood: of the model with an intercept only.
        rows, defaults: pooled counts.
        iterations: steps taken.
        rounds: protected sums asked for.
    """

    columns: tuple[int, ...]
    coefficients: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    log_likelihood: float
    null_log_likelihood: float
    rows: int
    defaults: int
    iterations: int
    rounds: int

    @property
    def standard_errors(self) -> tuple[float, ...]:
        """(k + 1,) roots of the covariance's diagonal."""
        return tuple(math.sqrt(row[i]) for i, row in enumerate(self.covariance))

    @property
    def wald_z(self) -> tuple[float, ...]:
        """(k + 1,) coefficients over their standard errors."""
        return tuple(b / e for b, e in zip(self.coefficients, self.standard_errors, strict=True))

    @property
    def p_values(self) -> tuple[float, ...]:
        """(k + 1,) two-sided normal p-values of `wald_z`."""
        return tuple(two_sided_p(z) for z in self.wald_z)

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 (k + 1) - 2 ln L; a penalty does not lower the count of parameters."""
        return 2 * len(self.coefficients) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, (k + 1) ln(rows) - 2 ln L."""
        return len(self.coefficients) * log(self.rows) - 2 * self.log_likelihood


def fit_logistic(
    design: np.ndarray,
    labels: np.ndarray,
    pooled_rows: int,
    bound: float,
    *,
    columns: Sequence[int] | None = None,
    ridge: float = 0.0,
    firth: bool = False,
    start: Sequence[float] | None = None,
    most_iterations: int = MOST_ITERATIONS,
) -> Program[LogisticFit]:
    """One bank's side of a fit. All arguments but the first two are the same at every bank.

    Without penalty the fit is that of statsmodels' ``Logit``. With `firth` it is that of R's logistf, standard errors from the inverse
    information at the estimate.

    Args:
        design: (n, k) float64 own rows, n may be 0; the intercept is added here.
        labels: (n,) 1 default, 0 none.
        pooled_rows: rows of all banks together.
        bound: public; no design value of any bank is above it in absolute value. Each factor of 2 by which it is too large costs the
            score one of the bits that the rows leave of 62.
        columns: those that are fitted; None for all. Nothing is summed of the others.
        ridge: the penalty is ``ridge / 2`` times the sum of squared coefficients, the intercept's apart.
        firth: Firth's bias-reducing penalty.
        start: (1 + fitted columns,) coefficients to start from, the intercept first; None for 0.
        most_iterations: most steps tried, halved ones counted.

    Raises:
        ContractError: own rows are not as said.
        JobError: public figures are not as said; one outcome only; no maximum exists (separation, dependent columns).
    """
    chosen = tuple(range(design.shape[1])) if columns is None else tuple(sorted(set(columns)))
    if chosen and not 0 <= chosen[0] <= chosen[-1] < design.shape[1]:
        raise JobError(f"columns {chosen[0]} to {chosen[-1]} were asked for; the design has {design.shape[1]}")
    regression = Regression(
        design[:, list(chosen)], labels, pooled_rows, bound, ridge, firth, most_iterations, numbers=chosen
    )
    begin = regression.zeros if start is None else [float(b) for b in start]
    if len(begin) != len(chosen) + 1 or not all(math.isfinite(b) for b in begin):
        raise JobError(f"start has {len(begin)} numbers; expected {len(chosen) + 1} finite ones, the intercept first")
    likelihood = yield from regression.likelihood_at(begin)  # 1
    regression.check_counts(likelihood)
    maximum = yield from maximise(regression, tuple(range(len(begin))), likelihood)  # 2
    return fit_of(regression, maximum, rounds=1 + maximum.rounds)


def fit_of(regression: Regression, maximum: Maximum, rounds: int) -> LogisticFit:
    """What is reported of a maximum that took so many rounds in all."""
    rows, defaults = maximum.likelihood.rows, maximum.likelihood.defaults
    repaid = rows - defaults
    return LogisticFit(
        columns=tuple(regression.numbers[i - 1] for i in maximum.active[1:]),
        coefficients=tuple(maximum.coefficients[i] for i in maximum.active),
        covariance=tuple(tuple(row) for row in maximum.covariance),
        log_likelihood=maximum.likelihood.log_likelihood,
        null_log_likelihood=defaults * log(defaults / rows) + repaid * log(repaid / rows),
        rows=rows,
        defaults=defaults,
        iterations=maximum.iterations,
        rounds=rounds,
    )


def most_fit_rounds(most_iterations: int = MOST_ITERATIONS, *, firth: bool = False) -> int:
    """Most sums that `fit_logistic` asks for: one at the start and one a step, and as many again with `firth`."""
    return (1 + most_iterations) * (2 if firth else 1)
