"""One bank's side of a run, sans I/O: batches in, batches out. Order is enforced here, where the records are."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from riskfed.errors import LocalProtocolError, RemoteProtocolError, RunFailedError
from riskfed.protocols.agreement import RunningHash, compare_sums
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.opening import (
    Ask,
    Conversation,
    Seat,
    Tell,
    exchange_sealed,
    open_protection,
    sum_over_banks,
)
from riskfed.protocols.program import (
    Checkpoint,
    Exchange,
    Keep,
    OwnMetrics,
    Program,
    Progress,
    Release,
    Request,
    SharedSecret,
    Sum,
    Witness,
)
from riskfed.secure.keys import SessionKeys
from riskfed.secure.protection import Protection

_ANSWERS = {
    Kind.EXCHANGE: Kind.EXCHANGE,
    Kind.PUBLIC: Kind.DONE,
    Kind.COMBINE: Kind.COMBINE,
    Kind.DISCLOSE: Kind.DONE,
    Kind.RELEASE: Kind.DONE,
}
"""What may come back for what was asked: anything else is refused, so there is no oracle to ask."""


class Party:
    """Runs one party program behind the opening.

    Args:
        seat: the bank's place in the run.
        program: makes the generator; called only after protection has been proven.
        shows_own_metrics: whether the bank's policy lets `OwnMetrics` out; they are dropped otherwise.
        keep: gets the entries of the run's journal, to be kept inside the bank; they are dropped by default.
        keep_beyond: gets what is to be kept beyond the run, with its name; dropped by default.

    Attributes:
        finished: the result is out and acknowledged.
        outcome: what the program returned; stays in the bank.
    """

    def __init__(
        self,
        seat: Seat,
        program: Callable[[], Program[Any]],
        *,
        shows_own_metrics: bool = False,
        keep: Callable[[bytes], None] = lambda _: None,
        keep_beyond: Callable[[str, bytes], None] = lambda _name, _content: None,
    ) -> None:
        self.seat = seat
        self.finished = False
        self.outcome: Any = None
        self._make_program = program
        self._shows_own_metrics = shows_own_metrics
        self._keep = keep
        self._keep_beyond = keep_beyond
        self._sums = RunningHash()
        self._conversation: Generator[Ask | Tell, Any, Any] | None = None
        self._asked: Ask | None = None

    def begin(self) -> bytes:
        """The first batch.

        Raises:
            LocalProtocolError: called twice.
        """
        if self._conversation is not None:
            raise LocalProtocolError("the party has begun already")
        self._conversation = self._converse()
        return self._advance(None)

    def receive(self, batch: bytes) -> bytes:
        """Take the switchboard's answer; the next batch, empty once the party has finished.

        Raises:
            RemoteProtocolError: the answer is not to what was asked.
            RunFailedError: another party ended the run.
        """
        if self._asked is None:
            raise LocalProtocolError("no question is open")
        frames = decode_batch(batch)
        if len(frames) != 1:
            raise RemoteProtocolError(f"got {len(frames)} frames, expected the one answer")
        answer = frames[0]
        if answer.kind is Kind.FAILED:
            raise RunFailedError(answer.body.decode(errors="replace"))
        expected = _ANSWERS[self._asked.kind]
        if answer.kind is not expected or answer.step != self.seat.step:
            raise RemoteProtocolError(
                f"got {answer.kind.name} for step {answer.step}, expected {expected.name} for step {self.seat.step}; "
                "the server's operator must act"
            )
        return self._advance(answer.body)

    def _advance(self, answer: bytes | None) -> bytes:
        assert self._conversation is not None
        frames: list[Frame] = []
        self._asked = None
        try:
            while True:
                said = self._conversation.send(answer)
                answer = None
                frames.append(Frame(said.kind, self.seat.step, said.body))
                if isinstance(said, Ask):
                    self._asked = said
                    return encode_batch(frames)
        except StopIteration:
            self.finished = True
            return b""

    def _converse(self) -> Conversation:
        keys, protection = yield from open_protection(self.seat)
        program, answer = self._make_program(), None
        while True:
            try:
                request = program.send(answer)
            except StopIteration as stop:
                self.outcome = stop.value
                return
            match request:
                case Sum() if protection is not None:
                    answer = yield from self._sum(request, protection)
                case Exchange(payloads=payloads, label=label):
                    answer = yield from exchange_sealed(self.seat, keys, payloads, label)
                case SharedSecret(purpose=purpose):
                    answer = keys.derive(f"shared secret: {purpose}", 0)
                case Release() | Witness():
                    answer = None
                    yield from self._release(request, keys, protection)
                case _:
                    answer = None
                    yield from self._note(request)

    def _sum(self, request: Sum, protection: Protection) -> Conversation:
        step = self.seat.step
        pooled = yield from sum_over_banks(self.seat, protection, request.values, request.bound)
        self._sums.add(step, pooled)
        return pooled

    def _release(self, request: Release | Witness, keys: SessionKeys, protection: Protection | None) -> Conversation:
        if protection is not None:
            yield from compare_sums(self.seat, keys, self._sums.digest())
        body = request.result if isinstance(request, Release) else bytes.fromhex(request.sha256)
        yield from self.seat.ask(Kind.RELEASE, body)

    def _note(self, request: Request) -> Conversation:
        """What waits for no answer."""
        match request:
            case Progress(step=step, metrics=metrics):
                yield Tell(Kind.PROGRESS, _figures({"step": step, "metrics": dict(metrics)}))
            case OwnMetrics(metrics=metrics):
                if self._shows_own_metrics:
                    yield Tell(Kind.OWN_METRICS, _figures(dict(metrics)))
            case Checkpoint(entry=entry):
                self._keep(entry)
            case Keep(name=name, content=content):
                self._keep_beyond(name, content)
            case _:
                raise LocalProtocolError(f"a {self.seat.plan.protection} run has no {type(request).__name__}")


def _figures(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
