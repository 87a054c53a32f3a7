"""A whole federation on loopback, whose parts can be found and hurt while a run goes on."""

from __future__ import annotations

import random
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import psutil

from riskfed.datasets import iid_split, load_taiwan, taiwan_schema
from riskfed.demo.consortium import Consortium, lay_out
from riskfed.errors import RiskfedError
from riskfed.flower.outcome import Outcome
from riskfed.flower.progress import Line
from riskfed.flower.run_file import Limits, RunFile, SessionSettings
from riskfed.flower.watch import launch, watch
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.simulation import pooled_cuts, pooled_reference
from riskfed.stack.loopback import LoopbackStack
from riskfed.stack.processes import free_port
from tests.faults.proxy import HOST, Proxy

BANKS = ("north", "south", "west")
PARTS = {
    "vault": "bank_nodes.vault",
    "supernode": "flower-supernode",
    "courier": "flwr-clientapp",
    "node": "riskfed node run",
    "ServerApp": "flwr-serverapp",
    "SuperLink": "flower-superlink",
}
"""What tells the processes apart, by their command lines."""


@dataclass(slots=True)
class Watched:
    """A run that is under way, watched from a thread of its own.

    Attributes:
        outcome: how it ended; None where it ended without a word.
        error: what the one who started it was told instead.
        trees: grown so far.
    """

    outcome: Outcome | None = None
    error: str = ""
    trees: int = 0
    last_tree_at: float = 0.0
    thread: threading.Thread | None = field(default=None, repr=False)

    def take(self, line: Line) -> None:
        """Follow the run's progress."""
        if line["event"] == "ProgressMade":
            self.trees, self.last_tree_at = line["step"], time.monotonic()

    @property
    def ended(self) -> bool:
        """Nobody watches any more."""
        return self.thread is None or not self.thread.is_alive()

    @property
    def clear(self) -> str:
        """Why the run has failed, as its operator reads it; empty if it has not."""
        if self.outcome is None:
            return self.error
        return "" if self.outcome.status == "finished" else self.outcome.reason


class Bench:
    """SuperLink (state in SQLite), three banks with a third of the Taiwan data each, and one run at a time. A context manager.

    Args:
        folder: everything is below it.
        trees: of a run; enough of them for a fault to hit it.
        small_disk: where the first bank's vault keeps log, models and checkpoints; None: beside its records.
    """

    def __init__(self, folder: Path, trees: int, *, small_disk: Path | None = None) -> None:
        self.job = HorizontalXgboost(n_estimators=trees, max_depth=6, max_bin=64, learning_rate=0.1)
        self.stack = LoopbackStack(folder)
        self.nodes: dict[str, int] = {}
        self.proxy: Proxy
        self._sockets = tempfile.TemporaryDirectory(prefix="riskfed-")
        self.small_disk = small_disk
        self._port = free_port()
        self._consortium: Consortium

    def __enter__(self) -> Self:
        self.stack.__enter__()
        self.proxy = Proxy(self._port)
        self._consortium = lay_out(
            self.stack.folder, dict(zip(BANKS, iid_split(load_taiwan(), len(BANKS), seed=1).values(), strict=True))
        )
        self.stack.start_superlink(persistent=True)
        self._consortium.write_node_files(self.stack, Path(self._sockets.name))
        if self.small_disk is not None:
            self._move_vault(BANKS[0], self.small_disk)
        self.nodes = self.stack.register(self._consortium.flower_keys)
        for bank in BANKS:
            self.start_node(bank)
        self.stack.wait_for_nodes()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, traceback)
        self.proxy.__exit__()
        self._sockets.cleanup()

    def start_node(self, bank: str) -> None:
        """Start a bank's node, as a service manager would."""
        self.stack.start_node(bank, self._consortium.node_file(bank))

    @cached_property
    def expected(self) -> bytes:
        """The model that plain xgboost grows on the pooled records."""
        frame = pd.concat(self._consortium.banks.values(), ignore_index=True)
        cuts = pooled_cuts(frame, taiwan_schema(), self.job)
        return bytes(pooled_reference(frame, cuts, self.job).save_raw("json"))

    def begin(self, name: str, *, resume: bool = False, limits: Limits | None = None) -> Watched:
        """Start the run of this name, or go on with it, and watch it from a thread."""
        path = self.stack.folder / "runs" / name / "run.json"
        if not resume:
            path.parent.mkdir(parents=True)
            RunFile(
                job=self.job,
                roster=self.nodes,
                schema_file=self._consortium.schema_file,
                session=SessionSettings(bind="127.0.0.1", port=self._port, address=HOST),
                limits=limits or Limits(connect_timeout=180, round_timeout=120, farewell_timeout=5, loss_timeout=240),
            ).save(path)
        watched, control = Watched(), self.stack.control()

        def follow() -> None:
            try:
                launched = launch(control, path, resume=resume)
                log = path.with_name("flower.log")
                watched.outcome = watch(control, launched, path, progress=watched.take, log=log, timeout=600)
            except RiskfedError as error:
                watched.error = str(error)

        watched.thread = threading.Thread(target=follow, daemon=True)
        watched.thread.start()
        return watched

    def identical(self, name: str) -> bool:
        """Whether the run of this name has released the pooled model, to the last byte."""
        data = (self.stack.folder / "runs" / name / "release.json").read_bytes()
        return ModelRelease.from_bytes(data).model == self.expected

    def find(self, part: str, bank: str | None = None) -> list[psutil.Process]:
        """Processes of one part of the federation; of one bank, where one is named."""
        if bank is not None:
            node = self.stack.node_pid(bank)
            try:
                family = [psutil.Process(node), *psutil.Process(node).children(recursive=True)]
            except psutil.NoSuchProcess:
                return []
        else:
            family = [process for process in psutil.process_iter() if self._is_ours(process)]
        return [process for process in family if PARTS[part] in _command(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("FLWR_HOME", "").startswith(str(self.stack.folder))
        except (psutil.Error, OSError):
            return False

    def _move_vault(self, bank: str, folder: Path) -> None:
        path = self._consortium.node_file(bank)
        places = {"log": "log", "models": "models", "checkpoints": "checkpoints"}
        lines = [line for line in path.read_text().splitlines() if line.partition(" =")[0] not in places]
        at = lines.index("[vault]") + 1
        lines[at:at] = [f'{key} = "{folder / name}"' for key, name in places.items()]
        path.write_text("\n".join(lines) + "\n")


def kill(processes: list[psutil.Process]) -> None:
    """kill -9."""
    assert processes, "there is nothing to kill"
    for process in processes:
        process.kill()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.Error, OSError):
        return ""


def pick(rng: random.Random) -> str:
    """A bank."""
    return rng.choice(BANKS)


def mount_small_disk(folder: Path, megabytes: int) -> None:
    """A tmpfs of so many megabytes; needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)


def unmount(folder: Path) -> None:
    """Undo `mount_small_disk`."""
    subprocess.run(["umount", "-l", str(folder)], check=False)


Case = dict[str, Any]
