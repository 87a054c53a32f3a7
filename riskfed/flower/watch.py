"""Start a run and watch it to its end, from outside of the ServerApp: by its progress file, its outcome file and Flower's own word."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from riskfed.errors import ConfigurationError, RiskfedError, RunFailedError
from riskfed.files import read_record, write_record
from riskfed.flower.control import STOPPED, Control, LogStream
from riskfed.flower.outcome import Outcome
from riskfed.flower.progress import Follower, Line, size
from riskfed.flower.run_file import RunFile

_POLL_SECONDS = 0.2
_LAST_WORDS = 15.0
"""Most that is waited for the end of the log once there is an outcome."""
_UNREACHABLE = 60.0
"""How long the SuperLink may be gone before the run is given up."""
_RETRY_SECONDS = 5.0
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Launch:
    """A run as it was started; kept beside the run file, so that later commands find it.

    Attributes:
        flower_run: Flower's id of the run.
        connection: over which it was started.
        started_at: seconds since 1970.
        progress_start: bytes that the progress file had before.
        resumed: it goes on with an earlier run.
    """

    flower_run: int
    connection: str
    started_at: float
    progress_start: int
    resumed: bool = False

    @staticmethod
    def path(run_file: Path) -> Path:
        """Where the launch of a run file is kept: ``run.toml`` -> ``run.launch.json``."""
        return run_file.with_suffix(".launch.json")

    @classmethod
    def load(cls, run_file: Path) -> Self | None:
        """The last launch of a run file; None where there was none.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        path = cls.path(run_file)
        if not path.exists():
            return None
        return read_record(cls, path, f"{path.name} cannot be read; the operator may delete it")

    def save(self, run_file: Path) -> None:
        """Write it; whole or not at all."""
        write_record(self.path(run_file), self)


def launch(control: Control, run_file: Path, *, resume: bool = False) -> Launch:
    """Start what a run file describes.

    Raises:
        ConfigurationError: the run file is wrong, its last run still goes on, or Flower does not take the run.
    """
    run = RunFile.load(run_file)
    refuse_second(control, run_file, run)
    run.outcome_file.unlink(missing_ok=True)
    now, before = time.time(), size(run.progress_file)
    started = Launch(control.start(run_file, resume=resume), control.connection, now, before, resume)
    started.save(run_file)
    return started


def refuse_second(control: Control, run_file: Path, run: RunFile) -> None:
    """Two runs of one run file at a time would share its port and its files.

    Raises:
        ConfigurationError: the last run of this file goes on.
    """
    last = Launch.load(run_file)
    if last is None or run.outcome_file.exists() or last.connection != control.connection:
        return
    try:
        going = not control.status(last.flower_run).finished
    except ConfigurationError:
        return  # the SuperLink knows it no more; if it is not reached at all, starting says so
    if going:
        raise ConfigurationError(
            f"run {last.flower_run} of {run_file.name} still goes on; `riskfed train --attach` shows it, `riskfed stop` ends it"
        )


def watch(
    control: Control,
    launched: Launch,
    run_file: Path,
    *,
    progress: Callable[[Line], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    log: Path | None = None,
    timeout: float = float("inf"),
) -> Outcome:
    """Watch a run to its end.

    Args:
        control: the SuperLink.
        launched: the run.
        run_file: what was started.
        progress: called with each line of the run's progress file, where it has one.
        check: called several times a second; what it raises ends the watch, not the run.
        log: file that gets the run's log as Flower keeps it; None for nowhere.
        timeout: seconds.

    Returns:
        How it ended, also where it failed.

    Raises:
        ConfigurationError: the run ended without an outcome; shows the end of its log.
        RunFailedError: it was stopped, did not end within `timeout`, or the SuperLink is gone.
    """
    run = RunFile.load(run_file)
    follower = Follower(run.progress_file, progress, launched.progress_start)
    started = time.monotonic()
    with ExitStack() as closing:
        output = closing.enter_context((log or Path(os.devnull)).open("ab"))
        ending = _Ending(lambda: closing.enter_context(control.log(launched.flower_run, output, follow=True)), control)
        while not ending.over(launched.flower_run, run.outcome_file):
            follower.follow()
            check()
            if time.monotonic() - started > timeout:
                raise RunFailedError(
                    f"run {launched.flower_run} did not end within {timeout:g} s; it goes on; the operator may end it by "
                    f"`riskfed stop --job {run_file.name}`"
                )
            time.sleep(_POLL_SECONDS)
        follower.follow()
    if not run.outcome_file.exists():
        raise _without_outcome(control, launched, log)
    return Outcome.load(run.outcome_file)


class _Ending:
    """Whether a run is over. Its log ends with it; a log that ends before it has lost the SuperLink, and is asked for again."""

    def __init__(self, open_log: Callable[[], LogStream], control: Control) -> None:
        self._open_log = open_log
        self._control = control
        self._log = open_log()
        self._outcome_since: float | None = None
        self._unreachable_since: float | None = None
        self._next_look = 0.0

    def over(self, flower_run: int, outcome: Path) -> bool:
        """To be called often.

        Raises:
            RunFailedError: the SuperLink is gone.
        """
        now = time.monotonic()
        if outcome.exists():
            # The ServerApp has said its last word, and Flower is about to notice.
            self._outcome_since = self._outcome_since or now
            return not self._log.running or now - self._outcome_since > _LAST_WORDS
        if self._log.running or now < self._next_look:
            return False
        try:
            if self._control.status(flower_run).finished:
                return True
        except ConfigurationError as error:
            self._unreachable_since = self._unreachable_since or now
            if now - self._unreachable_since > _UNREACHABLE:
                raise RunFailedError(
                    f"the SuperLink is not reached any more ({error}); the operator must start it, and go on by "
                    "`riskfed train --resume`"
                ) from None
        else:
            self._unreachable_since = None
            self._log = self._open_log()
        self._next_look = time.monotonic() + _RETRY_SECONDS
        return False


def _without_outcome(control: Control, launched: Launch, log: Path | None) -> RiskfedError:
    status = control.status(launched.flower_run)
    if status.text == STOPPED:
        return RunFailedError(f"run {launched.flower_run} was stopped; `riskfed train --resume` goes on with it")
    shown = f"run {launched.flower_run} ended without an outcome; Flower says {status.text} {status.details}".rstrip()
    if log is None:
        return ConfigurationError(f"{shown}; `riskfed logs` shows what its ServerApp said")
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
    return ConfigurationError(f"{shown}; the end of its log:\n{tail}")
