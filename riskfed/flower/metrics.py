"""Prometheus metrics of a run, as the server sees it: a listener that writes them to a text file for the operator's monitoring.

They hold only what the server may know: sizes, times, names of banks, numbers of trees. No figure of any bank's records.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from riskfed.flower.progress import State
from riskfed.metrics_file import MetricsFile
from riskfed.protocols import events
from riskfed.protocols.events import Event

_ROUND_SECONDS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_WRITE_SECONDS: Final = 1.0
"""Rounds take milliseconds; the file is written less often, and at once where the run's state changes."""


class RunMetrics:
    """Counts one run. The file stays after its end, with the state ``finished`` or ``failed``; the next run writes over it.

    Args:
        path: the text file; ends in .prom.
    """

    def __init__(self, path: Path) -> None:
        self._file = MetricsFile(path)
        self._written = 0.0
        to = self._file.registry
        labels = ["version", "run", "job", "protection", "transport"]
        self._info = Gauge("riskfed_run_info", "The run.", labels, registry=to)
        self._state = Gauge("riskfed_run_state", "1 for the state that the run is in.", ["state"], registry=to)
        self._attempt = Gauge("riskfed_run_attempt", "Number of the attempt.", registry=to)
        self._trees = Gauge("riskfed_run_trees", "Trees grown.", registry=to)
        self._most_trees = Gauge("riskfed_run_most_trees", "The most trees that will be grown.", registry=to)
        self._rounds = Counter("riskfed_run_rounds", "Lock-steps of all banks.", registry=to)
        self._seconds = Histogram("riskfed_run_round_seconds", "Time of a round.", buckets=_ROUND_SECONDS, registry=to)
        self._received = Counter("riskfed_run_received_bytes", "Bytes from a bank.", ["bank"], registry=to)
        self._sent = Counter("riskfed_run_sent_bytes", "Bytes to a bank.", ["bank"], registry=to)
        self._losses = Counter("riskfed_run_losses", "Attempts that ended because a bank was lost.", registry=to)
        self._last = Gauge("riskfed_run_last_event_timestamp_seconds", "When something happened last.", registry=to)
        self._enter("starting")

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self._last.set_to_current_time()
        match event:
            case events.RunStarted():
                self._start(event)
            case events.ProtectionProven():
                self._enter("running")
            case events.RoundFinished():
                self._count(event)
            case events.ProgressMade(step=step):
                self._trees.set(step)
            case events.AttemptFailed():
                self._losses.inc()
                self._enter("waiting")
            case events.ModelReleased():
                self._enter("recording")
            case events.RunFailed():
                self._enter("failed")
            case events.RunFinished():
                self._enter("finished")

    def _start(self, event: events.RunStarted) -> None:
        plan = event.plan
        facts = (version("riskfed"), plan.run, plan.job.kind, plan.protection, event.transport)
        self._info.labels(*facts).set(1)
        self._attempt.set(plan.attempt)
        self._most_trees.set(plan.job.most_steps)
        self._enter("opening")

    def _count(self, event: events.RoundFinished) -> None:
        self._rounds.inc()
        self._seconds.observe(event.seconds)
        for counter, parts in ((self._received, event.received), (self._sent, event.sent)):
            for bank, size in parts.items():
                counter.labels(bank).inc(size)
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self._write()

    def _enter(self, state: State) -> None:
        for each in get_args(State):
            self._state.labels(each).set(each == state)
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        self._file.write()
