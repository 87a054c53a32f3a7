"""What parties tell each other beside ciphertexts, and the order of exchanges.

| exchange    | from -> to                                     | content                                                      |
|-------------|------------------------------------------------|--------------------------------------------------------------|
| PUBLIC_KEY  | coordinator -> all                             | public key                                                   |
|             |                                                | alignment (`riskfed.protocols.alignment`)                    |
| EPOCHS_DONE | feature holders -> label holder                | epochs of an earlier attempt that it has                     |
| BEGIN       | label holder -> all                            | epoch to go on from, mini-batches of an epoch; labels, encrypted |
| SCORES      | feature holder -> the next, last -> label holder | sum of the scores so far, encrypted; once for each of them |
| RESIDUALS   | label holder -> feature holders                | residuals, encrypted                                         |
| LOSS        | feature holders -> label holder                | the epoch's sum of residual times own score                  |
| VERDICT     | label holder -> all                            | whether another epoch follows                                |
| PARTS       | feature holders -> label holder                | id and sha256 of its part; score shares of held-out customers |
| RELEASED    | label holder -> all                            | sha256 of the release                                        |

After BEGIN (with weights of evidence) and after each RESIDUALS, sums are opened (`riskfed.protocols.vertical_logistic.opened`).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.vertical.exchange import RELEASED
from riskfed.protocols.vertical.messages import PartStatement

__all__ = ["RELEASED", "Begin", "PartMessage"]

PUBLIC_KEY: Final = "vertical logistic, public key"
EPOCHS_DONE: Final = "vertical logistic, epochs so far"
BEGIN: Final = "vertical logistic, begin"
SCORES: Final = "vertical logistic, scores"
RESIDUALS: Final = "vertical logistic, residuals"
LOSS: Final = "vertical logistic, loss"
VERDICT: Final = "vertical logistic, verdict"
PARTS: Final = "vertical logistic, parts"

_COUNT: Final = struct.Struct(">I")
_BEGIN: Final = struct.Struct(">II")
_SHARE: Final = struct.Struct(">d")
_ON: Final = b"\x01"
_OFF: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class Begin:
    """The descent begins.

    Attributes:
        epoch: that it goes on from; 0 at first.
        batches: mini-batches of an epoch; 0 where no epoch follows.
        labels: encrypted, for feature holders' bins; empty otherwise.
    """

    epoch: int
    batches: int
    labels: bytes = b""

    def to_bytes(self) -> bytes:
        """For the wire."""
        return _BEGIN.pack(self.epoch, self.batches) + self.labels

    @classmethod
    def from_bytes(cls, data: bytes, sender: str) -> Begin:
        """Undo `to_bytes`.

        Raises:
            RemoteProtocolError: something else came.
        """
        if len(data) < _BEGIN.size:
            raise RemoteProtocolError(
                f"{sender} did not say where the descent begins ({len(data)} bytes); its operator must act"
            )
        epoch, batches = _BEGIN.unpack_from(data)
        return cls(epoch, batches, data[_BEGIN.size :])


def write_epochs(done: int) -> bytes:
    """Epochs that a party has."""
    return _COUNT.pack(done)


def read_epochs(data: bytes, sender: str) -> int:
    """Undo `write_epochs`.

    Raises:
        RemoteProtocolError: something else came.
    """
    if len(data) != _COUNT.size:
        raise RemoteProtocolError(f"{sender} did not say which epochs it has; its operator must act")
    return int(_COUNT.unpack(data)[0])


def write_share(share: float) -> bytes:
    """A feature holder's share of an epoch's loss."""
    return _SHARE.pack(share)


def read_share(data: bytes, sender: str) -> float:
    """Undo `write_share`.

    Raises:
        RemoteProtocolError: something else came.
    """
    share = _SHARE.unpack(data)[0] if len(data) == _SHARE.size else math.nan
    if not math.isfinite(share):
        raise RemoteProtocolError(f"{sender} told no finite share of the loss; its operator must act")
    return float(share)


def verdict(*, on: bool) -> bytes:
    """Whether another epoch follows."""
    return _ON if on else _OFF


def goes_on(data: bytes, sender: str) -> bool:
    """Undo `verdict`.

    Raises:
        RemoteProtocolError: something else came.
    """
    if data not in (_ON, _OFF):
        raise RemoteProtocolError(f"{sender} did not say whether another epoch follows; its operator must act")
    return data == _ON


@dataclass(frozen=True, slots=True)
class PartMessage:
    """What a feature holder tells at the end.

    Attributes:
        statement: id and sha256 of its part.
        shares: (h,) float32 its shares of the held-out customers' scores, in the common order.
    """

    statement: PartStatement
    shares: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """For the wire."""
        stated = self.statement.to_bytes()
        return _COUNT.pack(len(stated)) + stated + self.shares.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, held_out: int, sender: str) -> PartMessage:
        """Undo `to_bytes`.

        Raises:
            RemoteProtocolError: something else came.
        """
        stated = _COUNT.unpack_from(data)[0] if len(data) >= _COUNT.size else 0
        end = _COUNT.size + stated
        shares = data[end:]
        values = np.frombuffer(shares, dtype="<f4") if len(shares) == 4 * held_out else np.full(1, np.nan)
        if not np.isfinite(values).all():
            raise RemoteProtocolError(
                f"{sender} did not tell its finite shares of {held_out} held-out scores; its operator must act"
            )
        return cls(PartStatement.from_bytes(data[_COUNT.size : end], sender), values.astype(np.float32))
