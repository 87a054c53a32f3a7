"""Selection over banks makes the choices of a plain pooled selection on statsmodels' fits."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import chi2
from statsmodels.stats.outliers_influence import variance_inflation_factor

from riskfed.errors import JobError
from riskfed.protocols.program import run_alone
from riskfed.protocols.regression.logistic_regression import fit_logistic
from riskfed.protocols.regression.variable_selection import Method, most_selection_rounds, select
from tests.scorecard.logistic_data import Rows, drawn, sums_asked, taiwan, together

METHODS = get_args(Method)


class Pooled:
    """The rules of selection once more, on pooled rows."""

    def __init__(self, rows: Rows, method: Method, p: tuple[float, float], sign: int) -> None:
        self.design, self.labels = rows
        self.method, self.p, self.sign = method, p, sign
        self.columns = list(range(self.design.shape[1])) if method in ("none", "backward") else []
        self.steps: list[tuple[str, int, float]] = []
        while method != "none" and (step := self.change(self.fit())):
            self.steps.append(step)
            self.columns = sorted({*self.columns} ^ {step[1]})

    def fit(self) -> Any:
        ones = sm.add_constant(self.design[:, self.columns], has_constant="add")
        return sm.Logit(self.labels, ones).fit(disp=0, method="newton", tol=1e-13)

    def change(self, fit: Any) -> tuple[str, int, float] | None:
        wald = dict(zip(self.columns, fit.tvalues[1:] ** 2, strict=True))
        signs = dict(zip(self.columns, np.sign(fit.params[1:]), strict=True))
        if self.method != "forward" and wald:
            weakest = min(wald, key=wald.__getitem__)
            if chi2.sf(wald[weakest], 1) > self.p[1]:
                return "remove", weakest, wald[weakest]
        if wrong := [column for column in self.columns if signs[column] * self.sign < 0]:
            weakest = min(wrong, key=wald.__getitem__)
            return "wrong sign", weakest, wald[weakest]
        gone = {column for action, column, _ in self.steps if action != "enter"}
        scores = {c: self.score(fit, c) for c in range(self.design.shape[1]) if c not in {*self.columns, *gone}}
        if self.method == "backward" or not scores:
            return None
        best = max(scores, key=scores.__getitem__)
        return ("enter", best, scores[best]) if chi2.sf(scores[best], 1) <= self.p[0] else None

    def score(self, fit: Any, column: int) -> float:
        """Rao's statistic as u' I^-1 u of the larger model, at the smaller one's estimate."""
        larger = np.column_stack([fit.model.exog, self.design[:, column]])
        p = fit.predict()
        gradient = larger.T @ (self.labels - p)
        return float(gradient @ np.linalg.solve((larger.T * (p * (1 - p))) @ larger, gradient))


def assert_same_choices(rows: Rows, method: Method, p: tuple[float, float], sign: Literal[-1, 0, 1], banks: int) -> Any:
    got = together(rows, select, banks, empty=True, method=method, entry_p=p[0], stay_p=p[1], expected_sign=sign)
    expected = Pooled(rows, method, p, sign)
    assert [(step.action, step.column) for step in got.steps] == [step[:2] for step in expected.steps]
    np.testing.assert_allclose([step.statistic for step in got.steps], [step[2] for step in expected.steps], rtol=1e-8)
    tails = chi2.sf([step.statistic for step in got.steps], 1)
    np.testing.assert_allclose([step.p_value for step in got.steps], tails, rtol=1e-10)
    fit = expected.fit()
    assert list(got.fit.columns) == expected.columns
    np.testing.assert_allclose(got.fit.coefficients, fit.params, atol=1e-10)
    np.testing.assert_allclose(got.fit.standard_errors, fit.bse, atol=1e-10)
    inflation = [variance_inflation_factor(fit.model.exog, i + 1) for i in range(len(expected.columns))]
    np.testing.assert_allclose(got.vifs, inflation, rtol=1e-8)
    return got


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sign", [-1, 0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_choices_of_a_pooled_selection(method: Method, sign: Literal[-1, 0], seed: int) -> None:
    rows = drawn(800, 7, seed, coefficients=[-0.5, -0.2, 0, 0.25, -0.1, 0.05, -0.3])
    got = assert_same_choices(rows, method, (0.1, 0.1), sign, banks=3 + seed)
    assert bool(got.steps) == (method != "none")
    if sign and method != "none":
        assert max(got.fit.coefficients[1:]) < 0


@pytest.mark.parametrize("method", ["forward", "backward", "stepwise"])
def test_real_records(method: Method) -> None:
    rows = taiwan(
        ("pay_0", "pay_2", "pay_3", "limit_bal", "bill_amt1", "bill_amt2", "pay_amt1", "age", "education", "sex")
    )
    assert_same_choices(rows, method, (0.05, 0.05), -1, banks=8)


def test_stepwise_drops_what_came_early() -> None:
    # The last column is nearly the sum of two others: it comes first, and goes once both are in.
    rng = np.random.default_rng(0)
    design, _ = drawn(1500, 3, seed=5)
    design = np.column_stack([design, (design[:, 0] + design[:, 1] + 0.6 * rng.normal(size=1500)) / 2])
    labels = (rng.random(1500) < 1 / (1 + np.exp(1 + 0.7 * design[:, 0] + 0.7 * design[:, 1]))).astype(np.float64)
    got = assert_same_choices((design, labels), "stepwise", (0.05, 0.05), -1, banks=3)
    actions = [(step.action, step.column) for step in got.steps]
    assert actions[0] == ("enter", 3)
    assert ("remove", 3) in actions
    assert got.fit.columns == (0, 1)


def test_wrong_signs_are_told_where_nothing_is_removed() -> None:
    rows = drawn(800, 3, coefficients=[-0.6, 0.6, -0.6])
    assert together(rows, select, method="none").wrong_signs == (1,)
    assert together(rows, select, method="none", expected_sign=1).wrong_signs == (0, 2)
    assert together(rows, select, method="backward").fit.columns == (0, 2)


def test_nothing_is_worth_a_place() -> None:
    rows = drawn(400, 3, coefficients=[0, 0, 0])
    got = together(rows, select, method="forward", entry_p=1e-6)
    assert got.fit.columns == got.vifs == got.steps == ()
    assert got.fit.log_likelihood == pytest.approx(got.fit.null_log_likelihood, abs=1e-9)


def test_what_depends_on_others_never_comes() -> None:
    design, labels = drawn(800, 2, coefficients=[-0.8, -0.8])
    dependent = np.column_stack([design, design[:, 0], design @ [0.3, 0.6], np.full(800, 0.1)])
    got = together((dependent, labels), select, method="forward", entry_p=1.0, expected_sign=0)
    assert len(got.fit.columns) == 2
    np.testing.assert_allclose(
        got.fit.log_likelihood, together((design, labels), fit_logistic).log_likelihood, rtol=1e-12
    )


@pytest.mark.parametrize("penalty", [{"ridge": 2.0}, {"firth": True}])
@pytest.mark.parametrize("method", METHODS)
def test_with_a_penalty_the_chosen_fit_is_the_fit_of_the_chosen(method: Method, penalty: dict[str, Any]) -> None:
    rows = drawn(500, 4, coefficients=[-0.8, 0.6, 0, -0.8])
    got = together(rows, select, method=method, **penalty)
    fit = together(rows, fit_logistic, columns=got.fit.columns, **penalty)
    assert got.fit.columns == ((0, 1, 2, 3) if method == "none" else (0, 3))
    np.testing.assert_allclose(got.fit.coefficients, fit.coefficients, atol=1e-9)
    np.testing.assert_allclose(got.fit.standard_errors, fit.standard_errors, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("firth", [False, True])
def test_rounds_are_counted_and_bounded(method: Method, firth: bool) -> None:
    asked: list[int] = []
    rows = drawn(400, 4, coefficients=[-0.8, 0.6, 0, -0.8])
    got = run_alone(sums_asked(select(*rows, 400, 5.0, method=method, firth=firth), asked))
    assert got.rounds == len(asked) <= most_selection_rounds(method, 4, firth=firth)


def test_steps_are_capped() -> None:
    rows = drawn(400, 4, coefficients=[-0.8, -0.8, 0, -0.8])
    with pytest.raises(JobError, match="not over after 2 steps"):
        run_alone(select(*rows, 400, 5.0, method="forward", most_steps=2))
    assert [most_selection_rounds("stepwise", 4, most_steps=steps) for steps in (0, 2)] == [32, 94]
    with pytest.raises(JobError, match="known are none, forward, backward, stepwise"):
        most_selection_rounds("best", 4)  # type: ignore[arg-type]


def test_a_looser_level_never_chooses_fewer() -> None:
    rows = drawn(600, 6, coefficients=[-0.3, -0.2, -0.1, -0.1, 0, 0])
    chosen = [
        len(together(rows, select, method="forward", entry_p=p, expected_sign=0).fit.columns)
        for p in (0.001, 0.1, 0.999)
    ]
    assert all(fewer <= more for fewer, more in pairwise(chosen))
    assert chosen[-1] == 6
    assert math.isfinite(sum(together(rows, select).vifs))
