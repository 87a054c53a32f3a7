"""Exact samples of the discrete Gaussian, for noise that is added to sums of integers.

The discrete Gaussian of scale s takes every integer x with probability proportional to exp(-x^2 / (2 s^2)). Samples come from the
rejection sampler of Canonne, Kamath and Steinke (2020, "The Discrete Gaussian for Differential Privacy", NeurIPS 33, algorithms 1 to 3),
many at once:

    1  Bernoulli(exp(-a/b)) from Bernoulli(a / (b k)), k = 1, 2, ...
    2  a discrete Laplace of scale s from uniform integers and 1
    3  of such a y, accepted with probability exp(-(|y| - s)^2 / (2 s^2))

Their scale of step 2 is any; s itself makes the fraction of step 3 fit int64. All is integer arithmetic on uniform 64-bit words of the
operating system: there is no floating-point number whose rounding could be told from the output (Mironov 2012, "On Significance of the
Least Significant Bits for Differential Privacy", CCS), and the distribution is the stated one, not near it.

Secret: the samples, until they are part of a sum. How long sampling takes depends on what was rejected and not on what is returned.
"""

from __future__ import annotations

import math
import secrets
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError

LARGEST_SCALE: Final = 1 << 24
"""For a larger one the fractions of step 3 would leave int64."""
_MOST_PERIODS: Final = 60
"""A Laplace sample beyond 60 scales is rejected at once: step 3 accepts it with a probability below exp(-1740)."""

_Integers = NDArray[np.int64]


def discrete_gaussian(scale: int, size: int) -> _Integers:
    """(size,) independent int64 samples of the discrete Gaussian of mean 0 and scale `scale`.

    Its variance is at most scale^2, and for a scale of 2 or more equal to it within 1e-30.

    Raises:
        ConfigurationError: the scale is not between 1 and `LARGEST_SCALE`.
    """
    if not 1 <= scale <= LARGEST_SCALE:
        raise ConfigurationError(f"got a discrete Gaussian of scale {scale}, expected 1 to {LARGEST_SCALE}")
    found = [np.empty(0, dtype=np.int64)]
    missing = size
    while missing > 0:
        candidates = _discrete_laplace(scale, 3 * missing + 16)
        accepted = candidates[_accepted(candidates, scale)][:missing]
        found.append(accepted)
        missing -= len(accepted)
    return np.concatenate(found)


def share_scale(scale: int, shares: int) -> int:
    """The least whole scale of which so many independent samples add up to a variance of `scale`^2 or more."""
    return math.isqrt(-(-scale * scale // shares) - 1) + 1


def sum_divergence(scale: int, shares: int) -> float:
    """How far the sum of `shares` discrete Gaussians of one scale is from a single one of their common variance.

    A bound on the logarithm of the ratio of both probabilities, at every integer: Kairouz, Liu and Steinke (2021, "The Distributed Discrete
    Gaussian Mechanism for Federated Learning with Secure Aggregation", ICML).
    """
    return 10 * math.fsum(math.exp(-2 * math.pi**2 * scale * scale * k / (k + 1)) for k in range(1, shares))


def _accepted(candidates: _Integers, scale: int) -> NDArray[np.bool_]:
    """Step 3: which of (n,) Laplace samples are kept."""
    distance: _Integers = np.abs(candidates) - scale
    return _bernoulli_exp(distance * distance, 2 * scale * scale)


def _discrete_laplace(scale: int, tries: int) -> _Integers:
    """Step 2: samples of the discrete Laplace of an integer scale, from so many tries about half of which succeed."""
    offset = _uniform(scale, tries)
    offset = offset[_bernoulli_exp(offset, scale)]
    periods = np.zeros(len(offset), dtype=np.int64)
    going = np.arange(len(offset))
    for _ in range(_MOST_PERIODS):
        going = going[_bernoulli_exp(np.ones(len(going), dtype=np.int64), 1)]
        periods[going] += 1
    size = offset + scale * periods
    negative = _uniform(2, len(size)) == 1
    # Zero has one sign only, or it would be twice as likely.
    kept = (periods < _MOST_PERIODS) & ~(negative & (size == 0))
    signed = np.where(negative, -size, size)
    return np.asarray(signed[kept], dtype=np.int64)


def _bernoulli_exp(numerators: _Integers, denominator: int) -> NDArray[np.bool_]:
    """Step 1: (n,) bool, each true with probability exp(-numerator / denominator), numerators 0 or more."""
    whole, rest = np.divmod(numerators, denominator)
    survives = _bernoulli_exp_below_one(rest, denominator)
    open_ = np.flatnonzero(survives & (whole > 0))
    while len(open_):
        # exp(-a) is a times exp(-1), one factor after the other.
        passed = _bernoulli_exp_below_one(np.ones(len(open_), dtype=np.int64), 1)
        survives[open_[~passed]] = False
        whole[open_] -= 1
        open_ = open_[passed & (whole[open_] > 0)]
    return survives


def _bernoulli_exp_below_one(numerators: _Integers, denominator: int) -> NDArray[np.bool_]:
    """As `_bernoulli_exp`, for fractions of at most 1: the first k at which Bernoulli(fraction / k) fails is odd with that probability."""
    odd = np.ones(len(numerators), dtype=np.bool_)
    going, k = np.arange(len(numerators)), 1
    while len(going):
        going = going[_uniform(denominator * k, len(going)) < numerators[going]]
        odd[going] = ~odd[going]
        k += 1
    return odd


def _uniform(below: int, size: int) -> _Integers:
    """(size,) int64, uniform from 0 to `below` - 1, exactly; `below` at most 2^62."""
    last = (1 << 64) // below * below - 1
    words = np.frombuffer(secrets.token_bytes(8 * size), dtype=np.uint64).copy()
    while len(again := np.flatnonzero(words > np.uint64(last))):
        # Words beyond the last full multiple would make small numbers likelier.
        words[again] = np.frombuffer(secrets.token_bytes(8 * len(again)), dtype=np.uint64)
    return (words % np.uint64(below)).astype(np.int64)
