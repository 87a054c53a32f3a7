"""Listeners that come with the server: the run's books, a progress file, and the release on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from riskfed.errors import ConfigurationError
from riskfed.files import write_whole
from riskfed.protocols import events
from riskfed.protocols.events import Event, Listener

_log = logging.getLogger("riskfed.server")


@runtime_checkable
class FinishingListener(Protocol):
    """A listener that keeps something outside of this process and must be waited for."""

    def __call__(self, event: Event) -> None: ...

    def finish(self) -> Mapping[str, str]:
        """Wait until all is written; facts for the run's outcome.

        Raises:
            RiskfedError: not all could be written.
        """
        ...


class Announcer:
    """Tells several listeners. One that fails is left out from then on: no listener may end a run."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = list(listeners)

    def __call__(self, event: Event) -> None:
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception:  # whatever a listener does, the banks' work goes on
                _log.exception("a listener failed and hears no more of this run")
                self._listeners.remove(listener)


class ProgressFile:
    """Appends events as JSON lines, for whoever follows a run from another process.

    Every line has ``event`` and ``at`` (UTC, ISO 8601). `RunStarted` adds ``run``, ``attempt``, ``banks``, ``transport``,
    ``protection``, ``job`` (its kind) and ``most_trees``; `RoundFinished` ``step``, ``seconds``, ``received`` and ``sent`` (bank -> bytes);
    `ProgressMade` ``step`` and ``metrics``; `AttemptFailed` and `RunFailed` ``reason``. `riskfed.flower.progress` reads them.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)

    def __call__(self, event: Event) -> None:
        """Append one line."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._file.write(json.dumps({"event": type(event).__name__, "at": at, **_fields(event)}) + "\n")
        if isinstance(event, events.RunFailed | events.RunFinished):
            self._file.close()


class ReleaseFile:
    """Writes the finished release, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem: OSError | None = None

    def __call__(self, event: Event) -> None:
        """Write on `ModelReleased`."""
        if isinstance(event, events.ModelReleased):
            try:
                write_whole(self._path, event.release.to_bytes())
            except OSError as error:
                self._problem = error

    def finish(self) -> Mapping[str, str]:
        """See `FinishingListener`.

        Raises:
            ConfigurationError: the file could not be written.
        """
        if self._problem is not None:
            raise ConfigurationError(
                f"the released model could not be written to {self._path.name} ({self._problem.strerror}); every bank keeps "
                "its own copy; the operator must name a file that the server may write"
            )
        return {}


def _fields(event: Event) -> dict[str, Any]:
    match event:
        case events.RunStarted(plan=plan, transport=transport):
            how = {
                "transport": transport,
                "protection": plan.protection,
                "most_trees": plan.job.most_steps,
                "job": plan.job.kind,
            }
            return {"run": plan.run, "attempt": plan.attempt, "banks": list(plan.roster), **how}
        case events.RoundFinished(step=step, seconds=seconds, received=received, sent=sent):
            return {"step": step, "seconds": round(seconds, 6), "received": dict(received), "sent": dict(sent)}
        case events.ProgressMade(step=step, metrics=metrics):
            return {"step": step, "metrics": dict(metrics)}
        case events.AttemptFailed(reason=reason) | events.RunFailed(reason=reason):
            return {"reason": reason}
        case _:
            return {}
