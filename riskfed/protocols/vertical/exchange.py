"""Orders and answers: the label holder speaks, then feature holders, in lock-step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.program import Exchange, Program

OPENING: Final = "vertical, opening"
RELEASED: Final = "vertical, release"
_ORDER: Final = "vertical, order"
_ANSWER: Final = "vertical, answer"


def ask(orders: Mapping[str, bytes]) -> Program[list[bytes]]:
    """Order something of every feature holder; their answers in the order of ``orders``.

    Raises:
        RemoteProtocolError: one did not answer.
    """
    yield Exchange(orders, _ORDER)
    received = yield Exchange({}, _ANSWER)
    return [received_of(received, partner) for partner in orders]


def next_order(label_holder: str) -> Program[bytes]:
    """A feature holder waits for its next order.

    Raises:
        RemoteProtocolError: there is none, or somebody else ordered something.
    """
    received = yield Exchange({}, _ORDER)
    return only(received, label_holder)


def answer(label_holder: str, content: bytes) -> Program[None]:
    """A feature holder answers its order."""
    yield Exchange({label_holder: content}, _ANSWER)


def received_of(received: Mapping[str, bytes], sender: str) -> bytes:
    """What a party sent.

    Raises:
        RemoteProtocolError: it sent nothing.
    """
    if sender not in received:
        raise RemoteProtocolError(f"{sender} sent nothing where something was due; its operator must act")
    return received[sender]


def only(received: Mapping[str, bytes], sender: str) -> bytes:
    """What a party sent, if nobody else sent anything.

    Raises:
        RemoteProtocolError: it sent nothing, or another party sent something.
    """
    if others := sorted(set(received) - {sender}):
        raise RemoteProtocolError(f"{', '.join(others)} sent what only {sender} may send; their operators must act")
    return received_of(received, sender)
