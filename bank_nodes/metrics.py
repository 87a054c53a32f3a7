"""The vault's metrics. They stay inside the bank: a file that its own monitoring collects.

The vault counts from outside of what it serves, by what goes in and comes out, so nothing of a run's content is within reach here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from prometheus_client import Counter, Gauge, Histogram

from bank_nodes.config import NodeConfig
from bank_nodes.holdings import Holdings
from bank_nodes.listener import Service
from riskfed.errors import RiskfedError
from riskfed.metrics_file import MetricsFile
from riskfed.protocols.frames import Kind, first_kind

_WRITE_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_RESULTS: Final = ("opened", "refused", "dropped", "finished")


class VaultMetrics:
    """A vault's metrics, written every few seconds while it is used as a context manager, and removed at an orderly end.

    Args:
        path: of the text file.
        bank: this bank's name.
        rows: records that are loaded; None where they are unfit, and every run is refused. What is written is rounded: code that the
            operator sends to the courier may be able to read it, and must not see a single record come or go.
        schema: fingerprint of the consortium's schema; "" where there is none.
    """

    def __init__(self, path: Path, bank: str, *, rows: int | None, schema: str = "") -> None:
        self._file = MetricsFile(path)
        self._lock = threading.Lock()
        self._open: str | None = None
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write, name="metrics", daemon=True)
        self._make(self._file)
        labels = {"version": version("riskfed"), "bank": bank, "schema": schema[:16]}
        Gauge("riskfed_vault_info", "What runs here.", list(labels), registry=self._file.registry).labels(**labels).set(
            1
        )
        self._ready.set(rows is not None)
        self._records.set(rounded(rows or 0))
        for result in _RESULTS:
            self._runs.labels(result)

    def _make(self, file: MetricsFile) -> None:
        to = file.registry
        self._heartbeat = Gauge(
            "riskfed_vault_heartbeat_timestamp_seconds",
            "When this was written; too long ago: killed or stuck.",
            registry=to,
        )
        self._ready = Gauge(
            "riskfed_vault_ready", "1: records are loaded and fit; 0: every run is refused.", registry=to
        )
        self._records = Gauge("riskfed_vault_records", "Records loaded, rounded.", registry=to)
        self._runs = Counter("riskfed_vault_runs", "Runs by what became of them.", ["result"], registry=to)
        self._run_open = Gauge("riskfed_vault_run_open", "1 while a run is open.", registry=to)
        self._rounds = Counter("riskfed_vault_rounds", "Rounds answered.", registry=to)
        self._received = Counter("riskfed_vault_received_bytes", "Bytes from the server.", registry=to)
        self._sent = Counter("riskfed_vault_sent_bytes", "Bytes to the server.", registry=to)
        self._seconds = Histogram(
            "riskfed_vault_answer_seconds", "Time from request to answer.", buckets=_ANSWER_SECONDS, registry=to
        )
        self._active = Gauge("riskfed_vault_last_activity_timestamp_seconds", "The last request; 0: none.", registry=to)

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._writer.join()
        self._file.remove()

    def answered(self, label: str, batch: bytes, answer: bytes, seconds: float) -> None:
        """Count one request and its answer."""
        with self._lock:
            self._received.inc(len(batch))
            self._sent.inc(len(answer))
            self._seconds.observe(seconds)
            self._active.set_to_current_time()
            for result in self._results(label, first_kind(batch), first_kind(answer)):
                self._runs.labels(result).inc()
            self._run_open.set(self._open is not None)

    def _results(self, label: str, asked: Kind | None, answered: Kind | None) -> list[str]:
        """What became of runs by this request, told from the first frame of either side as `bank_nodes.run_service` has it."""
        was_open = self._open == label
        if Kind.FAILED in (asked, answered):
            self._open = None if was_open else self._open
            if was_open:
                return ["dropped"]
            return ["refused"] if answered == Kind.FAILED else []
        if asked == Kind.PLAN:
            before, self._open = self._open, label
            return ["opened"] if before is None else ["dropped", "opened"]
        if not was_open:
            return []
        self._rounds.inc()
        if answered is not None:
            return []
        self._open = None
        return ["finished"]

    def _write(self) -> None:
        while True:
            with self._lock:
                self._heartbeat.set_to_current_time()
            self._file.write()
            if self._ended.wait(_WRITE_SECONDS):
                return


class Metered:
    """A `Service` that counts what another one is asked and answers."""

    def __init__(self, service: Service, metrics: VaultMetrics) -> None:
        self._service = service
        self._metrics = metrics

    def handle(self, label: str, batch: bytes, carrier: Hashable = None) -> bytes:
        """See `Service`."""
        started = time.perf_counter()
        answer = self._service.handle(label, batch, carrier)
        self._metrics.answered(label, batch, answer, time.perf_counter() - started)
        return answer

    def disconnect(self, carrier: Hashable) -> None:
        """See `Service`."""
        self._service.disconnect(carrier)


@contextmanager
def metered(service: Service, holdings: Holdings | RiskfedError, config: NodeConfig) -> Iterator[Service]:
    """The service with its metrics, where the node file names a file for them; else the service itself.

    Args:
        service: what the vault serves.
        holdings: what is loaded, or why nothing is.
        config: the bank's.
    """
    if config.metrics.file is None:
        yield service
        return
    if isinstance(holdings, Holdings):
        rows, schema = len(holdings.records or ()), holdings.schema.fingerprint
        metrics = VaultMetrics(config.metrics.file, config.bank, rows=rows, schema=schema)
    else:
        metrics = VaultMetrics(config.metrics.file, config.bank, rows=None)
    with metrics:
        yield Metered(service, metrics)


def rounded(rows: int) -> int:
    """To two digits, and to hundreds at least."""
    return round(rows, -max(len(str(rows)) - 2, 2))
