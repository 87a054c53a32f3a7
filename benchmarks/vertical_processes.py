"""A vertical run with each party in a process of its own, so that CPU time, memory and bytes are a party's own.

The hub is the process that calls `run`; sealed batches cross by pipes. Each party does what a vault does with a plan that it has admitted:
`Party` around the installed program. Rules of a policy, log and storage are left out.
"""

from __future__ import annotations

import multiprocessing
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import pandas as pd
import psutil

from riskfed.jobs import VerticalXgboost
from riskfed.plan import SEALED, Plan
from riskfed.protocols import events
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Program
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Schema
from riskfed.secure.keys import Identity

HUB = "hub"


@dataclass(frozen=True, slots=True)
class Setup:
    """What is run.

    Attributes:
        schema: the joint one.
        frames: party -> its records.
        job: what is trained.
        kept: an alignment that the parties keep from before (`riskfed.protocols.alignment.Alignment.to_bytes`); None to make one.
        threads: of each party.
    """

    schema: Schema
    frames: Mapping[str, pd.DataFrame] = field(repr=False)
    job: VerticalXgboost
    kept: bytes | None = field(default=None, repr=False)
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What had been spent at a moment of the run.

    Attributes:
        cpu: party, and the hub -> CPU seconds, user and system.
        sent: bytes that parties had sent; the hub sends each of them on once.
        wall: seconds on the clock.
    """

    cpu: Mapping[str, float]
    sent: int
    wall: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run took.

    Attributes:
        opened: when protection was proven.
        after_tree: when the hub heard of each tree. The label holder speaks only with its next question, so by then it has encrypted the
            next tree's gradients; after the last tree it has not.
        rss_gib: party -> most memory that its process held at a time.
        outcomes: party -> what its program returned.
    """

    opened: Mark
    after_tree: Sequence[Mark]
    rss_gib: Mapping[str, float]
    outcomes: Mapping[str, Any] = field(repr=False)

    def per_tree(self) -> Mark:
        """The mean of the second tree to the last but one: all trees that begin and end at the same point of the protocol."""
        first, last, trees = self.after_tree[0], self.after_tree[-2], len(self.after_tree) - 2
        cpu = {name: (last.cpu[name] - first.cpu[name]) / trees for name in first.cpu}
        return Mark(cpu, (last.sent - first.sent) // trees, (last.wall - first.wall) / trees)

    def before_trees(self) -> Mark:
        """About what comes before the first tree: processes, opening, alignment, cuts, key and tables."""
        first, tree = self.after_tree[0], self.per_tree()
        cpu = {name: first.cpu[name] - tree.cpu[name] for name in first.cpu}
        return Mark(cpu, max(0, first.sent - tree.sent), first.wall - tree.wall)


def run(setup: Setup, *, key_bits: int = 2048) -> Measured:
    """Start a process for each party, serve them to the end, and stop them.

    Raises:
        RuntimeError: a party ended early; it has said why on stderr.
    """
    context = multiprocessing.get_context("spawn")  # a forked one would count this process's memory as its own
    pipes: dict[str, Connection] = {}
    processes: dict[str, SpawnProcess] = {}
    try:
        for name in sorted(setup.frames):
            pipes[name], far = context.Pipe()
            own = replace(setup, frames={name: setup.frames[name]})
            processes[name] = context.Process(target=_party, args=(far, name, own), daemon=True)
            processes[name].start()
            far.close()
        return _serve(setup, pipes, processes, key_bits)
    finally:
        for process in processes.values():
            process.join(5)
            process.terminate()
            process.join()


def _serve(
    setup: Setup, pipes: Mapping[str, Connection], processes: Mapping[str, SpawnProcess], key_bits: int
) -> Measured:
    plan = Plan(
        run=f"benchmark-{secrets.token_hex(8)}",
        roster=tuple(sorted(pipes)),
        job=setup.job,
        schema_fingerprint=setup.schema.fingerprint,
        protection=SEALED,
        key_bits=key_bits,
    )
    pinned = {name: _heard(name, pipe.recv) for name, pipe in pipes.items()}
    for pipe in pipes.values():
        pipe.send((plan, pinned))
    meter = _Meter({name: psutil.Process(process.pid) for name, process in processes.items()})
    switchboard = Switchboard(plan, transport="local", listener=meter)
    while not switchboard.finished:
        batches = {name: _heard(name, pipe.recv_bytes) for name, pipe in pipes.items()}
        for name, answer in switchboard.round(batches).items():
            pipes[name].send_bytes(answer)
    ended = {name: _heard(name, pipe.recv) for name, pipe in pipes.items()}
    assert meter.opened is not None
    rss = {name: peak for name, (_, peak) in ended.items()}
    return Measured(meter.opened, meter.after_tree, rss, {name: outcome for name, (outcome, _) in ended.items()})


def _heard(name: str, receive: Callable[[], Any]) -> Any:
    try:
        return receive()
    except EOFError:
        raise RuntimeError(f"party {name} ended before the run did") from None


class _Meter:
    """Listens to a run. When the switchboard speaks, all parties wait for its answer: what they have spent stands still."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self.opened: Mark | None = None
        self.after_tree: list[Mark] = []
        self._processes = processes
        self._sent = 0
        self._started = time.perf_counter()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.RoundFinished(received=received):
                self._sent += sum(received.values())
            case events.ProtectionProven():
                self.opened = self._mark()
            case events.ProgressMade(step=step) if step == len(self.after_tree) + 1:
                self.after_tree.append(self._mark())

    def _mark(self) -> Mark:
        cpu = {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}
        return Mark(cpu | {HUB: time.process_time()}, self._sent, time.perf_counter() - self._started)


def _party(pipe: Connection, name: str, setup: Setup) -> None:
    """A party's process; it is given its own records alone."""
    identity = Identity.generate()
    pipe.send(identity.public)
    plan, pinned = pipe.recv()
    party = Party(Seat(name, identity, pinned, plan), _program(plan, name, setup))
    del setup  # a vault keeps records as they are encoded, not as they came
    batch = party.begin()
    while batch:
        pipe.send_bytes(batch)
        del batch
        batch = party.receive(pipe.recv_bytes())
    pipe.send((party.outcome, _peak_gib()))


def _program(plan: Plan, name: str, setup: Setup) -> Callable[[], Program[Any]]:
    records, kept = Records.from_frame(setup.frames[name], setup.schema.part_of(name)), setup.kept
    place: dict[str, Any] = {"bank": name, "roster": plan.roster, "key_bits": plan.key_bits, "threads": setup.threads}
    return program_for(plan.job, records, setup.schema, kept=lambda _: kept, **place)


def _peak_gib() -> float:
    """Most memory that this process has held at a time."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**20
