"""Small dense algebra and elementary functions: right, and refusing what has no answer."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.outliers_influence import variance_inflation_factor

from riskfed.scorecard.linear_algebra import NotPositiveDefiniteError, cholesky, forward, inverse, solve, vif
from riskfed.scorecard.portable import log, two_sided_p

PI = Decimal("3.14159265358979323846264338327950288419716939937511")


def positive_definite(seed: int, size: int) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(size=(size + 3, size))
    return draw.T @ draw


@given(st.integers(0, 1000), st.integers(1, 8))
def test_factor_solution_and_inverse_equal_lapack(seed: int, size: int) -> None:
    matrix = positive_definite(seed, size)
    right = np.arange(1.0, size + 1)
    factor = cholesky(matrix.tolist())
    lower = np.array([[*row, *[0.0] * (size - len(row))] for row in factor])
    scale = np.linalg.cond(matrix)
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), atol=1e-13 * scale)
    np.testing.assert_allclose(forward(factor, right.tolist()), np.linalg.solve(lower, right), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(solve(factor, right.tolist()), np.linalg.solve(matrix, right), rtol=1e-13 * scale)
    inverted = np.array(inverse(factor))
    np.testing.assert_allclose(inverted @ matrix, np.eye(size), atol=1e-13 * scale)
    assert (inverted == inverted.T).all()


def test_a_column_that_depends_on_others_is_named() -> None:
    draw = np.random.default_rng(0).normal(size=(50, 4))
    draw[:, 2] = draw[:, 0] - 2 * draw[:, 1]
    with pytest.raises(NotPositiveDefiniteError) as caught:
        cholesky((draw.T @ draw).tolist())
    assert caught.value.column == 2
    with pytest.raises(NotPositiveDefiniteError):
        cholesky([[math.nan]])
    with pytest.raises(NotPositiveDefiniteError):
        cholesky([[0.0]])


@pytest.mark.parametrize("noise", [2.0, 0.1, 0.003])
def test_variance_inflation_equals_statsmodels(noise: float) -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(3, 1, size=(400, 4))
    columns[:, 3] = columns[:, 0] + columns[:, 1] + noise * columns[:, 3]
    design = np.column_stack([np.ones(400), columns])
    expected = [variance_inflation_factor(design, i) for i in range(1, 5)]
    np.testing.assert_allclose(vif((design.T @ design).tolist()), expected, rtol=1e-8)


def test_variance_inflation_of_dependent_and_constant_columns() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=(300, 3))
    own[:, 1] += own[:, 0]
    design = np.column_stack([np.ones(300), own, own[:, 0] / 3 + 1, own[:, 0] / 7, np.full(300, 0.3)])
    first, second, third, *others = vif((design.T @ design).tolist())
    assert first == math.inf
    assert others == [math.inf] * 3
    expected = [variance_inflation_factor(design[:, :4], i) for i in (2, 3)]
    np.testing.assert_allclose([second, third], expected, rtol=1e-9)
    assert vif([[300.0]]) == ()


@given(st.floats(0, 36))
def test_p_values_are_the_tails_of_the_normal(z: float) -> None:
    assert two_sided_p(z) == two_sided_p(-z) == pytest.approx(2 * norm.sf(z), rel=2e-13, abs=0)


@given(st.floats(4, 7))
def test_p_values_are_exact_where_series_meets_fraction(z: float) -> None:
    with localcontext() as context:
        context.prec = 80
        exact, term, density = Decimal(0), Decimal(z), (-(Decimal(z) ** 2) / 2).exp() / (2 * PI).sqrt()
        for n in range(300):
            exact += term
            term *= Decimal(z) ** 2 / (2 * n + 3)
        expected = float(1 - 2 * density * exact)
    assert abs(two_sided_p(z) - expected) <= math.ulp(expected)


def test_p_values_at_the_ends() -> None:
    assert two_sided_p(0.0) == 1.0
    assert two_sided_p(1.959963984540054) == pytest.approx(0.05, abs=1e-16)
    assert two_sided_p(38.0) > 0
    assert two_sided_p(39.0) == two_sided_p(math.inf) == 0.0
    with pytest.raises(ValueError, match="NaN"):
        two_sided_p(math.nan)


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_logarithms(value: float) -> None:
    assert abs(log(value) - math.log(value)) <= math.ulp(math.log(value))


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_what_has_no_logarithm_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        log(value)
