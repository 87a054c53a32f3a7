"""The hub that serves party programs, sans I/O: it adds what is to be added and forwards what is sealed. It holds no key.

Banks move in lock-step: one batch of every bank in, one answer to every bank out. What may come when:

    state      frame      next       what the switchboard does
    OPENING    EXCHANGE   OPENING    forwards signed keys and sealed envelopes
    OPENING    PUBLIC     PROVING    learns the public parameters; all banks must state the same
    PROVING    COMBINE    CANARY     adds the canaries, keeps the uploads
    CANARY     EXCHANGE   CANARY     forwards sealed parts of the opening
    CANARY     DISCLOSE   RUNNING    looks for each canary's plaintext in the upload it kept
    RUNNING    COMBINE    RUNNING    adds
    RUNNING    EXCHANGE   RUNNING    forwards
    RUNNING    RELEASE    RELEASED   all banks must release the same bytes

So nothing can be added before the canary, and no record-derived byte is asked for before protection is proven. In a sealed run nothing
is added at all: the canaries go in envelopes, and one party's result is released, to which the others have agreed by its sha256:

    OPENING    EXCHANGE   OPENING    as above
    OPENING    PUBLIC     PROVING    nothing is public
    PROVING    EXCHANGE   CANARY     forwards the sealed canaries, keeps them
    CANARY     DISCLOSE   RUNNING    looks for each canary's plaintext in the envelopes it kept
    RUNNING    EXCHANGE   RUNNING    forwards
    RUNNING    RELEASE    RELEASED   one party's result, the sha256 of it from the others
"""

from __future__ import annotations

import enum
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from riskfed.errors import BankLostError, ProtectionError, RemoteProtocolError, RiskfedError, RunFailedError
from riskfed.plan import SEALED, Plan
from riskfed.protocols import events
from riskfed.protocols.frames import EVERYONE, Frame, Kind, decode_batch, decode_parts, encode_batch, encode_parts
from riskfed.protocols.opening import CANARY_LENGTH, modulus_of
from riskfed.protocols.release import ModelRelease
from riskfed.secure import canary
from riskfed.secure.protection import Combiner, combiner_for

Tap = Callable[[int, str, str, bytes], None]
"""Called with (round, bank, "received" or "sent", batch) for everything that crosses the switchboard."""


class State(enum.Enum):
    """Where a run stands; see the table above."""

    OPENING = enum.auto()
    PROVING = enum.auto()
    CANARY = enum.auto()
    RUNNING = enum.auto()
    RELEASED = enum.auto()


_TABLE: dict[tuple[State, Kind], State] = {
    (State.OPENING, Kind.EXCHANGE): State.OPENING,
    (State.OPENING, Kind.PUBLIC): State.PROVING,
    (State.PROVING, Kind.COMBINE): State.CANARY,
    (State.CANARY, Kind.EXCHANGE): State.CANARY,
    (State.CANARY, Kind.DISCLOSE): State.RUNNING,
    (State.RUNNING, Kind.COMBINE): State.RUNNING,
    (State.RUNNING, Kind.EXCHANGE): State.RUNNING,
    (State.RUNNING, Kind.RELEASE): State.RELEASED,
}
_SEALED_TABLE: dict[tuple[State, Kind], State] = {
    (State.OPENING, Kind.EXCHANGE): State.OPENING,
    (State.OPENING, Kind.PUBLIC): State.PROVING,
    (State.PROVING, Kind.EXCHANGE): State.CANARY,
    (State.CANARY, Kind.DISCLOSE): State.RUNNING,
    (State.RUNNING, Kind.EXCHANGE): State.RUNNING,
    (State.RUNNING, Kind.RELEASE): State.RELEASED,
}


class Switchboard:
    """Serves one run.

    Args:
        plan: the run.
        transport: named in the events, for the record.
        listener: told of every event.
        tap: sees every byte that crosses, for transcripts and tests.
    """

    def __init__(
        self, plan: Plan, *, transport: str, listener: events.Listener = lambda _: None, tap: Tap | None = None
    ) -> None:
        self.plan = plan
        self.release: ModelRelease | None = None
        self._listener = listener
        self._tap = tap
        self._state = State.OPENING
        self._table = _SEALED_TABLE if plan.protection == SEALED else _TABLE
        self._round = 0
        self._combiner: Combiner | None = None
        self._modulus: int | None = None
        self._canary_uploads: dict[str, bytes] = {}
        self._started = self._last = time.monotonic()
        listener(events.RunStarted(plan, transport))

    @property
    def finished(self) -> bool:
        """The result has been released."""
        return self._state is State.RELEASED

    def round(self, batches: Mapping[str, bytes]) -> dict[str, bytes]:
        """Serve one lock-step.

        Args:
            batches: bank -> batch, one for every bank of the roster.

        Returns:
            bank -> answer, to be handed to the bank as it is.

        Raises:
            BankLostError: a bank cannot go on now; names it.
            RunFailedError: a bank gave up; names it.
            RemoteProtocolError: banks are out of step, or one sent what the state forbids; names it.
            ProtectionError: protection is not proven.
        """
        self._check_roster(batches)
        questions = {bank: self._questions(bank, batches[bank]) for bank in self.plan.roster}
        kind = self._agreed_kind(questions)
        bodies = {bank: frame.body for bank, frame in questions.items()}
        answers = self._serve(kind, bodies)
        self._state = self._table[self._state, kind]
        step = self._round
        packed = {bank: encode_batch([Frame(k, step, body)]) for bank, (k, body) in answers.items()}
        self._account(batches, packed)
        self._round += 1
        if self.finished:
            self._listener(events.RunFinished(time.monotonic() - self._started))
        return packed

    def fail(self, reason: str) -> bytes:
        """End the run: the batch that tells every bank why."""
        self._listener(events.RunFailed(reason))
        return self._farewell(reason)

    def interrupt(self, reason: str) -> bytes:
        """End this attempt, another one will follow: the batch that tells every bank why."""
        self._listener(events.AttemptFailed(self.plan.attempt, reason))
        return self._farewell(reason)

    def _farewell(self, reason: str) -> bytes:
        return encode_batch([Frame(Kind.FAILED, self._round, reason.encode())])

    def _check_roster(self, batches: Mapping[str, bytes]) -> None:
        if set(batches) != set(self.plan.roster):
            raise RemoteProtocolError(
                f"batches of {', '.join(sorted(batches))}, expected one of each of {', '.join(self.plan.roster)}"
            )

    def _questions(self, bank: str, batch: bytes) -> Frame:
        frames = decode_batch(batch)
        for frame in frames:
            if frame.kind is Kind.LOST:
                raise BankLostError(f"bank {bank} is lost: {frame.body.decode(errors='replace')}")
            if frame.kind is Kind.FAILED:
                raise RunFailedError(f"bank {bank} ended the run: {frame.body.decode(errors='replace')}")
        *told, question = frames
        for frame in told:
            if self._state is not State.RUNNING or frame.kind not in (Kind.PROGRESS, Kind.OWN_METRICS):
                raise RemoteProtocolError(f"bank {bank} sent {frame.kind.name} in state {self._state.name}")
            self._hear(bank, frame)
        if question.step != self._round:
            raise RemoteProtocolError(f"bank {bank} is at step {question.step}, the run at step {self._round}")
        return question

    def _hear(self, bank: str, frame: Frame) -> None:
        if frame.kind is Kind.PROGRESS and bank != (self.plan.job.releaser or self.plan.roster[0]):
            return  # pooled figures, the same from every bank, or not this party's to tell
        try:
            fields: dict[str, Any] = json.loads(frame.body)
            if frame.kind is Kind.OWN_METRICS:
                figures = {str(name): float(value) for name, value in fields.items()}
                self._listener(events.BankMetrics(bank, figures))
            else:
                figures = {str(name): float(value) for name, value in fields["metrics"].items()}
                self._listener(events.ProgressMade(int(fields["step"]), figures))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            raise RemoteProtocolError(f"bank {bank} sent malformed figures") from None

    def _agreed_kind(self, questions: Mapping[str, Frame]) -> Kind:
        kinds = {bank: frame.kind for bank, frame in questions.items()}
        kind = kinds[self.plan.roster[0]]
        if odd := [f"{bank} {other.name}" for bank, other in kinds.items() if other is not kind]:
            raise RemoteProtocolError(
                f"banks are out of step: {self.plan.roster[0]} asks for {kind.name}, {', '.join(odd)}; "
                "check that all banks run the same release"
            )
        if (self._state, kind) not in self._table:
            raise RemoteProtocolError(f"{kind.name} is not allowed in state {self._state.name}")
        return kind

    def _serve(self, kind: Kind, bodies: Mapping[str, bytes]) -> dict[str, tuple[Kind, bytes]]:
        match kind:
            case Kind.EXCHANGE:
                if self._state is State.PROVING:
                    self._canary_uploads = dict(bodies)
                return {bank: (Kind.EXCHANGE, parts) for bank, parts in self._forward(bodies).items()}
            case Kind.COMBINE:
                if self._state is State.PROVING:
                    self._keep_canaries(bodies)
                assert self._combiner is not None
                combined = self._combiner.combine([bodies[bank] for bank in self.plan.roster])
                return {bank: (Kind.COMBINE, combined) for bank in self.plan.roster}
            case Kind.PUBLIC:
                public = self._same(bodies, "public parameters")
                if self.plan.protection != SEALED:
                    self._modulus = modulus_of(self.plan, public)
                    self._combiner = combiner_for(self.plan.protection, public)
            case Kind.DISCLOSE:
                self._check_canaries(bodies)
            case Kind.RELEASE:
                self.release = ModelRelease.from_bytes(self._result(bodies))
                self._listener(events.ModelReleased(self.release))
            case _:
                raise RemoteProtocolError(f"{kind.name} is not a question")
        return {bank: (Kind.DONE, b"") for bank in self.plan.roster}

    def _forward(self, bodies: Mapping[str, bytes]) -> dict[str, bytes]:
        inboxes: dict[str, dict[str, bytes]] = {bank: {} for bank in self.plan.roster}
        for sender in self.plan.roster:
            others = [bank for bank in self.plan.roster if bank != sender]
            for recipient, payload in decode_parts(bodies[sender]).items():
                if recipient not in (*others, EVERYONE):
                    raise RemoteProtocolError(f"bank {sender} sends to a bank that is not in the roster")
                for bank in others if recipient == EVERYONE else [recipient]:
                    inboxes[bank][sender] = payload
        return {bank: encode_parts(inbox) for bank, inbox in inboxes.items()}

    def _keep_canaries(self, uploads: Mapping[str, bytes]) -> None:
        for bank, upload in uploads.items():
            try:
                scheme, key_bits = self.plan.protection, self.plan.key_bits
                canary.check_upload(scheme, key_bits, CANARY_LENGTH, upload, modulus=self._modulus)
            except RiskfedError as error:
                raise ProtectionError(f"bank {bank} does not protect its uploads: {error}") from None
        if len(set(uploads.values())) != len(uploads):
            raise ProtectionError("two banks sent the same upload: their protection has no randomness")
        self._canary_uploads = dict(uploads)

    def _check_canaries(self, disclosed: Mapping[str, bytes]) -> None:
        for bank, plain in disclosed.items():
            if len(plain) != 8 * CANARY_LENGTH:
                raise RemoteProtocolError(f"bank {bank} disclosed {len(plain)} bytes, expected {8 * CANARY_LENGTH}")
            if canary.plaintext_on_wire(np.frombuffer(plain, dtype="<i8"), self._canary_uploads[bank]):
                raise ProtectionError(f"bank {bank} does not protect its uploads: its canary can be read in them")
        self._canary_uploads.clear()
        bits = self.plan.key_bits if self.plan.protection == "paillier" else None
        self._listener(events.ProtectionProven(self.plan.protection, bits))

    def _same(self, bodies: Mapping[str, bytes], what: str) -> bytes:
        """What all banks say alike."""
        said = [bodies[bank] for bank in self.plan.roster]
        common = max(said, key=said.count)
        if odd := [bank for bank in self.plan.roster if bodies[bank] != common]:
            raise RemoteProtocolError(f"banks disagree on the {what}: {', '.join(odd)} differ from the others")
        return common

    def _result(self, bodies: Mapping[str, bytes]) -> bytes:
        """What all banks release alike, or what one releases and the others agree to."""
        if (releaser := self.plan.job.releaser) is None:
            return self._same(bodies, "result")
        sha256 = hashlib.sha256(bodies[releaser]).digest()
        if odd := [bank for bank in self.plan.roster if bank != releaser and bodies[bank] != sha256]:
            raise RemoteProtocolError(f"{', '.join(odd)} agreed to another result than {releaser} releases")
        return bodies[releaser]

    def _account(self, batches: Mapping[str, bytes], answers: Mapping[str, bytes]) -> None:
        now = time.monotonic()
        received = {bank: len(batch) for bank, batch in batches.items()}
        sent = {bank: len(answer) for bank, answer in answers.items()}
        self._listener(events.RoundFinished(self._round, now - self._last, received, sent))
        self._last = now
        if self._tap is not None:
            for bank in self.plan.roster:
                self._tap(self._round, bank, "received", batches[bank])
                self._tap(self._round, bank, "sent", answers[bank])
