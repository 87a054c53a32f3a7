"""Shift, its noise, concentration and calibration tests, against plain computations and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from riskfed.evaluation.calibration import hosmer_lemeshow, jeffreys_p
from riskfed.evaluation.stability import concentration, sampling_noise, shift_index

COUNTS = st.lists(st.integers(1, 500), min_size=6, max_size=6)


@given(COUNTS, COUNTS)
def test_index_is_the_sum_over_shares(expected: list[int], actual: list[int]) -> None:
    p, q = np.array(expected) / sum(expected), np.array(actual) / sum(actual)
    assert shift_index(expected, actual) == pytest.approx(((q - p) * np.log(q / p)).sum(), abs=1e-13)


def test_empty_bins() -> None:
    half = 0.5 / 20  # the share of half a loan stands for none
    by_hand = (half - 0.5) * np.log(half / 0.5) + (1 - 0.5) * np.log(1 / 0.5)
    assert shift_index([10, 10], [0, 20]) == pytest.approx(by_hand, abs=1e-13)
    assert shift_index([10, 10, 0], [7, 5, 0]) == shift_index([10, 10], [7, 5])
    assert shift_index([10, 10], [0, 0]) is None
    assert sampling_noise([10, 10], [0, 0]) is None


def test_noise_is_the_mean_index_of_two_samples_of_one_population() -> None:
    draw = np.random.default_rng(0)
    shares = [0.1, 0.2, 0.3, 0.4]
    found = [
        shift_index(draw.multinomial(4000, shares).tolist(), draw.multinomial(1000, shares).tolist())
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(sampling_noise([400, 800, 1200, 1600], [100, 200, 300, 400]), rel=0.12)


def test_concentration() -> None:
    assert concentration([5, 5, 5, 5]) == 0.25
    assert concentration([9, 0]) == 1.0


def test_jeffreys_is_low_where_pds_are_too_low() -> None:
    assert jeffreys_p(90, 10, 0.10) == pytest.approx(stats.beta.cdf(0.10, 10.5, 90.5), abs=1e-13)
    assert jeffreys_p(900, 100, 0.05) < 1e-6
    assert jeffreys_p(900, 100, 0.20) > 1 - 1e-6


def test_hosmer_lemeshow_of_held_out_loans_has_a_chi_squared_distribution() -> None:
    draw = np.random.default_rng(1)
    pds, rows = [0.05, 0.1, 0.2, 0.4], [4000, 3000, 2000, 1000]
    found = [hosmer_lemeshow(rows, draw.binomial(rows, pds).tolist(), pds) for _ in range(200)]
    p_values = [result[1] for result in found if result is not None]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    statistic, p = hosmer_lemeshow(rows, [210, 290, 420, 380], pds) or (0, 0)
    expected = sum(
        (o - n * q) ** 2 / (n * q * (1 - q)) for n, o, q in zip(rows, [210, 290, 420, 380], pds, strict=True)
    )
    assert statistic == pytest.approx(expected)
    assert p == pytest.approx(stats.chi2.sf(expected, 4), abs=1e-13)
    assert hosmer_lemeshow([10], [1], [0.0]) is None
