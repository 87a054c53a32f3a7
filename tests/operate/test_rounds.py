"""The benchmark of rounds measures rounds, and its table and figures agree."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import rounds, session_rounds


@pytest.mark.slow
def test_session_rounds_take_milliseconds() -> None:
    """On a busy machine they take more than the ten that `make bench-rounds` is held to, but not a second."""
    seconds = session_rounds.measure(3, 10_000, 30)
    assert len(seconds) == 30
    assert 0 < float(np.median(seconds)) < 0.25


def test_figures_are_milliseconds_by_transport_banks_and_size() -> None:
    seconds = {banks: {size: [0.001, 0.002, 0.009] for size in rounds.SIZES} for banks in ("3", "5")}
    medians = {"session": rounds._figures(seconds, 0.5)}
    p95 = {"session": rounds._figures(seconds, 0.95)}
    assert medians["session"] == {banks: dict.fromkeys(rounds.SIZES, 2.0) for banks in ("3", "5")}
    assert "2.0 (8.3)" in rounds._table(medians, p95)


def test_without_ray_the_simulation_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.importlib.util, "find_spec", lambda _: None)
    assert rounds.simulation(1) == "Ray is not installed; riskfed's extra `bench` has it"
