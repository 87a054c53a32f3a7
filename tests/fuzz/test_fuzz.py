"""More than 100,000 hostile inputs, the same ones each time; `make fuzz` goes on with others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from riskfed.errors import RiskfedError
from tests.fuzz import harness
from tests.fuzz.harness import FindingError, Session, Target, run_target, simply
from tests.fuzz.mutator import Mutator
from tests.fuzz.targets import TARGETS

SEED = 20_261_122


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_only_errors_of_our_own_come_out(target: Target) -> None:
    tally = run_target(target, SEED, lambda: iter(range(target.count)))
    assert tally.inputs == target.count
    assert tally.taken > 0, "nothing was nearly right: the inputs do not get far enough"


def test_the_inputs_are_many_enough() -> None:
    assert sum(target.count for target in TARGETS) >= 100_000


def _raise(error: Exception) -> None:
    raise error


def test_a_defect_is_found_and_named() -> None:
    def careless(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError("a defect")

    target = Target("careless", 2_000, simply(lambda mutator: mutator.bytes_like([bytes(20)]), careless))
    with pytest.raises(FindingError, match="careless, seed 1, input [0-9]+, .*KeyError"):
        run_target(target, 1, lambda: iter(range(target.count)))


def test_what_takes_much_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "MOST_GROWTH", 32 << 20)

    more_than_ever = harness.peak() + (64 << 20)  # where the peak cannot be forgotten, it is that of all tests before
    fed = count()

    def greedy(data: bytes) -> None:
        bytearray(more_than_ever if next(fed) == 7 else len(data))

    target = Target("greedy", 300, simply(lambda mutator: mutator.bytes_like([bytes(20)]), greedy))
    with pytest.raises(FindingError, match="greedy, seed 1: [0-9]+ MiB of memory"):
        run_target(target, 1, lambda: iter(range(target.count)))


def test_refusals_are_no_findings_and_the_target_is_closed() -> None:
    closed = []

    @contextmanager
    def refusing() -> Iterator[Session]:
        yield (lambda mutator: b""), (lambda data: _raise(RiskfedError("no")))
        closed.append(True)

    tally = run_target(Target("refusing", 3, refusing), 1, lambda: iter(range(3)))
    assert (tally.inputs, tally.taken, closed) == (3, 0, [True])


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, second = Mutator(5), Mutator(5)
    seeds = [b"one" * 10, b"other" * 3]
    assert [first.bytes_like(seeds) for _ in range(200)] == [second.bytes_like(seeds) for _ in range(200)]
    documents = [b'{"a": [1, {"b": 2}], "c": "x"}']
    made = [first.json_like(documents) for _ in range(200)]
    assert made == [second.json_like(documents) for _ in range(200)]
    assert len(set(made)) > 100
