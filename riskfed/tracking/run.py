"""Listen to a run and have it recorded in MLflow, without ever holding it up.

Events are queued and written by a thread of their own, so neither a slow nor a failing MLflow reaches the training. What could not
be written is kept and tried again; at the end, `MlflowRun.finish` says whether all of it is there. The released model is written to
a local file before anything else is done with it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from riskfed.errors import RegistryError
from riskfed.evaluation.limits import Limits, Verdict
from riskfed.files import write_whole
from riskfed.protocols import events
from riskfed.tracking.desk import Pictures, Report
from riskfed.tracking.gate import GateResult
from riskfed.tracking.recorder import Recorder

_log = logging.getLogger("riskfed.tracking")
_RETRY_SECONDS = 20.0
_IDLE_SECONDS = 1.0


class MlflowRun:
    """A listener for one run. Use it as a context manager, or call `finish`.

        with MlflowRun("http://mlflow:5000", "credit", "default-risk", release_path=Path("out/release.json")) as tracking:
            ...                                    # hand it to the switchboard as its listener
        print(tracking.version, tracking.gate_result)

    Args:
        tracking_uri: ``sqlite:///...`` or an MLflow server's address.
        experiment: name of the experiment; made if absent.
        model_name: registered model that the release becomes a version of, and that the gate judges; None registers nothing, and
            neither does a release whose model the banks withheld.
        release_path: file that the release's bytes go to, whatever becomes of MLflow.
        pictures: draws the finished run (`riskfed.reports.pictures.run_pictures`); None draws nothing.
        report: writes the validation report; None writes none.
        acceptance: limits that the verdict is held against; None takes the common ones.
        artifact_location: where the files of a new experiment go. None leaves it to MLflow: a server decides for itself, and without
            a server it is ``mlruns`` under the working directory.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        model_name: str | None = None,
        *,
        release_path: Path,
        pictures: Pictures | None = None,
        report: Report | None = None,
        acceptance: Limits | None = None,
        artifact_location: str | None = None,
    ) -> None:
        self._recorder = Recorder(
            tracking_uri, experiment, model_name, pictures, artifact_location, report=report, acceptance=acceptance
        )
        self._release_path = Path(release_path)
        self._events: queue.SimpleQueue[tuple[events.Event, int] | None] = queue.SimpleQueue()
        self._problem: Exception | None = None
        self._unsaved: OSError | None = None
        self._ended = threading.Event()
        self._writer: threading.Thread | None = None

    def __call__(self, event: events.Event) -> None:
        """Take an event. Never raises and never waits for MLflow."""
        if isinstance(event, events.ModelReleased):
            try:
                write_whole(self._release_path, event.release.to_bytes())
            except OSError as error:
                self._unsaved = error
        self._events.put((event, int(time.time() * 1000)))
        if self._writer is None:
            # A daemon: a process that ends without `finish` must not hang on a dead MLflow.
            self._writer = threading.Thread(target=self._write, name="riskfed-tracking", daemon=True)
            self._writer.start()

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, once it is known there."""
        return self._recorder.run_id

    @property
    def version(self) -> str | None:
        """Registered version, once it is registered."""
        return self._recorder.version

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the release, once it is laid out; None where nothing was evaluated."""
        return self._recorder.verdict

    @property
    def gate_result(self) -> GateResult | None:
        """The gate's result, once there is one."""
        return self._recorder.gate_result

    def finish(self, timeout: float = 600.0) -> None:
        """Wait until everything is written; a last attempt is made for what failed before.

        Raises:
            RegistryError: MLflow does not have the whole run; says why, and where the model is.
        """
        if self._writer is not None:
            self._ended.set()
            self._events.put(None)
            self._writer.join(timeout)
            if self._writer.is_alive():
                self._problem = self._problem or TimeoutError(f"no answer within {timeout:g} s")
            else:
                self._writer = None
        if self._unsaved is not None:
            raise RegistryError(
                f"the released model could not be written to {self._release_path} ({self._unsaved.strerror}); every bank keeps "
                "its own copy; give the operator's process a path that it may write to"
            )
        if self._problem is not None:
            kept = f"; the model is safe in {self._release_path}" if self._release_path.exists() else ""
            raise RegistryError(
                f"MLflow did not record the whole run ({type(self._problem).__name__}: {str(self._problem)[:300]}){kept}; "
                "the operator of MLflow must act"
            ) from self._problem

    def log_exactness(self, run_id: str, identical: int, total: int) -> None:
        """Add to a run in MLflow how many of the model's `total` trees equal those of plain xgboost on the pooled records.

        Raises:
            RegistryError: MLflow does not take it.
        """
        from riskfed.tracking.connection import registry_errors

        with registry_errors(f"the comparison with the pooled model was not recorded for run {run_id}"):
            self._recorder.log_exactness(run_id, identical, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.finish()
        except RegistryError as unrecorded:
            if error is None:
                raise
            # The run's own error is the one to be seen; this comes with it.
            _log.error("%s", unrecorded)

    def _write(self) -> None:
        """Record events in order; the one that fails is kept and tried again later."""
        kept: tuple[events.Event, int] | None = None
        while True:
            try:
                if kept is None:
                    kept = self._next()
                    if kept is None:
                        self._recorder.flush()
                        self._problem = None
                        return
                self._recorder.apply(*kept)
                kept = None
                self._recorder.flush(now=False)
                self._problem = None
            except queue.Empty:
                with contextlib.suppress(Exception):  # tried again with the next event, and at the end
                    self._recorder.flush(now=False)
            except Exception as error:  # whatever MLflow raises must stay out of the training
                last = self._ended.is_set()
                self._problem = error
                _log.warning("MLflow does not take the run's events (%s); they are kept", type(error).__name__)
                if last:
                    self._recorder.abandon(f"the record is incomplete: {type(error).__name__}")
                    return
                self._ended.wait(_RETRY_SECONDS)

    def _next(self) -> tuple[events.Event, int] | None:
        return self._events.get(timeout=_IDLE_SECONDS)
