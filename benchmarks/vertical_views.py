"""What each party of a vertical run gets to see, taken from what crosses between their programs.

Gradients are exchanged as they are here, so that many runs are quick: what a party can tell from nodes and decisions does not depend on the
cipher, and trees are the same with it. This lives here and not in the product, so that no configuration of the product can reach it.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from riskfed.jobs import VerticalXgboost
from riskfed.plan import SEALED, Plan
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import Exchange, Program
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.switchboard import Switchboard
from riskfed.protocols.vertical import feature_holder, label_holder
from riskfed.protocols.vertical.messages import Choices, Gradients, Nodes, read_decisions, read_order
from riskfed.schema import Schema
from riskfed.simulation.traffic import parties_for

_ORDER: Final = "vertical, order"
_ANSWER: Final = "vertical, answer"


class PlainOwner:
    """`GradientOwner` without encryption."""

    public = b""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def encrypt(self, g: NDArray[np.int64], h: NDArray[np.int64]) -> bytes:
        """Both as they are."""
        return _packed(np.column_stack([g, h]))

    def decrypt(self, answer: bytes, n_cells: int) -> NDArray[np.int64]:
        """What `PlainSummer` answered."""
        return _unpacked(answer).reshape(n_cells, 2)


class PlainSummer:
    """`GradientSummer` without encryption."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._gradients = np.empty((0, 2), dtype=np.int64)

    def take(self, ciphertexts: bytes, n_rows: int) -> None:
        """A tree's."""
        self._gradients = _unpacked(ciphertexts).reshape(n_rows, 2)

    def answer(self, nodes: Sequence[NDArray[np.integer]], codes: NDArray[np.uint8], n_bins: Sequence[int]) -> bytes:
        """Sums by node, feature and bin."""
        cells = [self._sums(rows, codes[feature], bins) for rows in nodes for feature, bins in enumerate(n_bins)]
        return _packed(np.concatenate(cells))

    def _sums(self, rows: NDArray[np.integer], codes: NDArray[np.uint8], bins: int) -> NDArray[np.int64]:
        sums = np.zeros((256, 2), dtype=np.int64)
        np.add.at(sums, codes[rows], self._gradients[rows])
        return sums[:bins]


@contextmanager
def unencrypted() -> Iterator[None]:
    """Within it, programs of vertical XGBoost exchange gradients and sums as they are."""
    with (
        mock.patch.object(label_holder, "GradientOwner", PlainOwner),
        mock.patch.object(label_holder, "generate_paillier_key", return_value=None),
        mock.patch.object(feature_holder, "GradientSummer", PlainSummer),
    ):
        yield


@dataclass
class Orders:
    """Listens to the programs of a run for what one feature holder is told and decides.

    Attributes:
        sender, party: the label holder and the feature holder.
        learned: (n,) bool, which of the common customers are for development.
        cells: for each tree that the feature holder took part in, (m,) int64: development rows with the same number are those that
            it cannot tell apart by this tree.
    """

    sender: str
    party: str
    learned: NDArray[np.bool_] = field(repr=False)
    cells: list[NDArray[np.int64]] = field(default_factory=list, repr=False)
    _asked: Choices | None = None

    def __call__(self, name: str, request: Any) -> None:
        """A request of a party's program."""
        if not isinstance(request, Exchange):
            return
        if name == self.sender and request.label == _ORDER and self.party in request.payloads:
            self._told(request.payloads[self.party])
        elif name == self.party and request.label == _ANSWER and self._asked is not None:
            self._decided(self._asked, request.payloads[self.sender])

    def _told(self, payload: bytes) -> None:
        match read_order(payload, len(self.learned), int(self.learned.sum()), self.sender):
            case Gradients():
                self.cells.append(np.zeros(int(self.learned.sum()), dtype=np.int64))
            case Nodes(numbers=numbers):
                self._part(numbers)
            case Choices() as choices:
                self._asked = choices
                self._part(choices.numbers[self.learned])

    def _decided(self, choices: Choices, payload: bytes) -> None:
        concerned = choices.numbers >= 0
        _, right = read_decisions(payload, len(choices.options), int(concerned.sum()), self.party)
        ways = np.zeros(len(concerned), dtype=np.int64)
        ways[concerned] = right
        self._part(ways[self.learned])
        self._asked = None

    def _part(self, numbers: NDArray[np.integer]) -> None:
        """Tell rows of the last tree apart by numbers."""
        both = np.stack([self.cells[-1], numbers.astype(np.int64)])
        self.cells[-1] = np.unique(both, axis=1, return_inverse=True)[1].reshape(-1)


def run_overheard(
    records: Mapping[str, Records],
    schema: Schema,
    job: VerticalXgboost,
    kept: bytes | None,
    heard: Callable[[str, Any], None],
) -> dict[str, Any]:
    """Run a job in this process, unencrypted, with a listener to all that the programs ask for; party -> outcome.

    Args:
        records: party -> its records.
        schema: the joint one.
        job: what is trained.
        kept: an alignment that the parties keep.
        heard: told of each request, with the party's name.
    """
    roster = tuple(sorted(records))
    plan = Plan(
        run=f"overheard-{secrets.token_hex(8)}",
        roster=roster,
        job=job,
        schema_fingerprint=schema.fingerprint,
        protection=SEALED,
    )
    programs = {
        name: program_for(job, records[name], schema, bank=name, roster=roster, kept=lambda _: kept) for name in roster
    }
    parties = parties_for(plan, {name: partial(_overheard, name, programs[name], heard) for name in roster})
    with unencrypted():
        LocalSwitchboard(Switchboard(plan, transport="local"), parties, roster).run()
    return {name: party.outcome for name, party in parties.items()}


def _overheard(name: str, make_program: Callable[[], Program[Any]], heard: Callable[[str, Any], None]) -> Program[Any]:
    program, answer = make_program(), None
    while True:
        try:
            request = program.send(answer)
        except StopIteration as end:
            return end.value
        heard(name, request)
        answer = yield request


def _packed(values: NDArray[np.int64]) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _unpacked(data: bytes) -> NDArray[np.int64]:
    values: NDArray[np.int64] = np.load(io.BytesIO(data))
    return values
