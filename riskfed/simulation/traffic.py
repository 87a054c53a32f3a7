"""What the parties of a simulated run have, and what is seen of it: bytes, times, and all that the server saw."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.books import Books
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Program
from riskfed.secure.keys import Identity


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that crossed the switchboard.

    Attributes:
        received: bank -> bytes that it sent to the server.
        sent: bank -> bytes that the server sent to it.
        rounds: lock-steps of the run.
        until_tree: bytes of all banks in both directions up to the end of each tree; the first holds opening and cuts too.
    """

    received: Mapping[str, int]
    sent: Mapping[str, int]
    rounds: int
    until_tree: tuple[int, ...]

    @property
    def total(self) -> int:
        """All bytes, both directions."""
        return sum(self.received.values()) + sum(self.sent.values())


@dataclass(frozen=True, slots=True)
class Message:
    """One batch that the server saw: `direction` is "received" (from the bank) or "sent" (to it)."""

    round: int
    bank: str
    direction: str
    data: bytes = field(repr=False)


class Transcript:
    """All that the server saw, in order. Kept in a temporary file, since it can be larger than memory; iterate to read it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the transcript
        self._index: list[tuple[int, str, str, int, int]] = []
        self._end = 0

    def record(self, round_: int, bank: str, direction: str, data: bytes) -> None:
        """Append one batch."""
        self._file.seek(self._end)
        self._file.write(data)
        self._index.append((round_, bank, direction, self._end, len(data)))
        self._end += len(data)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Message]:
        for round_, bank, direction, start, length in self._index:
            self._file.seek(start)
            yield Message(round_, bank, direction, self._file.read(length))


class Ledger:
    """Listens to a run for its traffic and timings."""

    def __init__(self) -> None:
        self._books = Books()
        self._until_tree: list[int] = []
        self._started = time.perf_counter()
        self._proven = self._finished = self._started

    def __call__(self, event: events.Event) -> None:
        self._books(event)
        match event:
            case events.ProgressMade(step=step) if step > 0:  # before, customers are aligned
                self._until_tree.append(self.traffic().total)
            case events.ProtectionProven():
                self._proven = time.perf_counter()
            case events.RunFinished():
                self._finished = time.perf_counter()

    def traffic(self) -> Traffic:
        books = self._books
        return Traffic(dict(books.received), dict(books.sent), books.rounds, tuple(self._until_tree))

    def timings(self) -> dict[str, float]:
        return {
            "opening": self._proven - self._started,
            "training": self._finished - self._proven,
            "total": self._finished - self._started,
        }


def parties_for(plan: Plan, programs: Mapping[str, Callable[[], Program[Any]]]) -> dict[str, Party]:
    """A party for each bank, with signing keys made for this run."""
    identities = {name: Identity.generate() for name in plan.roster}
    pinned = {name: identity.public for name, identity in identities.items()}
    return {name: Party(Seat(name, identities[name], pinned, plan), programs[name]) for name in plan.roster}
