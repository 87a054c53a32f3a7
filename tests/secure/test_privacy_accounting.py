"""The noise is enough for what the job asks, by dp-accounting's other ways of counting too."""

import builtins
import math
from typing import Any

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant

from riskfed.errors import ConfigurationError, JobError
from riskfed.secure.privacy_accounting import epsilon_spent, noise_multiplier


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1, 8, 50])
@pytest.mark.parametrize("delta", [1e-8, 1e-5])
def test_noise_is_enough_and_hardly_more(epsilon: float, delta: float) -> None:
    multiplier = noise_multiplier(epsilon, delta)
    assert 0.95 * epsilon < epsilon_spent(multiplier, [(1.0, 1)], delta) <= epsilon
    # The exact account of one continuous Gaussian (Balle and Wang 2018) asks for less.
    assert dp_accounting.get_epsilon_gaussian(multiplier, delta) < epsilon


def test_less_epsilon_takes_more_noise() -> None:
    multipliers = [noise_multiplier(epsilon, 1e-6) for epsilon in (0.25, 0.5, 1, 2, 4)]
    assert multipliers == sorted(multipliers, reverse=True)
    assert noise_multiplier(1, 1e-9) > noise_multiplier(1, 1e-6)


def test_many_releases_are_one_with_the_root_of_their_squares() -> None:
    multiplier = noise_multiplier(2, 1e-6)
    sensitivities = [(1.0, 101), (4.0, 3)]
    scale = multiplier * math.sqrt(101 + 48)
    assert epsilon_spent(scale, sensitivities, 1e-6) == pytest.approx(epsilon_spent(multiplier, [(1, 1)], 1e-6))
    assert epsilon_spent(scale, sensitivities, 1e-6) <= 2 < epsilon_spent(0.95 * scale, sensitivities, 1e-6)


def test_the_privacy_loss_distribution_agrees() -> None:
    scale = noise_multiplier(1, 1e-6) * math.sqrt(50)
    accountant = PLDAccountant()
    accountant.compose(dp_accounting.GaussianDpEvent(scale), 50)
    assert 0.8 < accountant.get_epsilon(1e-6) < 1


def test_what_no_noise_can_give_is_refused() -> None:
    with pytest.raises(JobError, match="no noise gives epsilon 1e-09"):
        noise_multiplier(1e-9, 1e-30)


def test_a_bank_without_dp_accounting_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("dp_accounting"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigurationError, match='extra "privacy"'):
        noise_multiplier(1, 1e-6)
