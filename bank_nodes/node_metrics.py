"""The supervisor's metrics: which of its processes run; and the process that serves all metrics of the bank's node over HTTP.

The supervisor itself stays single-threaded and listens nowhere. As root, with a vault and a courier of other users, it writes nothing into
the folder of the metrics, which is the vault's: what it opens there by name could be a link to any file. The server then runs as nobody.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import Gauge

from bank_nodes.config import NodeConfig
from bank_nodes.supervised import Supervised
from bank_nodes.users import Account, accounts
from riskfed.metrics_file import MetricsFile

_WRITE_SECONDS: Final = 5.0


class Watched(Protocol):
    """What the metrics want to know of a process; `Supervised` has it."""

    @property
    def running(self) -> bool:
        """Whether it runs now."""

    @property
    def starts(self) -> int:
        """How often it was started."""


class NodeMetrics:
    """Writes which processes run, and how often each was started again.

    Args:
        path: of the text file.
        processes: name -> process.
    """

    def __init__(self, path: Path, processes: Mapping[str, Watched]) -> None:
        self._file = MetricsFile(path)
        self._processes = processes
        self._next = 0.0
        to = self._file.registry
        self._up = Gauge("riskfed_node_process_up", "1 while the process runs.", ["process"], registry=to)
        self._restarts = Gauge("riskfed_node_process_restarts", "Starts after the first.", ["process"], registry=to)
        self._heartbeat = Gauge(
            "riskfed_node_heartbeat_timestamp_seconds",
            "When this was written; too long ago: killed or stuck.",
            registry=to,
        )

    def tick(self) -> None:
        """To be called often; writes every few seconds."""
        if time.monotonic() < self._next or not self._file.path.parent.is_dir():
            return  # the vault makes the folder
        self._next = time.monotonic() + _WRITE_SECONDS
        for name, process in self._processes.items():
            self._up.labels(name).set(process.running)
            self._restarts.labels(name).set(max(process.starts - 1, 0))
        self._heartbeat.set_to_current_time()
        self._file.write()

    def stop(self) -> None:
        """Take the file away."""
        self._file.remove()


@contextmanager
def watched(config: NodeConfig, processes: Mapping[str, Watched]) -> Iterator[Callable[[], None]]:
    """Metrics of a node while it runs, where the node file asks for them; gives what the supervisor calls often.

    Args:
        config: the bank's.
        processes: name -> process.
    """
    file, listen = config.metrics.file, config.metrics.listen
    if file is None:
        yield _nothing
        return
    switches_users = any(account is not None for account in accounts(config))
    files = (file,) if switches_users else (file, node_file(file))
    metrics = None if switches_users else NodeMetrics(node_file(file), processes)
    server = (
        None if listen is None else _Server(listen, files, Account.of("nobody", "metrics") if switches_users else None)
    )
    parts = [part for part in (metrics, server) if part is not None]

    def tick() -> None:
        for part in parts:
            part.tick()

    try:
        yield tick
    finally:
        for part in parts:
            part.stop()


class _Server:
    """Keeps the HTTP server running. That it cannot is no reason to stop a bank's node."""

    def __init__(self, listen: str, files: tuple[Path, ...], account: Account | None) -> None:
        command = [sys.executable, "-m", "bank_nodes.metrics_server", "--listen", listen, *map(str, files)]
        # Nothing of the bank's secrets, which the supervisor's environment may hold.
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
        self._process = Supervised("metrics", lambda: command, environment=environment, account=account)
        self._given_up = False

    def tick(self) -> None:
        if not self._process.started:
            self._process.start()
        elif not self._given_up:
            self._given_up = not self._process.keep_running()

    def stop(self) -> None:
        self._process.stop()


def node_file(vault_file: Path) -> Path:
    """The supervisor's text file beside the vault's: ``riskfed.prom`` -> ``riskfed-node.prom``."""
    return vault_file.with_name(f"{vault_file.stem}-node{vault_file.suffix}")


def _nothing() -> None:
    pass
