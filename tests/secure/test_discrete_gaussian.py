"""The noise is what it says: against the probabilities, and what is left when colluding banks subtract their shares."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from riskfed.errors import ConfigurationError
from riskfed.secure.discrete_gaussian import LARGEST_SCALE, discrete_gaussian, share_scale, sum_divergence

FALSE_ALARM = 1e-6
"""Samples come from the operating system, so a right sampler fails a test as often as this."""


def probabilities(scale: int, reach: int) -> np.ndarray:
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * scale**2))
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize("scale", [1, 2, 7])
def test_every_integer_is_as_likely_as_stated(scale: int) -> None:
    size, reach = 60_000, 12 * scale
    expected = size * probabilities(scale, reach)
    counts = np.bincount(discrete_gaussian(scale, size) + reach, minlength=2 * reach + 1)
    often = expected >= 10
    observed = np.append(counts[often], counts[~often].sum())
    assert stats.chisquare(observed, np.append(expected[often], expected[~often].sum())).pvalue > FALSE_ALARM


@pytest.mark.parametrize("scale", [1000, LARGEST_SCALE])
def test_wide_noise_has_the_moments_of_a_normal_distribution(scale: int) -> None:
    drawn = discrete_gaussian(scale, 40_000) / scale
    assert stats.kstest(drawn, "norm").pvalue > FALSE_ALARM
    assert abs(drawn.var() - 1) < 6 * math.sqrt(2 / len(drawn))
    assert abs(stats.kurtosis(drawn)) < 6 * math.sqrt(24 / len(drawn))


def test_low_bits_do_not_depend_on_the_size() -> None:
    drawn = discrete_gaussian(1 << 20, 40_000)
    counts = np.bincount(drawn % 16, minlength=16)
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


@pytest.mark.parametrize("scale", [0, -3, LARGEST_SCALE + 1])
def test_a_scale_that_cannot_be_drawn_is_refused(scale: int) -> None:
    with pytest.raises(ConfigurationError, match="expected 1 to"):
        discrete_gaussian(scale, 1)


@given(st.integers(1, LARGEST_SCALE), st.integers(1, 1000))
def test_shares_are_the_smallest_that_suffice(scale: int, shares: int) -> None:
    share = share_scale(scale, shares)
    assert shares * share**2 >= scale**2
    assert shares * (share - 1) ** 2 < scale**2


def test_what_is_left_of_the_noise_when_two_of_five_banks_collude() -> None:
    scale, banks, colluding, size = 300, 5, 2, 30_000
    shares = [discrete_gaussian(share_scale(scale, banks - colluding), size) for _ in range(banks)]
    left = np.sum(shares, axis=0) - np.sum(shares[:colluding], axis=0)
    spread = 6 * math.sqrt(2 / size)
    assert scale**2 * (1 - spread) < left.var() < scale**2 * (1 + spread + 0.01)
    # The one who has to be kept out: with one honest bank less, the noise would be too small.
    assert np.sum(shares[:2], axis=0).var() < 0.8 * scale**2


def test_a_sum_of_shares_is_as_good_as_one_discrete_gaussian() -> None:
    assert sum_divergence(3, 100) < 1e-15
    # The bound is one: here is the sum of two, by convolution.
    single, both = probabilities(1, 40), np.convolve(probabilities(1, 20), probabilities(1, 20))
    wide = np.exp(-(np.arange(-40, 41) ** 2) / 4.0)
    ratio = np.log(both / (wide / wide.sum()))[30:51]
    assert 0 < np.abs(ratio).max() <= sum_divergence(1, 2)
    assert len(single) == len(both)
