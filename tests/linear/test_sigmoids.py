"""Polynomials in the sigmoid's place: where they come from, and how far off they are."""

import numpy as np
import pytest

from riskfed.linear.sigmoids import CUBIC, TAYLOR, exact_losses, exact_residuals

SCORES = np.linspace(-8, 8, 4001)


def test_the_cubic_polynomial_is_the_least_squares_fit_on_minus_8_to_8():
    nodes, weights = np.polynomial.legendre.leggauss(200)
    scores, roots = 8 * nodes, np.sqrt(weights)
    powers = np.stack([scores, scores**3], axis=1)
    fitted = np.linalg.lstsq(powers * roots[:, None], exact_residuals(scores, 0.5) * roots, rcond=None)[0]
    assert np.abs(fitted - [CUBIC.linear, CUBIC.cubic]).max() < 2**-24


@pytest.mark.parametrize(("polynomial", "near", "wide"), [(TAYLOR, 0.12, 1.6), (CUBIC, 0.115, 0.12)])
def test_how_far_residuals_are_from_the_sigmoids(polynomial, near, wide):
    difference = np.abs(polynomial.residuals(SCORES, 0.0) - exact_residuals(SCORES, 0.0))
    assert near / 2 < difference[np.abs(SCORES) <= 2].max() < near
    assert wide / 2 < difference.max() < wide


@pytest.mark.parametrize("polynomial", [TAYLOR, CUBIC])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_residual_is_the_slope_of_its_loss(polynomial, label):
    step = 1e-5
    slope = (polynomial.losses(SCORES + step, label) - polynomial.losses(SCORES - step, label)) / (2 * step)
    assert np.abs(slope - polynomial.residuals(SCORES, label)).max() < 1e-8
    assert polynomial.losses(np.zeros(1), label) == pytest.approx(np.log(2))


def test_taylors_loss_is_least_squares():
    labels = np.resize([0.0, 1.0], len(SCORES))
    squares = np.log(2) - 0.5 + 2 * TAYLOR.residuals(SCORES, labels) ** 2
    assert np.abs(squares - TAYLOR.losses(SCORES, labels)).max() < 1e-12


def test_near_0_losses_are_the_exact_one():
    scores = np.linspace(-0.1, 0.1, 41)
    assert np.abs(TAYLOR.losses(scores, 1.0) - exact_losses(scores, 1.0)).max() < 1e-6


@pytest.mark.parametrize("polynomial", [TAYLOR, CUBIC])
def test_no_residual_of_two_parties_is_beyond_its_bound(polynomial):
    scores = np.linspace(-2 * polynomial.reach, 2 * polynomial.reach, 1001)
    for label in (0.0, 1.0):
        assert np.abs(polynomial.residuals(scores, label)).max() <= polynomial.most_residual


@pytest.mark.parametrize("polynomial", [TAYLOR, CUBIC])
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.22, 0.5, 1.0])
def test_where_an_intercept_begins_residuals_add_up_to_0(polynomial, rate):
    score = polynomial.score_of(rate)
    assert abs(polynomial.residuals(np.array([score]), np.array([rate]))[0]) < 1e-12
    assert np.sign(score) == np.sign(rate - 0.5)
    assert abs(score) < polynomial.reach
