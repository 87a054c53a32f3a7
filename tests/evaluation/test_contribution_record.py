"""Utilities of lending, and what a contribution record says of banks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from riskfed.evaluation.contribution import BankRows, banks_of, reward_shares, warnings_of
from riskfed.evaluation.record import Interval
from riskfed.evaluation.shapley import Values
from riskfed.evaluation.utility import Lending, logloss_of_one_pd

CELLS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8).filter(
    lambda cells: sum(map(sum, cells)) > 0
)


@given(CELLS, st.integers(1, 9))
def test_profit_is_that_of_the_loans_of_lowest_risk(cells: list[tuple[int, int]], tenths: int) -> None:
    """Each loan of a cell stands for the cell's mean: a cut-off within a cell takes a share of it."""
    each = [(2 * g - 7 * b) / (g + b) for g, b in cells for _ in range(g + b)]
    room = tenths / 10 * len(each)
    whole = int(room + 1e-9)
    expected = sum(each[:whole]) + (room - whole) * (each[whole] if whole < len(each) else 0.0)
    got = Lending(tenths / 10, 2.0, 7.0).profit([g for g, _ in cells], [b for _, b in cells])
    assert got == pytest.approx(expected / len(each), abs=1e-9)


def test_the_best_single_pd() -> None:
    labels = np.repeat([0, 1], [70, 30])
    losses = [log_loss(labels, np.full(100, pd)) for pd in (0.2, 0.3, 0.4)]
    assert logloss_of_one_pd(70, 30) == pytest.approx(losses[1], abs=1e-15)
    assert logloss_of_one_pd(70, 30) < min(losses[0], losses[2])


def test_rewards_are_shares_of_what_is_above_nothing() -> None:
    assert reward_shares({"a": 0.3, "b": 0.1, "c": -0.2}) == {"a": 0.3 / 0.4, "b": 0.1 / 0.4, "c": 0.0}
    assert reward_shares({"a": -0.3, "b": 0.0}) is None


def test_what_is_told_of_banks() -> None:
    values = Values(
        0.5,
        0.2,
        {
            "good": Interval(value=0.25, low=0.2, high=0.3),
            "bad": Interval(value=-0.05, low=-0.07, high=-0.03),
            "idle": Interval(value=0.001, low=-0.001, high=0.003),
        },
    )
    rows = {
        "good": BankRows(1000, 19, 0, 700),
        "bad": BankRows(100, 0, 0, 70),
        "idle": BankRows(80, 20, 0, 60),
        "copy": BankRows(0, 900, 0, 0),
    }
    banks = banks_of(values, {"good": 0.1, "bad": -0.02, "idle": 0.0}, rows, least_cell=20)
    told = {bank.bank: bank for bank in banks}
    assert list(told) == ["bad", "copy", "good", "idle"]
    assert (told["good"].copies, told["idle"].copies, told["copy"].copies, told["bad"].copies) == (None, 20, 900, 0)
    assert (told["copy"].shapley, told["copy"].lower, told["copy"].reward_share) == (0.0, None, 0.0)
    assert sum(bank.reward_share or 0.0 for bank in banks) == pytest.approx(1)
    said = warnings_of(banks, values, 0.5, rows, 2, vouching=False)
    assert [text.split(":")[0] for text in said[:3]] == ["bad", "copy", "idle"]
    assert "worse" in said[0]
    assert "no records" in said[1]
    assert "hardly change" in said[2]
    assert "20% of its rows" in said[2]
    assert said[3].startswith("2 coalitions gave no model")
    assert len(said) == 4


def test_a_gain_that_is_mostly_chance_is_called_so() -> None:
    values = Values(0.75, 0.001, {"a": Interval(value=0.0015), "b": Interval(value=-0.0005)})
    rows = dict.fromkeys("ab", BankRows(100, 0, 0, 70))
    said = warnings_of(banks_of(values, {}, rows, 20), values, 0.5, rows, 0, vouching=True)
    assert "mostly chance" in said[-1]
    assert not any("worse" in text for text in said)
    assert any("name validation_banks" in text for text in said)
