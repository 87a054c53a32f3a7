"""What the parties of a transfer job tell each other, inside sealed envelopes.

for each dimension a message     join_messages, split_messages    while they learn
Lesson                           label holder -> target           at the end: what default looks like in the common space
Scores                           target -> label holder           sha256 of the model, and log-odds of the held-out common customers
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError

LESSON: Final = "transfer, lesson"
SCORES: Final = "transfer, scores"
RELEASED: Final = "transfer, release"
_LENGTH: Final = struct.Struct(">Q")
_DIGEST_BYTES: Final = 32


def join_messages(messages: Sequence[bytes]) -> bytes:
    """One after the other, each behind its length."""
    return b"".join(_LENGTH.pack(len(message)) + message for message in messages)


def split_messages(data: bytes, count: int, sender: str) -> list[bytes]:
    """Undo `join_messages`.

    Raises:
        RemoteProtocolError: these are not so many messages.
    """
    messages, at = list[bytes](), 0
    while len(messages) < count and len(data) - at >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        messages.append(data[at : at + length])
        at += length
    if len(messages) != count or at != len(data):
        raise RemoteProtocolError(
            f"{sender} did not send a message for each of {count} dimensions; its operator must act"
        )
    return messages


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What the label holder tells the target at the end.

    Attributes:
        direction: (d,) float64, Phi: half of the distance between the mean places of its defaults and its others.
        base_rate: share of defaults.
    """

    direction: NDArray[np.float64] = field(repr=False)
    base_rate: float

    def to_bytes(self) -> bytes:
        """JSON, every number to its last bit."""
        return json.dumps([self.direction.tolist(), self.base_rate]).encode()

    @classmethod
    def from_bytes(cls, data: bytes, dimensions: int, sender: str) -> Lesson:
        """Undo `to_bytes`.

        Raises:
            RemoteProtocolError: something else came: places have coordinates from -1 to 1, a rate lies between 0 and 1.
        """
        try:
            direction, base_rate = json.loads(data)
            if all(type(number) is float for number in [*direction, base_rate]):
                lesson = cls(np.array(direction), base_rate)
                if (
                    lesson.direction.shape == (dimensions,)
                    and (np.abs(lesson.direction) <= 1).all()
                    and 0 < base_rate < 1
                ):
                    return lesson
        except (ValueError, TypeError, RecursionError):
            pass
        raise RemoteProtocolError(
            f"{sender} did not say what default looks like in {dimensions} dimensions; its operator must act"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the target tells the label holder at the end.

    Attributes:
        model_sha256: of its model's JSON, hexadecimal.
        margins: (h,) float32 log-odds of default of the held-out common customers, in the common order.
    """

    model_sha256: str
    margins: NDArray[np.float32] = field(repr=False)

    def to_bytes(self) -> bytes:
        """For the wire."""
        return bytes.fromhex(self.model_sha256) + self.margins.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, customers: int, sender: str) -> Scores:
        """Undo `to_bytes`.

        Raises:
            RemoteProtocolError: these are not the scores of so many customers.
        """
        if len(data) == _DIGEST_BYTES + 4 * customers:
            margins = np.frombuffer(data, dtype="<f4", offset=_DIGEST_BYTES).astype(np.float32)
            if np.isfinite(margins).all():
                return cls(data[:_DIGEST_BYTES].hex(), margins)
        raise RemoteProtocolError(
            f"{sender} did not send the scores of {customers} held-out customers; its operator must act"
        )
