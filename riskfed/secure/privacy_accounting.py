"""How much noise an (epsilon, delta) asks for, and how much of it a run has spent: Google's dp-accounting, by Renyi divergences.

A run releases sums one after the other, each with discrete Gaussian noise. The discrete Gaussian has no larger Renyi divergences than the
continuous one of the same scale, in any dimension (Canonne, Kamath and Steinke 2020, theorem 4; coordinates add up), so that what the
accountant says of Gaussian releases holds for these, as a proof and not as an approximation. Tighter accounts of the continuous Gaussian
would save 6 to 8 % of the noise, without one. Sums of several banks' shares: `riskfed.secure.discrete_gaussian.sum_divergence`.

dp-accounting is an optional part of the installation ("privacy") and takes seconds to load, so that it is loaded when it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from riskfed.errors import ConfigurationError, JobError

_DIGITS: Final = 1000
"""Noise multipliers are rounded up to thousandths: all parties get the same, whatever the last bits of the search are."""
_LARGEST: Final = 1e6


def noise_multiplier(epsilon: float, delta: float) -> float:
    """Least scale of Gaussian noise, in units of the L2 sensitivity, that gives (epsilon, delta)-differential privacy.

    Releases that each have a sensitivity d_i and the scale s are together as one with the sensitivity sqrt(sum d_i^2).

    Raises:
        JobError: no noise that can be made is enough.
        ConfigurationError: dp-accounting is not installed.
    """
    dp = _accounting()
    try:
        found = dp.calibrate_dp_mechanism(
            dp.rdp.RdpAccountant,
            dp.GaussianDpEvent,
            epsilon,
            delta,
            dp.ExplicitBracketInterval(1e-3, _LARGEST),
            tol=0.1 / _DIGITS,
        )
    except (ValueError, dp.mechanism_calibration.NoBracketIntervalFoundError):
        raise JobError(
            f"privacy: no noise gives epsilon {epsilon:g} with delta {delta:g}; the job must name larger ones"
        ) from None
    return math.ceil(float(found) * _DIGITS) / _DIGITS


def epsilon_spent(scale: float, sensitivities: Iterable[tuple[float, int]], delta: float) -> float:
    """What releases with Gaussian noise of one scale have spent.

    Args:
        scale: standard deviation of the noise.
        sensitivities: (L2 sensitivity, number of releases with it), in the units of the scale.
        delta: of the differential privacy.

    Raises:
        ConfigurationError: dp-accounting is not installed.
    """
    dp = _accounting()
    accountant = dp.rdp.RdpAccountant()
    for sensitivity, count in sensitivities:
        accountant.compose(dp.GaussianDpEvent(scale / sensitivity), count)
    return float(accountant.get_epsilon(delta))


def _accounting() -> Any:
    try:
        import dp_accounting
        import dp_accounting.rdp
    except ImportError:
        raise ConfigurationError(
            'differential privacy needs dp-accounting: install riskfed with the extra "privacy" at every bank'
        ) from None
    return dp_accounting
