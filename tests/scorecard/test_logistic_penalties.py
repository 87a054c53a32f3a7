"""Ridge and Firth's penalty against closed forms and independent maximisers."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize, root
from scipy.special import expit, logit

from riskfed.errors import JobError
from riskfed.protocols.program import run_alone
from riskfed.protocols.regression.logistic_regression import fit_logistic, most_fit_rounds
from tests.scorecard.logistic_data import Rows, drawn, sums_asked, taiwan, together


def quasi_separated(rows: int = 300) -> Rows:
    """The last column marks rows none of which defaults."""
    design, labels = drawn(rows, 3, seed=2)
    design[:, 2] = np.arange(rows) % 15 == 0
    return design, np.where(design[:, 2] == 1, 0.0, labels)


@pytest.mark.parametrize("ridge", [1e-6, 0.5, 40.0])
@pytest.mark.parametrize("banks", [3, 6])
def test_ridge_solves_the_penalised_score_equations(ridge: float, banks: int) -> None:
    rows = drawn()
    ones, labels = sm.add_constant(rows[0]), rows[1]
    penalty = ridge * np.array([0.0, 1, 1, 1, 1])

    def information(b: np.ndarray) -> np.ndarray:
        p = expit(ones @ b)
        return (ones.T * (p * (1 - p))) @ ones + np.diag(penalty)

    solution = root(
        lambda b: penalty * b - ones.T @ (labels - expit(ones @ b)), np.zeros(5), jac=information, tol=1e-14
    )
    fit = together(rows, fit_logistic, banks, ridge=ridge)
    np.testing.assert_allclose(fit.coefficients, solution.x, atol=1e-11)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(information(solution.x)), atol=1e-11)
    margins = ones @ solution.x
    assert fit.log_likelihood == pytest.approx(np.sum(labels * margins - np.logaddexp(0, margins)), rel=1e-12)


def test_ridge_fits_what_is_separated_or_dependent() -> None:
    design, labels = quasi_separated()
    fit = together((np.column_stack([design, design[:, 0]]), labels), fit_logistic, ridge=0.1)
    assert -10 < fit.coefficients[3] < -1
    assert fit.coefficients[1] == pytest.approx(fit.coefficients[4], abs=1e-12)


def test_firth_of_a_rate_adds_half_a_default_and_half_a_repayment() -> None:
    # Firth (1993), section 3.3: in a saturated model the penalty adds 1/2 to each cell.
    marks, labels = np.repeat([0.0, 1.0], [70, 30])[:, None], np.zeros(100)
    labels[:9] = 1
    fit = together((marks, labels), fit_logistic, firth=True)
    unmarked, marked = logit(9.5 / 71), logit(0.5 / 31)
    np.testing.assert_allclose(fit.coefficients, [unmarked, marked - unmarked], atol=1e-9)


@pytest.mark.parametrize("banks", [3, 5])
def test_firth_maximises_the_penalised_likelihood(banks: int) -> None:
    rows = quasi_separated()
    ones, labels = sm.add_constant(rows[0]), rows[1]

    def information(b: np.ndarray) -> np.ndarray:
        p = expit(ones @ b)
        return (ones.T * (p * (1 - p))) @ ones

    def penalised(b: np.ndarray) -> float:
        margins = ones @ b
        return -float(np.sum(labels * margins - np.logaddexp(0, margins)) + np.linalg.slogdet(information(b))[1] / 2)

    solution = minimize(penalised, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    fit = together(rows, fit_logistic, banks, empty=True, firth=True)
    np.testing.assert_allclose(fit.coefficients, solution.x, atol=1e-5)
    assert penalised(np.array(fit.coefficients)) <= penalised(solution.x) + 1e-12
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(information(np.array(fit.coefficients))), rtol=1e-9)
    assert fit.rounds >= 2 * (fit.iterations + 1)


def test_firth_on_complete_separation() -> None:
    design, _ = drawn(80, 2, seed=4)
    labels = (design[:, 0] > 0).astype(np.float64)
    fit = together((design, labels), fit_logistic, firth=True, most_iterations=100)
    assert fit.coefficients[1] > 3
    with pytest.raises(JobError, match="raise most_iterations"):
        together((design, labels), fit_logistic, firth=True, most_iterations=3)


def test_firth_hardly_matters_with_many_rows() -> None:
    rows = taiwan(("pay_0", "limit_bal"))
    plain, firth = together(rows, fit_logistic), together(rows, fit_logistic, firth=True)
    shift = np.abs(np.subtract(plain.coefficients, firth.coefficients)) / plain.standard_errors
    assert 0 < shift.max() < 0.02


def test_firth_comes_to_an_end_where_rounding_keeps_it_moving() -> None:
    # With a bound so far above the values, each row's score keeps 36 bits after the point, and its information 22.
    rows = quasi_separated()
    near, far = (run_alone(fit_logistic(*rows, 300, bound, firth=True)) for bound in (5.0, 2.0**16))
    np.testing.assert_allclose(near.coefficients, far.coefficients, atol=1e-4)


def test_rounds_of_firth_are_bounded() -> None:
    asked: list[int] = []
    with pytest.raises(JobError):
        run_alone(sums_asked(fit_logistic(*quasi_separated(), 300, 5.0, firth=True, most_iterations=4), asked))
    assert len(asked) == most_fit_rounds(4, firth=True)
