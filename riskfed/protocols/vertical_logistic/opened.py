"""Masked sums, opened by the coordinator: what a party asks, and what the coordinator does.

| exchange | from -> to            | content                                             |
|----------|-----------------------|-----------------------------------------------------|
| QUESTION | parties -> coordinator | ciphertexts of sums, each field masked by who asks  |
| OPENED   | coordinator -> parties | the masked sums                                     |

The coordinator answers each party's own question to that party alone. It sees sums plus masks that are 2^64 times wider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.program import Exchange, Program
from riskfed.protocols.vertical.exchange import only
from riskfed.secure.encrypted_vectors import MaskedSums, VectorKey
from riskfed.secure.primitives import frame

QUESTION: Final = "vertical logistic, masked sums"
OPENED: Final = "vertical logistic, opened sums"
_LENGTH_BYTES: Final = 8
_MOST_PARTS: Final = 1 << 12


def open_sums(masked: Sequence[MaskedSums], coordinator: str) -> Program[list[list[int]]]:
    """Have some sums opened; those of each, exact.

    Raises:
        RemoteProtocolError: the coordinator answered something else.
        ProtectionError: an opened number cannot be a sum.
    """
    yield Exchange({coordinator: frame(*(sums.question for sums in masked))} if masked else {}, QUESTION)
    received = yield Exchange({}, OPENED)
    if not masked:
        return []
    parts = unframe(only(received, coordinator), coordinator)
    if len(parts) != len(masked):
        raise RemoteProtocolError(
            f"{coordinator} opened {len(parts)} questions; expected {len(masked)}; its operator must act"
        )
    return [sums.reveal(part) for sums, part in zip(masked, parts, strict=True)]


def answer_questions(keys: Sequence[VectorKey], askers: Sequence[str]) -> Program[None]:
    """The coordinator's side: open what each party asks.

    Args:
        keys: one for each part of a question; the last for all that follow.
        askers: who may ask.

    Raises:
        RemoteProtocolError: a question is malformed, or from somebody else.
    """
    received: Mapping[str, bytes] = yield Exchange({}, QUESTION)
    if others := sorted(set(received) - set(askers)):
        raise RemoteProtocolError(f"{', '.join(others)} asked for sums; only {', '.join(askers)} may now")
    answers = {}
    for asker, question in received.items():
        parts = enumerate(unframe(question, asker))
        answers[asker] = frame(*(keys[min(number, len(keys) - 1)].open(part) for number, part in parts))
    yield Exchange(answers, OPENED)


def unframe(data: bytes, sender: str) -> list[bytes]:
    """Undo `riskfed.secure.primitives.frame`.

    Raises:
        RemoteProtocolError: malformed.
    """
    parts, at = list[bytes](), 0
    while at < len(data) and len(parts) < _MOST_PARTS:
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        parts.append(data[start:at])
    if at != len(data):
        raise RemoteProtocolError(f"{sender} sent {len(data)} bytes that are no list of parts; its operator must act")
    return parts
