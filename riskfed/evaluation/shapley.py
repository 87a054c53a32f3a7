"""Shapley values of a cooperative game: exact over all coalitions, or by sampled orders.

The value of player i is the mean of v(S with i) - v(S) over all orders in which the players may come, where S came before i (Shapley 1953,
"A value for n-person games"). It is the only one that is efficient (values add up to what all together gain), symmetric, zero for a null
player, and additive.

Coalitions of fewer than `least` players have no utility here. They count as the mean of the coalitions of `least` players: the game begins
at the level that so many reach, whoever they are, and what is shared out is the gain above it. (Were they to count as nothing, that level,
most of the gain in credit risk, would be shared by all alike, a free rider included.) Below, this level is `start`; where `least` is 1, it
is the utility of no player.

All figures are Python floats, summed exactly (`math.fsum`) and so independent of order: all parties get the same to the last bit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

from riskfed.evaluation.record import Interval
from riskfed.evaluation.special_functions import beta_cdf

Coalition = frozenset[str]
Order = tuple[str, ...]
_Value = Callable[[Coalition], float]


@dataclass(frozen=True, slots=True)
class Values:
    """What a game comes to.

    Attributes:
        start: utility from which on the gain is shared.
        total: gain of all players above it.
        of: player -> Shapley value; with its 95 % interval where it was sampled.
    """

    start: float
    total: float
    of: Mapping[str, Interval]


def all_coalitions(players: Sequence[str], least: int) -> list[Coalition]:
    """All coalitions of `least` players or more, small ones first."""
    return [
        frozenset(members) for size in range(least, len(players) + 1) for members in combinations(sorted(players), size)
    ]


def sampled_orders(players: Sequence[str], pairs: int, seed: int) -> list[Order]:
    """Orders of the players, drawn uniformly, each followed by its reverse: antithetic, for who comes late in one comes early in the other.

    Mitchell, Cooper, Frank, Holmes 2022, "Sampling permutations for Shapley value estimation", J. Machine Learning Research 23.

    An order sorts the players by SHA-256 of seed, number and name: the same everywhere, whatever the version of a random generator.
    """
    orders: list[Order] = []
    for number in range(pairs):
        order = tuple(sorted(players, key=lambda name: hashlib.sha256(f"{seed} {number} {name}".encode()).digest()))
        orders += [order, order[::-1]]
    return orders


def coalitions_of(orders: Sequence[Order], least: int) -> list[Coalition]:
    """The distinct coalitions of `least` players or more that the orders pass through, and those that lack one player; small ones first."""
    passed = {frozenset(order[:size]) for order in orders for size in range(least, len(order) + 1)}
    everybody = frozenset(orders[0])
    return sorted(passed | {everybody - {name} for name in everybody}, key=lambda s: (len(s), sorted(s)))


def exact_values(players: Sequence[str], utilities: Mapping[Coalition, float], least: int, base: float) -> Values:
    """Shapley values from the utilities of all coalitions of `least` players or more.

    Args:
        players: names, more than `least`.
        utilities: of `all_coalitions`.
        least: see above, 1 or more.
        base: utility of no player.
    """
    start = base if least == 1 else _mean([utilities[s] for s in utilities if len(s) == least])

    def value(coalition: Coalition) -> float:
        return start if len(coalition) < least else utilities[coalition]

    of = {name: Interval(value=_value_of(name, players, value)) for name in players}
    return Values(start, utilities[frozenset(players)] - start, of)


def sampled_values(orders: Sequence[Order], utilities: Mapping[Coalition, float], least: int, base: float) -> Values:
    """Monte-Carlo estimate of the Shapley values (Castro, Gomez, Tejada 2009), with 95 % intervals by Student's t over the pairs of orders.

    Of an order, the first `least` players share alike what they gain over the start: any of them might have come last of them, so the
    expectation is the same and the variance smaller. Every order's marginal gains add up to the total, so the estimates do too.

    Args:
        orders: each followed by its reverse, of two pairs at least.
        utilities: of `coalitions_of` the orders.
        least, base: as of `exact_values`.
    """
    start = base if least == 1 else _mean([utilities[frozenset(order[:least])] for order in orders])
    marginal = [_marginal(order, utilities, least, start) for order in orders]
    pairs = [{name: (a[name] + b[name]) / 2 for name in a} for a, b in zip(marginal[::2], marginal[1::2], strict=True)]
    t = student_t_975(len(pairs) - 1)
    of = {name: _interval([pair[name] for pair in pairs], t) for name in sorted(orders[0])}
    return Values(start, utilities[frozenset(orders[0])] - start, of)


def leave_one_out(players: Sequence[str], utilities: Mapping[Coalition, float]) -> dict[str, float]:
    """What all players together lose without each."""
    everybody = frozenset(players)
    return {name: utilities[everybody] - utilities[everybody - {name}] for name in players}


@cache
def student_t_975(freedom: int) -> float:
    """97.5 % quantile of Student's t, from P(|T| > t) = I_x(f / 2, 1 / 2) with x = f / (f + t^2) (DLMF 8.17.21), by bisection."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if beta_cdf(middle, freedom / 2, 0.5) < 0.05:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom * (1 - high) / high)


def _value_of(name: str, players: Sequence[str], value: _Value) -> float:
    """The mean of the marginal gains over sizes, and within a size over coalitions: |S|! (n - |S| - 1)! / n! = 1 / (n C(n - 1, |S|))."""
    others = [other for other in players if other != name]
    terms = []
    for size in range(len(players)):
        weight = 1 / (len(players) * math.comb(len(others), size))
        for members in combinations(others, size):
            terms.append(weight * (value(frozenset((*members, name))) - value(frozenset(members))))
    return math.fsum(terms)


def _marginal(order: Order, utilities: Mapping[Coalition, float], least: int, start: float) -> dict[str, float]:
    levels = [start, *(utilities[frozenset(order[:size])] for size in range(least, len(order) + 1))]
    gains = [after - before for before, after in pairwise(levels)]
    first = dict.fromkeys(order[:least], gains[0] / least)
    return first | dict(zip(order[least:], gains[1:], strict=True))


def _interval(sample: Sequence[float], t: float) -> Interval:
    mean = _mean(sample)
    variance = math.fsum((value - mean) ** 2 for value in sample) / (len(sample) - 1)
    error = math.sqrt(variance / len(sample))
    return Interval(value=mean, standard_error=error, low=mean - t * error, high=mean + t * error)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
