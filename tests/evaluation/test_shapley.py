"""Shapley values: against the definition over all orders, by the axioms, and sampled ones against exact ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from riskfed.evaluation.shapley import (
    Coalition,
    all_coalitions,
    coalitions_of,
    exact_values,
    leave_one_out,
    sampled_orders,
    sampled_values,
    student_t_975,
)

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
Utilities = dict[Coalition, float]


def game(of: Callable[[Coalition], float], players: int, least: int = 1) -> Utilities:
    return {s: of(s) for s in all_coalitions(NAMES[:players], least)}


def by_definition(utilities: Utilities, players: int, least: int, base: float) -> dict[str, Fraction]:
    """Mean marginal gain over all orders, in exact arithmetic."""
    level = [Fraction(u) for s, u in utilities.items() if len(s) == least]
    start = Fraction(base) if least == 1 else sum(level, Fraction(0)) / len(level)
    value = {s: Fraction(u) for s, u in utilities.items()}
    names, gains = NAMES[:players], dict.fromkeys(NAMES[:players], Fraction(0))
    for order in permutations(names):
        for at, name in enumerate(order):
            gains[name] += value.get(frozenset(order[: at + 1]), start) - value.get(frozenset(order[:at]), start)
    return {name: gain / math.factorial(players) for name, gain in gains.items()}


@st.composite
def games(draw: st.DrawFn) -> tuple[Utilities, int, int, float]:
    players = draw(st.integers(2, 5))
    least = draw(st.integers(1, players - 1))
    number = st.floats(-1, 1, allow_subnormal=False)
    return game(lambda _: draw(number), players, least), players, least, draw(number)


@settings(max_examples=60, deadline=None)
@given(games())
def test_exact_values_are_the_mean_over_all_orders_and_add_up(drawn: tuple[Utilities, int, int, float]) -> None:
    utilities, players, least, base = drawn
    got = exact_values(NAMES[:players], utilities, least, base)
    expected = by_definition(utilities, players, least, base)
    assert {n: v.value for n, v in got.of.items()} == pytest.approx(
        {n: float(v) for n, v in expected.items()}, abs=1e-14
    )
    assert math.fsum(value.value for value in got.of.values()) == pytest.approx(got.total, abs=1e-12)
    assert got.start + got.total == pytest.approx(utilities[frozenset(NAMES[:players])], abs=1e-15)


@settings(max_examples=30, deadline=None)
@given(games())
def test_values_of_a_sum_of_games_are_the_sums_of_values(one: tuple[Utilities, int, int, float]) -> None:
    utilities, players, least, base = one
    other = game(lambda s: len(s) ** 0.5, players, least)
    values = [exact_values(NAMES[:players], each, least, base) for each in (utilities, other)]
    both = exact_values(NAMES[:players], {s: utilities[s] + other[s] for s in utilities}, least, 2 * base)
    for name in NAMES[:players]:
        assert both.of[name].value == pytest.approx(sum(each.of[name].value for each in values), abs=1e-13)


def test_the_glove_game() -> None:
    def pairs(s: Coalition) -> float:
        return min(len(s & {"a", "b"}), len(s & {"c"}))

    got = exact_values("abc", game(pairs, 3), 1, 0.0).of
    assert [got[name].value for name in "abc"] == pytest.approx([1 / 6, 1 / 6, 2 / 3], abs=1e-15)
    assert all(value.low is None for value in got.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 6))
def test_equal_players_get_the_same_to_the_last_bit_and_null_players_nothing(seed: int, players: int) -> None:
    rng = random.Random(seed)
    drawn: dict[tuple[int, frozenset[str]], float] = {}

    def of(s: Coalition) -> float:  # "a" and "b" are alike, and "c" changes nothing
        key = len(s & {"a", "b"}), s - {"a", "b", "c"}
        return 0.5 if not (key[0] or key[1]) else drawn.setdefault(key, rng.random())

    got = exact_values(NAMES[:players], game(of, players), 1, 0.5).of
    assert got["a"].value == got["b"].value
    assert got["c"].value == 0.0


def test_small_coalitions_count_as_the_mean_of_the_least_ones() -> None:
    """Where any two players reach most, who brings nothing gets nothing of it, and the others share what is above."""

    def concave(s: Coalition) -> float:
        return 0.5 + 0.25 * (1 - 0.2 ** len(s - {"e"}))

    utilities = game(concave, 5, least=3)
    got = exact_values(NAMES[:5], utilities, 3, 0.5)
    assert got.start == pytest.approx(sum(u for s, u in utilities.items() if len(s) == 3) / 10, abs=1e-15)
    assert got.of["e"].value <= 0
    assert got.of["a"].value > 0.2 * got.total
    nothing = exact_values(NAMES[:5], {s: utilities.get(s, 0.5) for s in all_coalitions(NAMES[:5], 1)}, 1, 0.5)
    assert nothing.of["e"].value > 0.15 * nothing.total, (
        "as nothing, they would hand a free rider its share of the level"
    )


@pytest.mark.parametrize("least", [1, 2, 3])
def test_sampling_all_orders_gives_the_exact_values(least: int) -> None:
    rng = random.Random(least)
    utilities = game(lambda _: rng.random(), 4, least)
    orders = [way for order in permutations(NAMES[:4]) if order < order[::-1] for way in (order, order[::-1])]
    sampled, exact = (
        sampled_values(orders, utilities, least, 0.1),
        exact_values(NAMES[:4], utilities, least, 0.1),
    )
    assert sampled.start == pytest.approx(exact.start, abs=1e-15)
    for name, value in exact.of.items():
        assert sampled.of[name].value == pytest.approx(value.value, abs=1e-14)


def test_intervals_cover_the_exact_values_as_often_as_they_say() -> None:
    rng = random.Random(3)
    weight = {name: rng.random() for name in NAMES}
    noise = {s: rng.gauss(0, 0.1) for s in all_coalitions(NAMES, 1)}
    utilities = game(lambda s: sum(weight[name] for name in s) ** 0.5 + noise[s], 8)
    exact = exact_values(NAMES, utilities, 1, 0.0).of
    covered = total = 0
    for seed in range(60):
        sampled = sampled_values(sampled_orders(NAMES, 12, seed), utilities, 1, 0.0)
        assert math.fsum(value.value for value in sampled.of.values()) == pytest.approx(sampled.total, abs=1e-12)
        for name, value in sampled.of.items():
            assert value.low is not None
            assert value.high is not None
            covered += value.low <= exact[name].value <= value.high
            total += 1
    assert 0.91 < covered / total < 0.985


def test_orders_come_with_their_reverse_and_are_uniform() -> None:
    orders = sampled_orders("abc", 600, 1)
    assert all(two == one[::-1] for one, two in zip(orders[::2], orders[1::2], strict=True))
    assert orders == sampled_orders("cba", 600, 1)
    assert orders != sampled_orders("abc", 600, 2)
    assert sampled_orders("abcd", 1, 7)[0] == ("a", "d", "b", "c"), "a known answer: all parties draw the same"
    counts = [orders[::2].count(order) for order in permutations("abc")]
    assert sum((count - 100) ** 2 / 100 for count in counts) < 20.5  # chi-squared with 5 degrees of freedom, p = 0.001


def test_what_orders_need_is_measured_once() -> None:
    orders = [("a", "b", "c"), ("c", "b", "a")]
    needed = coalitions_of(orders, 2)
    assert needed == [frozenset("ab"), frozenset("ac"), frozenset("bc"), frozenset("abc")]
    utilities = {s: float(len(s)) for s in needed}
    assert leave_one_out("abc", utilities) == {"a": 1.0, "b": 1.0, "c": 1.0}


@pytest.mark.parametrize("freedom", [1, 2, 9, 49, 999])
def test_quantile_of_students_t(freedom: int) -> None:
    assert student_t_975(freedom) == pytest.approx(student.ppf(0.975, freedom), rel=1e-9)
