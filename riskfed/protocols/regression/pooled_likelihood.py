"""One bank's rows of a logistic regression, and the pooled likelihood that the banks add up.

Who learns what: see `riskfed.protocols.regression.logistic_regression`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from riskfed.errors import ContractError, JobError
from riskfed.protocols.program import Program, Sum
from riskfed.scorecard.likelihood import (
    SUM_BOUND,
    FixedPoint,
    Likelihood,
    firth_sums,
    likelihood_sums,
    score_from_pooled,
)
from riskfed.scorecard.linear_algebra import Matrix

MOST_ITERATIONS = 30
_MOST_ROWS = 1 << 40
_MOST_BOUND = 2.0**100


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """One bank's rows of a regression, and what is public of it.

    Attributes:
        design: (n, k) finite numbers; n may be 0. The intercept is not in it.
        labels: (n,) 1 default, 0 none.
        pooled_rows: rows of all banks together, 1 to 2^40.
        bound: public, the same at every bank, above 0: no design value of any bank is above it in absolute value.
        ridge: the penalty is ``ridge / 2`` times the sum of squared coefficients, the intercept's apart.
        firth: Firth's penalty, half the log-determinant of the information (Jeffreys' prior).
        most_iterations: most steps tried, halved ones counted.
        numbers: (k,) what the columns are called in messages; by default 0 to k - 1.

    Raises:
        ContractError: own rows that are not as said.
        JobError: public figures that are not as said, or both penalties.
    """

    design: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    pooled_rows: int
    bound: float
    ridge: float = 0.0
    firth: bool = False
    most_iterations: int = MOST_ITERATIONS
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._check_public()
        design = np.ascontiguousarray(self.design, dtype=np.float64)
        labels = np.ascontiguousarray(self.labels, dtype=np.float64)
        if design.ndim != 2 or labels.shape != design.shape[:1]:
            raise ContractError(f"a design of shape {design.shape} does not go with labels of shape {labels.shape}")
        if len(design) > self.pooled_rows:
            raise ContractError(f"this bank has {len(design)} rows, of {self.pooled_rows} rows at all banks together")
        if wrong := int((~(np.abs(design) <= self.bound)).any(axis=0).sum()):
            raise ContractError(f"{wrong} columns hold missing values, or values above the public bound {self.bound}")
        if wrong := int(((labels != 0) & (labels != 1)).sum()):
            raise ContractError(f"{wrong} labels are neither 0 nor 1")
        object.__setattr__(self, "design", design)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "numbers", self.numbers or tuple(range(design.shape[1])))

    def _check_public(self) -> None:
        if not 1 <= self.pooled_rows <= _MOST_ROWS:
            raise JobError(f"{self.pooled_rows} pooled rows; a regression needs 1 to 2^40: widen the window")
        if not 1 / _MOST_BOUND <= self.bound <= _MOST_BOUND:
            raise JobError(f"the bound on the design is {self.bound}; expected a public number from 2^-100 to 2^100")
        if not 0 <= self.ridge < math.inf or self.most_iterations < 1:
            raise JobError(
                f"ridge is {self.ridge} and most_iterations {self.most_iterations}; expected 0 or more, and 1 or more"
            )
        if self.ridge and self.firth:
            raise JobError("ridge and firth are two penalties for the same trouble; set one of them")

    @property
    def zeros(self) -> list[float]:
        """(k + 1,) coefficients of 0."""
        return [0.0] * (self.design.shape[1] + 1)

    def likelihood_at(self, coefficients: list[float]) -> Program[Likelihood]:
        """The pooled likelihood, over all columns, in one sum. `coefficients` are (k + 1,) finite ones."""
        fixed = FixedPoint.of(self.pooled_rows, self.bound, coefficients)
        pooled = yield Sum(likelihood_sums(self.design, self.labels, coefficients, fixed), SUM_BOUND)
        return Likelihood.from_pooled(pooled, coefficients, fixed)

    def firth_score_at(
        self, coefficients: list[float], active: tuple[int, ...], covariance: Matrix
    ) -> Program[list[float]]:
        """What Firth's penalty adds to the (k + 1,) score, in one sum; see `firth_sums`."""
        fixed = FixedPoint.of(self.pooled_rows, self.bound, coefficients)
        pooled = yield Sum(firth_sums(self.design, coefficients, active, covariance, fixed), SUM_BOUND)
        return score_from_pooled(pooled.tolist(), fixed)

    def check_counts(self, likelihood: Likelihood) -> None:
        """Raises JobError unless the banks have as many rows as was said, some of them in default, and some not."""
        rows, defaults = likelihood.rows, likelihood.defaults
        if rows != self.pooled_rows:
            raise JobError(f"the banks have {rows} rows; the regression was set up for {self.pooled_rows}")
        if not 0 < defaults < rows:
            raise JobError(
                f"the {rows} pooled rows hold {defaults} defaults; a regression needs both outcomes: widen the window"
            )
