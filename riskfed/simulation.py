"""A whole federation in one process, and the pooled model to hold it against."""

from __future__ import annotations

import random
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from riskfed.errors import SchemaError
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.books import Books
from riskfed.protocols.horizontal_xgboost import Trained, train
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Program, run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Schema
from riskfed.secure.keys import Identity
from riskfed.trees.cuts import Cuts

if TYPE_CHECKING:
    import xgboost


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


@dataclass(frozen=True, slots=True)
class Result:
    """What a simulated run gave.

    Attributes:
        booster: the model as the banks keep it, an ordinary `xgboost.Booster`; whole, whatever form was released.
        cuts: the shared cuts, for `pooled_reference`.
        metrics: pooled figures on the held-out rows; empty where nothing was held out.
        history: pooled figures after each tree.
        traffic: bytes per bank and direction, and rounds.
        timings: wall seconds of ``opening`` (keys, protection, canary), ``training`` and ``total``.
        transcript: all that the server saw.
        release: the result as it left the banks.
    """

    booster: xgboost.Booster
    cuts: Cuts
    metrics: Mapping[str, float]
    history: list[Mapping[str, float]]
    traffic: Traffic
    timings: Mapping[str, float]
    transcript: Transcript = field(repr=False)
    release: ModelRelease = field(repr=False)


def simulate(
    banks: Mapping[str, pd.DataFrame],
    schema: Schema,
    job: HorizontalXgboost,
    protection: str = "masking",
    seed: int | None = None,
    *,
    key_bits: int = 2048,
) -> Result:
    """Train over several banks in one process, with the protocols, protection and frames of a real run.

    Args:
        banks: name -> loan records, for at least three banks. They must meet `schema`; no bank's policy is applied.
        schema: the consortium's schema.
        job: what to train.
        protection: "masking" or "paillier".
        seed: shuffles the order in which banks are served; None keeps them sorted. The model does not depend on it, and the
            randomness of the protection always comes from the operating system.
        key_bits: size of the Paillier modulus, 2048 at least.

    Raises:
        PlanError: fewer than three banks, or an unknown protection.
        ContractError: a bank's records do not meet the schema.
        JobError: the pooled records do not suit the job.
    """
    names = sorted(banks)
    plan = Plan(
        run=f"simulation-{secrets.token_hex(8)}",
        roster=tuple(names),
        job=job,
        schema_fingerprint=schema.fingerprint,
        protection=protection,
        key_bits=key_bits,
    )
    records = {name: Records.from_frame(banks[name], schema) for name in names}
    parties = _parties(plan, {name: partial(train, records[name], schema, job) for name in names})
    order = list(names)
    if seed is not None:
        random.Random(seed).shuffle(order)  # noqa: S311  order only
    ledger, transcript = _Ledger(), Transcript()
    switchboard = Switchboard(plan, transport="local", listener=ledger, tap=transcript.record)
    LocalSwitchboard(switchboard, parties, order).run()
    return _result(parties[names[0]].outcome, ledger, transcript)


def _result(outcome: Trained, ledger: _Ledger, transcript: Transcript) -> Result:
    """What one bank was left with, any of them, and what was seen of the run."""
    return Result(
        booster=_load(outcome.full.booster),
        cuts=outcome.cuts,
        metrics=outcome.release.metrics,
        history=list(outcome.release.history),
        traffic=ledger.traffic(),
        timings=ledger.timings(),
        transcript=transcript,
        release=outcome.release,
    )


def _parties(plan: Plan, programs: Mapping[str, Callable[[], Program[Trained]]]) -> dict[str, Party]:
    """A party for each bank, with signing keys made for this run."""
    identities = {name: Identity.generate() for name in plan.roster}
    pinned = {name: identity.public for name, identity in identities.items()}
    return {name: Party(Seat(name, identities[name], pinned, plan), programs[name]) for name in plan.roster}


def pooled_cuts(frame: pd.DataFrame, schema: Schema, job: HorizontalXgboost) -> Cuts:
    """The cuts that a federation of any banks with these records agrees on, found from the pooled records."""
    development, _ = Records.from_frame(frame, schema).hold_out(job.validation_fraction, job.validation_seed)
    return run_alone(shared_cuts(development, schema, job))


def pooled_reference(frame: pd.DataFrame, cuts: Cuts, job: HorizontalXgboost) -> xgboost.Booster:
    """Train plain xgboost on pooled records with the cuts of a federation: what the federation's model must equal.

    Rows are held out by the same hash, and early stopping is XGBoost's own.

    Args:
        frame: all banks' records in one frame.
        cuts: `Result.cuts`.
        job: the job of the federation.
    """
    from riskfed.trees.reference import train_pooled

    if cuts.schema is None:
        raise SchemaError("these cuts carry no schema; take them from a federation's result")
    records = Records.from_frame(frame, cuts.schema)
    development, held_out = records.hold_out(job.validation_fraction, job.validation_seed)
    watched = (held_out.matrix, held_out.labels) if job.early_stopping_rounds is not None else None
    return train_pooled(development.matrix, development.labels, development.weights, cuts, job, watched=watched)


class _Ledger:
    """Listens to a run for its traffic and timings."""

    def __init__(self) -> None:
        self._books = Books()
        self._until_tree: list[int] = []
        self._started = time.perf_counter()
        self._proven = self._finished = self._started

    def __call__(self, event: events.Event) -> None:
        self._books(event)
        match event:
            case events.ProgressMade():
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


def _load(booster_json: bytes) -> xgboost.Booster:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(booster_json))
    return booster
