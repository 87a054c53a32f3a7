"""Choose the variables of a logistic regression over rows that lie at several banks: all, forward, backward or stepwise.

    1  pooled likelihood at coefficients of 0: counts, and X'X for the variance inflation factors
    2  the fit of the columns that are in at first
    3  one column goes or comes, and the fit is climbed again from where it stood; until nothing changes

As SAS's PROC LOGISTIC, columns come by Rao's score test, which needs no fit of its own, and go by Wald's test. In each turn, in this
order: a column whose Wald p is too high goes (backward, stepwise); a column whose coefficient has the wrong sign goes; the best
candidate comes (forward, stepwise). What has gone does not come back, so that the search ends.

Who learns what: as in `riskfed.protocols.regression.logistic_regression`, over all candidate columns, whether they are in or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from riskfed.errors import JobError
from riskfed.protocols.program import Program
from riskfed.protocols.regression.likelihood_ascent import Maximum, maximise
from riskfed.protocols.regression.logistic_regression import LogisticFit, fit_of, most_fit_rounds
from riskfed.protocols.regression.pooled_likelihood import MOST_ITERATIONS, Regression
from riskfed.scorecard.likelihood import Likelihood
from riskfed.scorecard.linear_algebra import dot, forward, submatrix, vif
from riskfed.scorecard.portable import log, two_sided_p

Method = Literal["none", "forward", "backward", "stepwise"]
_LEAST_LEFT = 1e-10
"""A candidate of which less than this share is left, given the columns that are in, adds nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the model.

    Attributes:
        action: "enter" (score test), "remove" (Wald test) or "wrong sign".
        column: number of the column in the design, from 0.
        statistic: chi-squared with one degree of freedom, of Rao's score test to enter, of Wald's test otherwise.
        p_value: of the statistic.
    """

    action: Literal["enter", "remove", "wrong sign"]
    column: int
    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The model that was chosen. Equal at every bank.

    Attributes:
        fit: of the columns that are in; its `rounds` are those of the last fit.
        steps: how it came about.
        vifs: variance inflation factor of each column that is in; infinite where it depends on others.
        wrong_signs: columns in the model whose coefficient has the wrong sign; only with the method "none", which removes nothing.
        rounds: protected sums of the whole search.
    """

    fit: LogisticFit
    steps: tuple[Step, ...]
    vifs: tuple[float, ...]
    wrong_signs: tuple[int, ...]
    rounds: int


def select(
    design: np.ndarray,
    labels: np.ndarray,
    pooled_rows: int,
    bound: float,
    *,
    method: Method = "none",
    entry_p: float = 0.05,
    stay_p: float = 0.05,
    expected_sign: Literal[-1, 0, 1] = -1,
    ridge: float = 0.0,
    firth: bool = False,
    most_iterations: int = MOST_ITERATIONS,
    most_steps: int | None = None,
) -> Program[Selection]:
    """One bank's side of a selection. All arguments but the first two are the same at every bank.

    Ties go to the lower column. With a ridge, both tests take the penalised information; with Firth's penalty, the score test takes
    the penalised score, its leverages those of the columns that are in.

    Args:
        design, labels, pooled_rows, bound, ridge, firth, most_iterations: as of `fit_logistic`; most_iterations are those of each fit.
        method: "none" keeps all columns; "forward" and "stepwise" begin with none, "backward" with all.
        entry_p: a column comes whose score test has a p-value of at most that.
        stay_p: a column stays whose Wald test has a p-value of at most that.
        expected_sign: of every coefficient but the intercept; of weights of evidence it is -1, for they rise with safety. 0: any.
        most_steps: most changes; None for as many as there can be.

    Raises:
        ContractError: own rows are not as said.
        JobError: as of `fit_logistic`, an unknown method, or a search that is not over after `most_steps`.
    """
    regression = Regression(design, labels, pooled_rows, bound, ridge, firth, most_iterations)
    search = _Search(
        regression, method, entry_p, stay_p, expected_sign, _step_limit(method, design.shape[1], most_steps)
    )
    here = yield from regression.likelihood_at(regression.zeros)  # 1
    regression.check_counts(here)
    gram = [[4 * cell for cell in row] for row in here.information]
    maximum = yield from search.first(here)  # 2
    while (step := search.next_step(maximum)) is not None:  # 3
        maximum = yield from search.take(step, maximum)
    columns = maximum.active[1:]
    return Selection(
        fit=fit_of(regression, maximum, maximum.rounds),
        steps=tuple(search.steps),
        vifs=vif(submatrix(gram, maximum.active)),
        wrong_signs=tuple(i - 1 for i in columns if search.is_wrong(maximum.coefficients[i])),
        rounds=1 + search.rounds,
    )


@dataclass(slots=True)
class _Search:
    """Where a selection stands. Positions count the intercept: column c is at c + 1."""

    regression: Regression
    method: Method
    entry_p: float
    stay_p: float
    expected_sign: int
    most_steps: int
    gone: set[int] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    rounds: int = 0

    def first(self, here: Likelihood) -> Program[Maximum]:
        """The fit of the columns that are in at first."""
        if self.method in ("none", "backward"):
            return (yield from self._fit(tuple(range(len(here.coefficients))), here))
        begin = self.regression.zeros
        begin[0] = log(here.defaults) - log(here.rows - here.defaults)
        return (yield from self._fit_from((0,), begin))

    def next_step(self, maximum: Maximum) -> Step | None:
        """What changes next; None at the end."""
        if self.method == "none":
            return None
        return self._least_needed(maximum) or self._wrongest(maximum) or self._best_candidate(maximum)

    def take(self, step: Step, maximum: Maximum) -> Program[Maximum]:
        """Note a step, and fit again."""
        if len(self.steps) == self.most_steps:
            raise JobError(
                f"the selection is not over after {self.most_steps} steps; the analyst must raise most_steps"
            )
        self.steps.append(step)
        position = step.column + 1
        if step.action == "enter":
            # The new coefficient begins at 0, where the pooled likelihood is known already.
            active = tuple(sorted((*maximum.active, position)))
            return (yield from self._fit(active, maximum.likelihood))
        self.gone.add(position)
        begin = [0.0 if i == position else b for i, b in enumerate(maximum.coefficients)]
        return (yield from self._fit_from(tuple(i for i in maximum.active if i != position), begin))

    def is_wrong(self, coefficient: float) -> bool:
        """Whether a coefficient has the sign that it should not have."""
        return coefficient * self.expected_sign < 0

    def _fit_from(self, active: tuple[int, ...], begin: list[float]) -> Program[Maximum]:
        self.rounds += 1
        here = yield from self.regression.likelihood_at(begin)
        return (yield from self._fit(active, here))

    def _fit(self, active: tuple[int, ...], here: Likelihood) -> Program[Maximum]:
        maximum = yield from maximise(self.regression, active, here)
        self.rounds += maximum.rounds
        return maximum

    def _least_needed(self, maximum: Maximum) -> Step | None:
        if self.method == "forward":
            return None
        weakest = _weakest(maximum, maximum.active[1:])
        return Step("remove", *weakest) if weakest and weakest[2] > self.stay_p else None

    def _wrongest(self, maximum: Maximum) -> Step | None:
        """Of the columns with the wrong sign, the least significant."""
        weakest = _weakest(maximum, [i for i in maximum.active[1:] if self.is_wrong(maximum.coefficients[i])])
        return Step("wrong sign", *weakest) if weakest else None

    def _best_candidate(self, maximum: Maximum) -> Step | None:
        if self.method == "backward":
            return None
        candidates = [i for i in range(1, len(maximum.coefficients)) if i not in maximum.active and i not in self.gone]
        if not candidates:
            return None
        statistics = {i: score_statistic(maximum, i) for i in candidates}
        best = max(candidates, key=lambda i: (statistics[i], -i))
        p_value = two_sided_p(math.sqrt(statistics[best]))
        comes = statistics[best] > 0 and p_value <= self.entry_p
        return Step("enter", best - 1, statistics[best], p_value) if comes else None


def score_statistic(maximum: Maximum, position: int) -> float:
    """Rao's (1948) score statistic of one coefficient that is 0 at a maximum over others: u^2 / (I_jj - I_jS I_SS^-1 I_Sj).

    Returns:
        Chi-squared with one degree of freedom; 0 where the column depends on those that are in.
    """
    assert maximum.factor is not None, "a maximum has a factor"
    own = maximum.information[position]
    taken = forward(maximum.factor, [own[i] for i in maximum.active])
    left = own[position] - dot(taken, taken)
    if left <= _LEAST_LEFT * own[position]:
        return 0.0
    return maximum.score[position] * maximum.score[position] / left


def _weakest(maximum: Maximum, positions: Sequence[int]) -> tuple[int, float, float] | None:
    """(column, Wald's chi-squared, p-value) of the least significant of some positions; None of none."""
    if not positions:
        return None
    covariance = maximum.covariance
    variances = {i: covariance[at][at] for at, i in enumerate(maximum.active)}
    statistics = {i: maximum.coefficients[i] * maximum.coefficients[i] / variances[i] for i in positions}
    weakest = min(positions, key=lambda i: (statistics[i], i))
    return weakest - 1, statistics[weakest], two_sided_p(math.sqrt(statistics[weakest]))


def most_selection_rounds(
    method: Method,
    n_columns: int,
    most_iterations: int = MOST_ITERATIONS,
    *,
    firth: bool = False,
    most_steps: int | None = None,
) -> int:
    """Most sums that `select` asks for: one at coefficients of 0, and those of the first fit and of one after each step."""
    return 1 + (1 + _step_limit(method, n_columns, most_steps)) * most_fit_rounds(most_iterations, firth=firth)


def _step_limit(method: Method, n_columns: int, most_steps: int | None) -> int:
    """Most changes: each column comes at most once, and goes at most once."""
    limits = {"none": 0, "forward": 2 * n_columns, "backward": n_columns, "stepwise": 2 * n_columns}
    if method not in limits:
        raise JobError(f"unknown selection {method!r}; known are {', '.join(limits)}")
    return limits[method] if most_steps is None else min(limits[method], most_steps)
