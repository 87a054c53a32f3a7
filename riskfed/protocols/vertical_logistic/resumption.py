"""Where a run goes on after a party or the server was lost.

Each party with records keeps its coefficients after every epoch in a journal of its own, of which nothing leaves it. At the start of
an attempt feature holders tell the label holder how many epochs they have, and it tells all how many everybody has. All that a step depends
on is in whole numbers, and mini-batches follow from ids, so the coefficients come out as without the loss, to the last bit.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from riskfed.errors import ConfigurationError
from riskfed.linear.descent import Coefficients
from riskfed.protocols.program import Checkpoint, Exchange, Program
from riskfed.protocols.vertical.exchange import received_of
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical.resumption import Head, read_journal
from riskfed.protocols.vertical_logistic import messages

_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Epoch:
    """A party's journal entry for an epoch.

    Attributes:
        values, velocity: of its coefficients.
        loss: mean loss, at the label holder; 0 elsewhere.
    """

    values: tuple[float, ...] = field(repr=False)
    velocity: tuple[float, ...] = field(repr=False)
    loss: float = 0.0

    @classmethod
    def of(cls, coefficients: Coefficients, loss: float = 0.0) -> Epoch:
        """After an epoch."""
        return cls(tuple(coefficients.values), tuple(coefficients.velocity), loss)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Epoch:
        """Undo `to_bytes`."""
        return cls(tuple(map(float, fields["values"])), tuple(map(float, fields["velocity"])), float(fields["loss"]))

    def to_bytes(self, number: int) -> bytes:
        """The entry of epoch `number`, from 0."""
        fields = {"number": number, "values": self.values, "velocity": self.velocity, "loss": self.loss}
        return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class Kept:
    """What a party goes on from.

    Attributes:
        salt: of its part, hexadecimal; the same in all attempts of a run.
        epochs: that it has.
    """

    salt: str = field(repr=False)
    epochs: tuple[Epoch, ...] = field(repr=False)


def recall(place: Place, records: str, alignment: str) -> Program[Kept]:
    """Read the journal, and begin it where there is none.

    Args:
        place: the party's.
        records: fingerprint of its records.
        alignment: digest of the alignment.

    Raises:
        ConfigurationError: the journal is damaged.
        ContractError: the records are no longer those that the run began with.
    """
    head, epochs = read_journal(place.journal or (), Epoch.from_dict, records, alignment)
    if head is None:
        head = Head(records, alignment, salt=secrets.token_hex(_SALT_BYTES))
        yield Checkpoint(head.to_bytes())
    return Kept(head.salt, tuple(epochs))


def common_epochs(own: int, feature_holders: tuple[str, ...]) -> Program[int]:
    """The label holder's side: how many epochs all have.

    Raises:
        RemoteProtocolError: a feature holder's statement is malformed.
    """
    received = yield Exchange({}, messages.EPOCHS_DONE)
    stated = [messages.read_epochs(received_of(received, name), name) for name in feature_holders]
    return min(own, *stated)


def resumed(start: Coefficients, epochs: tuple[Epoch, ...]) -> Coefficients:
    """Coefficients after the last of some epochs; `start` where there is none.

    Raises:
        ConfigurationError: they are of other columns.
    """
    if not epochs:
        return start
    if len(epochs[-1].values) != len(start.values):
        raise ConfigurationError(
            "the run's checkpoint is of other inputs than the records give now; the party must delete it to start the run anew"
        )
    return Coefficients(list(epochs[-1].values), list(epochs[-1].velocity), start.free)
