"""Targets of vertical logistic regression and of transfer learning: what is told beside ciphertexts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from riskfed.linear_model import read_part, read_partial_score
from riskfed.protocols.transfer.messages import Lesson, Scores, join_messages, split_messages
from riskfed.protocols.vertical.messages import PartStatement
from riskfed.protocols.vertical_logistic import messages as logistic
from tests.fuzz.harness import Target, simply
from tests.fuzz.mutator import Mutator
from tests.fuzz.vertical import LINEAR, PARTS

HELD_OUT: Final = 6
DIMENSIONS: Final = 3
_NUMBERS: Final = np.linspace(-2, 3, HELD_OUT, dtype=np.float32)
SENDER: Final = "payments"


def _same(read: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """Strict: what is taken is exactly what would be sent."""

    def check(data: bytes) -> None:
        assert read(data).to_bytes() == data

    return check


def check_part_message(data: bytes) -> None:
    told = logistic.PartMessage.from_bytes(data, HELD_OUT, SENDER)
    again = logistic.PartMessage.from_bytes(told.to_bytes(), HELD_OUT, SENDER)
    assert again.statement == told.statement
    assert again.shares.tobytes() == told.shares.tobytes()


def check_lesson(data: bytes) -> None:
    """JSON has more than one way to write a number."""
    lesson = Lesson.from_bytes(data, DIMENSIONS, SENDER)
    assert Lesson.from_bytes(lesson.to_bytes(), DIMENSIONS, SENDER).to_bytes() == lesson.to_bytes()


def check_small(data: bytes) -> None:
    """Whatever a party takes for one of the short messages is what the other would have sent."""
    readers: dict[int, tuple[Callable[[bytes], bytes], ...]] = {
        1: (lambda told: logistic.verdict(on=logistic.goes_on(told, SENDER)),),
        4: (
            lambda told: logistic.write_epochs(logistic.read_epochs(told, SENDER)),
            lambda told: read_partial_score(told).astype("<f4").tobytes(),
        ),
    }
    for again in readers.get(len(data), (lambda told: logistic.write_share(logistic.read_share(told, SENDER)),)):
        assert again(data) == data


def check_messages(data: bytes) -> None:
    assert join_messages(split_messages(data, DIMENSIONS, SENDER)) == data


def check_any_part(data: bytes) -> None:
    part = read_part(data)
    assert read_part(part.to_bytes()).sha256 == part.sha256


def _like(*seeds: bytes) -> Callable[[Mutator], bytes]:
    return lambda mutator: mutator.bytes_like(seeds)


_SMALL = (logistic.verdict(on=True), logistic.write_epochs(7), logistic.write_share(0.25), _NUMBERS[:1].tobytes())
_PART = logistic.PartMessage(PartStatement("0" * 32, "f" * 64), _NUMBERS).to_bytes()
_LESSON = Lesson(np.array([0.5, -0.25, 1.0]), 0.2).to_bytes()

LINEAR_JOBS = [
    Target(
        "vertical_logistic.Begin",
        2_000,
        simply(
            _like(logistic.Begin(2, 9, b"labels").to_bytes()),
            _same(lambda data: logistic.Begin.from_bytes(data, SENDER)),
        ),
    ),
    Target("vertical_logistic.PartMessage", 3_000, simply(_like(_PART), check_part_message)),
    Target("vertical_logistic, short messages", 3_000, simply(_like(*_SMALL), check_small)),
    Target("linear_model.read_part", 1_000, simply(_like(LINEAR.parts["payments"].to_bytes(), *PARTS), check_any_part)),
    Target("transfer.Lesson", 3_000, simply(lambda mutator: mutator.json_like([_LESSON]), check_lesson)),
    Target(
        "transfer.Scores",
        3_000,
        simply(
            _like(Scores("0f" * 32, _NUMBERS).to_bytes()),
            _same(lambda data: Scores.from_bytes(data, HELD_OUT, SENDER)),
        ),
    ),
    Target("transfer.split_messages", 3_000, simply(_like(join_messages([b"", b"one", bytes(60)])), check_messages)),
]
