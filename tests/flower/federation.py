"""A small federation whose parts are real: vault sockets, the courier's ClientApp, and a Grid that calls it in this process."""

from __future__ import annotations

import itertools
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from riskfed.errors import RiskfedError
from riskfed.flower.run_file import Limits, RunFile
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.horizontal_xgboost import train
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.protocols.socket_frames import receive_message, send_message
from riskfed.schema import Schema
from riskfed.secure.keys import Identity
from riskfed.simulation import simulate

NODES = {"ash": 2**63 + 11, "birch": 12, "cedar": 13}
JOB = HorizontalXgboost(n_estimators=2, max_depth=2, max_bin=8)
QUICK = Limits(connect_timeout=20, round_timeout=20, farewell_timeout=5)


@cache
def records() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(5)
    frames = {}
    for bank in NODES:
        x = rng.normal(size=(150, 3))
        default = (rng.random(150) < 1 / (1 + np.exp(1 - x[:, 0]))).astype(int)
        frames[bank] = pd.DataFrame({"income": x[:, 0], "age": x[:, 1], "debt": x[:, 2], "default": default})
    return frames


@cache
def schema() -> Schema:
    return Schema.from_frame(records()["ash"], target="default")


@cache
def local_booster() -> bytes:
    """The model that the same banks train in one process."""
    return simulate(records(), schema(), JOB).release.model


def horizontal(vault: PartyVault, plan: Plan, journal: list[bytes] | None) -> Callable[[], Program[Any]]:
    """A bank's side of `JOB`."""
    own = Records.from_frame(records()[vault.bank], schema())
    return partial(train, own, schema(), plan.job, journal=journal)


class PartyVault:
    """One bank's party behind a UNIX socket, as the courier meets it; without a vault's policy and log.

    `refuse` is a reason to refuse the plan with, `delay` seconds before each answer, `fault` replaces an answer's bytes, and after
    as many requests as each of `crashes` says it breaks off and forgets what it was doing, as a killed vault does. `make` makes its
    program, for a plan and what is left of an earlier attempt.
    """

    make: Callable[[PartyVault, Plan, list[bytes] | None], Callable[[], Program[Any]]] = staticmethod(horizontal)

    def __init__(self, bank: str, identity: Identity, pinned: dict[str, str], path: Path) -> None:
        self.bank, self.path = bank, path
        self.kept: dict[str, bytes] = {}
        self.refuse: str | None = None
        self.delay = 0.0
        self.fault: Callable[[bytes], bytes] = lambda answer: answer
        self.heard: list[tuple[str, list[Frame]]] = []
        self.crashes: list[int] = []
        self.journal: list[bytes] = []
        self.party: Party | None = None
        self._identity, self._pinned = identity, pinned
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)

    @property
    def reasons(self) -> list[str]:
        """What the server's side told this vault when it ended a run."""
        return [f.body.decode() for _, frames in self.heard for f in frames if f.kind is Kind.FAILED]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while (message := receive_message(connection)) is not None:
                run, batch = message
                frames = decode_batch(batch)
                self.heard.append((run, frames))
                if self.crashes and len(self.heard) >= self.crashes[0]:
                    self.crashes.pop(0)
                    self.party = None
                    return
                time.sleep(self.delay)
                try:
                    send_message(connection, run, self.fault(self._answer(frames, batch)))
                except OSError:
                    return

    def _answer(self, frames: list[Frame], batch: bytes) -> bytes:
        try:
            if frames[0].kind is Kind.FAILED:
                return b""
            if frames[0].kind is not Kind.PLAN:
                if self.party is None:
                    return encode_batch([Frame(Kind.LOST, 0, b"the vault was restarted")])
                return self.party.receive(batch)
            if self.refuse is not None:
                return encode_batch([Frame(Kind.FAILED, 0, self.refuse.encode())])
            plan = Plan.from_json(frames[0].body)
            program = self.make(self, plan, list(self.journal) if plan.attempt > 1 else None)
            seat = Seat(self.bank, self._identity, self._pinned, plan)
            self.party = Party(seat, program, keep=self.journal.append, keep_beyond=self.kept.__setitem__)
            return self.party.begin()
        except RiskfedError as error:
            return encode_batch([Frame(Kind.FAILED, 0, str(error).encode())])


@contextmanager
def vaults(banks: Iterable[str] = NODES, kind: type[PartyVault] = PartyVault) -> Iterator[dict[str, PartyVault]]:
    # A UNIX socket's path may have about a hundred bytes, fewer than some temporary folders of tests.
    folder = Path(tempfile.mkdtemp(prefix="rf"))
    identities = {bank: Identity.generate() for bank in banks}
    pinned = {bank: identity.public for bank, identity in identities.items()}
    opened = {bank: kind(bank, identities[bank], pinned, folder / f"{bank}.sock") for bank in identities}
    try:
        yield opened
    finally:
        for vault in opened.values():
            vault.close()
        shutil.rmtree(folder)


def context_for(vault: PartyVault, node_config: dict[str, Any] | None = None, node: int | None = None) -> Context:
    return Context(
        1,
        NODES[vault.bank] if node is None else node,
        {"vault": str(vault.path)} | (node_config or {}),
        RecordDict(),
        {},
    )


class InProcessGrid(Grid):
    """Calls a ClientApp for every message, as a SuperNode does: nodes in parallel, each message with a fresh context.

    `gone` nodes give Flower's own error reply, `silent` ones none.
    """

    def __init__(self, app: ClientApp, contexts: dict[int, Context]) -> None:
        # Flower sets these in every process that runs an app, and its messages cannot be made without them.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        self.app, self.contexts = app, contexts
        self.gone: set[int] = set()
        self.silent: set[int] = set()
        self.online = set(contexts)
        self.pushed: list[Message] = []
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(16)
        self._replies: dict[str, Future[Message]] = {}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        keys = []
        for message in messages:
            key = f"message-{next(self._numbers)}"
            message.metadata.__dict__["_message_id"] = key
            self.pushed.append(message)
            if message.metadata.dst_node_id not in self.silent:
                self._replies[key] = self._pool.submit(self._call, message)
            keys.append(key)
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        ready = [key for key in message_ids if key in self._replies and self._replies[key].done()]
        return [self._replies.pop(key).result() for key in ready]

    def _call(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        if node in self.gone:
            reply = Message(Error(5, "the node is unavailable"), reply_to=message)
            reply.metadata.__dict__["_src_node_id"] = 1  # as Flower's own error replies have it
            return reply
        return self.app(message, self.contexts[node])

    def get_node_ids(self) -> list[int]:
        return sorted(self.online)

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        pending = self.push_messages(messages)
        deadline = time.monotonic() + (timeout or 60)
        replies: list[Message] = []
        while len(replies) < len(pending) and time.monotonic() < deadline:
            replies += self.pull_messages(pending)
            time.sleep(0.01)
        return replies


def write_run_file(folder: Path, **changes: Any) -> RunFile:
    """A run file for the small federation, written and read back."""
    (folder / "schema.json").write_text(schema().model_dump_json())
    fields = {
        "job": JOB.model_dump(),
        "roster": dict(NODES),
        "schema_file": "schema.json",
        "progress_file": "progress.jsonl",
        "limits": QUICK.model_dump(),
        "on_loss": "fail",
        **changes,
    }
    RunFile(**fields).save(folder / "run.json")
    return RunFile.load(folder / "run.json")
