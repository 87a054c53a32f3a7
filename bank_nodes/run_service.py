"""Runs as the vault serves them: what is checked before one opens, what may leave, and what ends it.

    courier            vault
    PLAN         ->    check the plan, the consortium, the schema, the records and the bank's policy; only then open the run
                 <-    the party's first batch, or FAILED with the reason
    answer       ->    the party takes it
                 <-    its next batch; empty once it has finished and the model is stored
    FAILED       ->    drop the run
                 <-    empty

The courier is not trusted: it can end a run, and that is all it can do. Whatever leaves is logged first. An error of ours is told to
the other side; the text of any other exception stays here, since it might hold a record's value.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from bank_nodes.admission import Admission, asked_in
from bank_nodes.checkpoints import Checkpoints
from bank_nodes.holdings import Holdings
from bank_nodes.kept import Kept
from bank_nodes.log import VaultLog
from bank_nodes.models import known_model
from bank_nodes.plan_checks import check_roster, check_schema, read_plan
from bank_nodes.policy import Policy
from bank_nodes.results import store_outcome
from riskfed.errors import ConfigurationError, ContractError, RemoteProtocolError, RiskfedError
from riskfed.plan import SEALED, Plan
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.programs import program_for
from riskfed.secure.keys import Identity

_LONGEST_REASON: Final = 1000
_PATIENCE: Final = 2.0
"""Seconds that a stopping vault waits for a party that is computing."""

diary = structlog.get_logger("vault")


@dataclass(slots=True)
class _OpenRun:
    label: str
    party: Party
    carriers: set[Hashable]
    """Connections that are open and have carried a batch of this run."""


class RunService:
    """Serves runs, one at a time.

    Args:
        bank: this bank's name.
        keys: its signing key, and the public keys of the whole consortium by bank.
        holdings: schema and records; or, where they are unfit, the reason, with which every run is refused. Kept as an attribute.
        policy: what the records may be used for.
        log: gets everything that leaves.
        models: folder for finished models.
        checkpoints: journals of unfinished runs.
        kept: what programs keep beyond their run.
        threads: how many work on the records.
    """

    def __init__(
        self,
        bank: str,
        keys: tuple[Identity, Mapping[str, str]],
        holdings: Holdings | RiskfedError,
        *,
        policy: Policy,
        log: VaultLog,
        models: Path,
        checkpoints: Checkpoints,
        kept: Kept,
        threads: int = 1,
    ) -> None:
        self.bank = bank
        self._identity, self._pinned = keys
        self.holdings = holdings
        self._policy = policy
        self._admission = Admission(bank, policy, log)
        self._log = log
        self._models = models
        self._checkpoints = checkpoints
        self._kept = kept
        self._threads = threads
        self._opened_here: set[str] = set()
        self._run: _OpenRun | None = None
        self._lock = threading.Lock()

    def handle(self, label: str, batch: bytes, carrier: Hashable = None) -> bytes:
        """Serve one request.

        Args:
            label: "run/attempt".
            batch: frames from the switchboard.
            carrier: the connection that the request came by.

        Returns:
            The batch to send back. Never raises for anything that the other side did.
        """
        with self._lock:
            try:
                return self._serve(label, batch, carrier)
            except RiskfedError as error:
                return self._give_up(label, self._told(error), getattr(error, "rule", ""))
            except OSError as error:
                diary.error("the vault cannot write", run=label, reason=str(error))
                return self._give_up(
                    label,
                    f"bank {self.bank} cannot write its log or checkpoints ({error.strerror}); the bank must mend its disk, "
                    "then the operator can resume the run",
                )
            except Exception:
                # Its text may hold anything, a record's value too: it stays in the bank.
                diary.exception("internal error", run=label)
                return self._give_up(label, f"internal error in the vault of {self.bank}; see its log")

    def disconnect(self, carrier: Hashable) -> None:
        """A connection has closed; its run stays open, since another connection may carry it on."""
        with self._lock:
            if self._run is not None:
                self._run.carriers.discard(carrier)

    def stop(self, reason: str) -> None:
        """Drop the run that is open, if any; the vault is about to end."""
        # A party may be computing for long; the process will not wait for it.
        got = self._lock.acquire(timeout=_PATIENCE)
        with contextlib.suppress(OSError):  # a full disk must not keep the vault from stopping
            self._drop(reason)
        if got:
            self._lock.release()

    def _serve(self, label: str, batch: bytes, carrier: Hashable) -> bytes:
        frames = decode_batch(batch)
        if frames[0].kind is Kind.PLAN:
            return self._open(label, frames, carrier)
        if frames[0].kind is Kind.FAILED:
            if self._is_open(label):
                self._drop(f"the server ended the run: {frames[0].body.decode(errors='replace')}")
            return b""
        if self._run is None or not self._is_open(label):
            return self._not_open(label)
        self._run.carriers.add(carrier)
        answer = self._run.party.receive(batch)
        if self._run.party.finished:
            self._finish(self._run)
            return b""
        return self._let_out(label, answer)

    def _open(self, label: str, frames: Sequence[Frame], carrier: Hashable) -> bytes:
        plan = self._accepted_plan(label, frames)
        seat = Seat(self.bank, self._identity, {bank: self._pinned[bank] for bank in plan.roster}, plan)
        holdings = self._fit_holdings(plan)
        approval = self._admission.check(
            label, plan, holdings.records, "" if holdings.own is None else holdings.own.target
        )
        self._make_room(plan)
        party = self._seated(seat, holdings)
        # On the disk before anything leaves: this run and attempt is never served again, not even after a crash.
        self._admission.use(label, approval)
        self._log.record("opened", durable=True, run=label, **asked_in(plan))
        diary.info("run opened", run=label, job=plan.job.kind, banks=len(plan.roster))
        self._run = _OpenRun(label, party, {carrier})
        self._opened_here.add(label)
        return self._let_out(label, party.begin())

    def _seated(self, seat: Seat, holdings: Holdings) -> Party:
        """The party of a run that was accepted, with what earlier attempts and runs have kept for it."""
        plan = seat.plan
        program = program_for(
            plan.job,
            holdings.records,
            holdings.schema,
            bank=self.bank,
            roster=plan.roster,
            key_bits=plan.key_bits,
            known=known_model(self._models, plan, self.bank),
            journal=self._checkpoints.take_up(plan),
            kept=partial(self._kept.read, plan.roster),
            threads=self._threads,
            vertical_rules=self._policy.vertical_rules(self._log.history),
        )
        return Party(
            seat,
            program,
            shows_own_metrics=self._policy.show_own_metrics,
            keep=partial(self._checkpoints.append, plan),
            keep_beyond=partial(self._keep_beyond, plan),
        )

    def _keep_beyond(self, plan: Plan, name: str, content: bytes) -> None:
        """Logged first: what is counted from the log must not be undone by a crash."""
        self._log.record("kept", durable=True, run=f"{plan.run}/{plan.attempt}", name=name, bytes=len(content))
        self._kept.write(plan.roster, name, content)

    def _accepted_plan(self, label: str, frames: Sequence[Frame]) -> Plan:
        plan = read_plan(label, frames)
        if self._log.was_opened(label) or self._log.was_finished(plan.run):
            raise RemoteProtocolError(
                f"bank {self.bank} has served run {label} already; the operator must start a new run"
            )
        check_roster(plan, self.bank, self._pinned)
        return plan

    def _fit_holdings(self, plan: Plan) -> Holdings:
        if isinstance(self.holdings, ContractError):
            raise ContractError(f"bank {self.bank} cannot take part: {self.holdings}")
        if isinstance(self.holdings, RiskfedError):
            # What else is wrong speaks of the bank's own files, which are nobody else's affair.
            raise RiskfedError(
                f"bank {self.bank} cannot take part: it could not load its records; the bank must run riskfed node check"
            )
        check_schema(plan, self.bank, self.holdings.schema)
        return self.holdings

    def _make_room(self, plan: Plan) -> None:
        """Drop an open run that no courier carries any more, or of which this is a later attempt; refuse otherwise."""
        if self._run is None:
            return
        if self._run.carriers and self._run.party.seat.plan.run != plan.run:
            raise RemoteProtocolError(
                f"bank {self.bank} is busy with run {self._run.label}; the operator must wait for its end or stop it"
            )
        self._drop(f"run {plan.run}/{plan.attempt} takes its place")

    def _finish(self, run: _OpenRun) -> None:
        plan = run.party.seat.plan
        facts = store_outcome(self._models, plan, self.bank, run.party.outcome)
        self._log.record("finished", durable=True, run=run.label, **facts)
        self._checkpoints.forget(plan)
        self._run = None

    def _not_open(self, label: str) -> bytes:
        """A run that an earlier process of this vault has opened was lost with it: another attempt may go on."""
        finished = self._log.was_finished(label.rpartition("/")[0])
        if finished or label in self._opened_here or not self._log.was_opened(label):
            raise RemoteProtocolError(f"run {label} is not open at bank {self.bank}; the operator must start a new run")
        reason = f"the vault of {self.bank} was restarted"
        return self._let_out(label, encode_batch([Frame(Kind.LOST, 0, reason.encode())]))

    def _told(self, error: RiskfedError) -> str:
        """What the other side is told: what is wrong with the bank's own files and folders is nobody else's affair."""
        if type(error) is not ConfigurationError:
            return str(error)
        diary.error("the vault cannot go on", reason=str(error))
        return f"bank {self.bank} cannot go on for a reason of its own; the bank must see its vault's log, then the run can be resumed"

    def _give_up(self, label: str, reason: str, rule: str = "") -> bytes:
        """Answer FAILED. Whatever goes wrong under the open run's label ends that run; other labels cannot touch it."""
        step = self._run.party.seat.step if self._run is not None and self._is_open(label) else 0
        answer = encode_batch([Frame(Kind.FAILED, step, reason.encode())])
        try:
            if self._is_open(label):
                self._drop(reason, rule)
            else:
                self._log.record("refused", durable=True, run=label, reason=reason[:_LONGEST_REASON], rule=rule)
                diary.warning("run refused", run=label, reason=reason)
            return self._let_out(label, answer)
        except OSError:
            # On a full disk the log takes nothing. The reason holds nothing of a record, and without it all others would only wait.
            diary.error("the log cannot be written", run=label, reason=reason)
            return answer

    def _drop(self, reason: str, rule: str = "") -> None:
        if self._run is not None:
            label, self._run = self._run.label, None
            self._log.record("dropped", durable=True, run=label, reason=reason[:_LONGEST_REASON], rule=rule)
            diary.warning("run dropped", run=label, reason=reason)

    def _let_out(self, label: str, batch: bytes) -> bytes:
        frames = decode_batch(batch)
        if any(frame.kind is self._kind_of_rounds for frame in frames):
            self._admission.check_round()
        for frame in frames:
            digest = hashlib.sha256(frame.body).hexdigest()
            self._log.record(
                "left", run=label, step=frame.step, frame=frame.kind.name, bytes=len(frame.body), sha256=digest
            )
        return batch

    @property
    def _kind_of_rounds(self) -> Kind:
        """What counts as a round of the run that is open: a sum, or where nothing is summed an exchange of envelopes."""
        sealed = self._run is not None and self._run.party.seat.plan.protection == SEALED
        return Kind.EXCHANGE if sealed else Kind.COMBINE

    def _is_open(self, label: str) -> bool:
        return self._run is not None and self._run.label == label
