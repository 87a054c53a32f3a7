"""Decimal special functions against scipy's and the standard library's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from riskfed.evaluation.special_functions import beta_cdf, chi2_tail, log, logistic


@given(st.integers(0, 2_000), st.integers(0, 200_000), st.floats(1e-6, 0.999))
def test_beta_cdf_is_scipys(bads: int, goods: int, x: float) -> None:
    a, b = bads + 0.5, goods + 0.5
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-12)


def test_beta_cdf_near_the_mean_of_a_large_grade_and_at_the_ends() -> None:
    for pd in np.linspace(0.049, 0.051, 9):
        assert beta_cdf(pd, 50_000.5, 950_000.5) == pytest.approx(stats.beta.cdf(pd, 50_000.5, 950_000.5), abs=1e-12)
    assert (beta_cdf(0.0, 0.5, 9.5), beta_cdf(1.0, 0.5, 9.5), beta_cdf(-1, 1, 1), beta_cdf(2, 1, 1)) == (0, 1, 0, 1)
    assert beta_cdf(0.3, 1, 1) == 0.3


@given(st.floats(0, 500), st.integers(1, 60))
def test_chi2_tail_is_scipys(statistic: float, freedom: int) -> None:
    assert chi2_tail(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-11, abs=1e-300)


def test_a_hopeless_fit_has_p_0_and_takes_no_time() -> None:
    assert chi2_tail(1e9, 10) == 0.0


@given(st.floats(-1e30, 1e30))
def test_logistic_is_within_one_ulp(log_odds: float) -> None:
    reference = 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0
    assert logistic(log_odds) == pytest.approx(reference, rel=4e-16, abs=1e-300)


@given(st.floats(1e-300, 1e300))
def test_log_is_within_one_ulp(value: float) -> None:
    assert log(value) == pytest.approx(math.log(value), rel=2.3e-16, abs=5e-324)
