"""What is done to a running federation, and how it is mended. One function for each fault: it hurts, and returns how to mend it."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from riskfed.flower.run_file import Limits
from tests.faults.bench import Bench, kill

Mend = Callable[[], None]
Hurt = Callable[[Bench, str], Mend]
AWAY = 60.0
"""Seconds that a stopped or cut-off bank is away."""


def _nothing() -> None:
    """There is nothing to mend: the parts do it by themselves."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One case.

    Attributes:
        name: of the case.
        what: in words, for the table.
        hurt: does it, to the bank that it is given.
        heals: whether the run is expected to get on without anybody.
        limit: seconds within which the run must get on, or its operator be told.
        limits: the run's own waits, where others than usual.
        needs_disk: whether the first bank's vault gets a small disk of its own.
    """

    name: str
    what: str
    hurt: Hurt
    heals: bool = True
    limit: float = 150.0
    limits: Limits | None = field(default=None, repr=False)
    needs_disk: bool = False


def _vault(bench: Bench, bank: str) -> Mend:
    kill(bench.find("vault", bank))
    return _nothing


def _courier(bench: Bench, bank: str) -> Mend:
    kill(bench.find("courier", bank))
    return _nothing


def _supernode(bench: Bench, bank: str) -> Mend:
    kill(bench.find("supernode", bank))
    return _nothing


def _node(bench: Bench, bank: str) -> Mend:
    kill(bench.find("node", bank)[:1])
    time.sleep(2)  # as a service manager waits before it starts a service again
    bench.start_node(bank)
    return _nothing


def _server_app(bench: Bench, bank: str) -> Mend:
    del bank
    kill(bench.find("ServerApp"))
    return _nothing


def _superlink(bench: Bench, bank: str) -> Mend:
    del bank
    kill(bench.find("SuperLink"))
    time.sleep(2)
    bench.stack.restart_superlink()
    return _nothing


def _stopped(bench: Bench, bank: str) -> Mend:
    family = [process for part in ("node", "vault", "supernode", "courier") for process in bench.find(part, bank)]
    for process in family:
        process.send_signal(signal.SIGSTOP)

    def go_on() -> None:
        for process in family:
            process.send_signal(signal.SIGCONT)

    threading.Timer(AWAY, go_on).start()
    return _nothing


def _cut(bench: Bench, bank: str) -> Mend:
    del bank
    bench.proxy.cut()
    threading.Timer(AWAY / 4, bench.proxy.mend).start()
    return _nothing


def _silence(bench: Bench, bank: str) -> Mend:
    del bank
    bench.proxy.silence()
    threading.Timer(2 * AWAY, bench.proxy.mend).start()
    return _nothing


def _full_disk(bench: Bench, bank: str) -> Mend:
    del bank
    assert bench.small_disk is not None
    filler = bench.small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2
    return filler.unlink


def _gone(bench: Bench, bank: str) -> Mend:
    bench.stack.stop_node(bank)

    def back() -> None:
        bench.start_node(bank)
        bench.stack.wait_for_nodes()

    return back


SHORT = Limits(connect_timeout=20, round_timeout=120, farewell_timeout=5, loss_timeout=10)
FAULTS = (
    Fault("vault", "kill -9 of a bank's vault", _vault),
    Fault("courier", "kill -9 of a bank's courier (flwr-clientapp)", _courier),
    Fault("supernode", "kill -9 of a bank's SuperNode", _supernode, limit=200),
    Fault("node", "kill -9 of a bank's whole node; its service manager starts it again", _node, limit=200),
    Fault("ServerApp", "kill -9 of the ServerApp", _server_app, heals=False),
    Fault("SuperLink", "kill -9 of the SuperLink; it is started again", _superlink),
    Fault("SIGSTOP", "a bank's processes stand still for a minute", _stopped),
    Fault("connection cut", "all sessions break, and are refused for 15 s", _cut),
    Fault(
        "connection silent", "nothing passes on the sessions for two minutes, and nobody is told", _silence, limit=300
    ),
    Fault("disk full", "a vault's disk is full", _full_disk, heals=False, needs_disk=True),
    Fault(
        "bank gone", "a bank's node is stopped for good; it may be waited for 10 s", _gone, heals=False, limits=SHORT
    ),
)


def moment(rng: random.Random, trees: int) -> int:
    """After which tree the fault comes: anywhere in the run's middle."""
    return rng.randint(trees // 6, 2 * trees // 3)
