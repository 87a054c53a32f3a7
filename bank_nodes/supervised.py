"""A process that is kept running: started anew with growing pauses when it ends, given up when that does not help."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import structlog

from bank_nodes.users import Account

WRONG_CONFIGURATION: Final = 2
"""Exit code after which starting again is of no use."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 15.0
_GIVE_UP_AFTER: Final = 150.0
"""Seconds of failing starts. A SuperNode that was killed is refused until its old heartbeat has lapsed, which takes more than 60 s."""
_PROVEN_AFTER: Final = 60.0
"""Seconds after which a process counts as having run properly."""
_STOP_PATIENCE: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1

diary = structlog.get_logger("node")
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Supervised:
    """One process.

    Args:
        name: for messages.
        command: makes the command line, anew for every start.
        environment: the whole environment of the process.
        output: file that gets its standard output and error, appended; None: as this process's own.
        account: user that it runs as, with that user's groups and no others; None: this process's own.
        give_up_after: seconds of failing starts.
        clock: monotonic seconds.

    Attributes:
        starts: how often it was started.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], list[str]],
        *,
        environment: Mapping[str, str],
        output: Path | None = None,
        account: Account | None = None,
        give_up_after: float = _GIVE_UP_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = dict(environment)
        self._output = output
        self._account = account
        self._give_up_after = give_up_after
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._failing_since: float | None = None
        self._pause = _FIRST_PAUSE
        self._next_start: float | None = None
        self.starts = 0

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    @property
    def started(self) -> bool:
        """Whether it was started at all."""
        return self._process is not None

    def start(self) -> None:
        """Start the process, in a session of its own, so that it can be stopped with all its children."""
        stream: IO[Any] | None = None
        if self._output is not None:
            self._output.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            stream = self._output.open("ab")
        try:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT if stream is not None else None,
                start_new_session=True,
                # Groups, group, user, in this order, and before the function below: a change of user would undo what that asks for.
                user=None if self._account is None else self._account.uid,
                group=None if self._account is None else self._account.gid,
                extra_groups=None if self._account is None else self._account.groups,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  this process has one thread
            )
        finally:
            if stream is not None:
                stream.close()
        self._started_at, self._next_start = self._clock(), None
        self.starts += 1
        diary.info(f"{self.name} started", pid=self._process.pid, output=str(self._output or "standard error"))

    def keep_running(self) -> bool:
        """Start the process again if it has ended and its pause is over; to be called often.

        Returns:
            False once it cannot be kept running.
        """
        if self._process is None or (code := self._process.poll()) is None:
            return True
        now = self._clock()
        if self._next_start is None:
            return self._plan_restart(code, now)
        if now >= self._next_start:
            self.start()
        return True

    def stop(self) -> None:
        """Stop the process and all that it has started: SIGTERM, ten seconds, SIGKILL."""
        if self._process is None or self._next_start is not None:
            return  # never started, or ended and cleared away already
        group = self._process.pid  # start_new_session made it the leader of its group
        self._signal(group, signal.SIGTERM)
        try:
            self._process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            diary.warning(f"{self.name} does not stop; it is killed", pid=group)
        self._signal(group, signal.SIGKILL)
        self._process.wait()

    def _plan_restart(self, code: int, now: float) -> bool:
        if now - self._started_at >= _PROVEN_AFTER:
            self._failing_since, self._pause = None, _FIRST_PAUSE
        if self._failing_since is None:
            self._failing_since = now
        assert self._process is not None
        self._signal(self._process.pid, signal.SIGKILL)  # children that it may have left behind
        if code == WRONG_CONFIGURATION or now - self._failing_since > self._give_up_after:
            diary.error(f"{self.name} has ended for good", code=code, output=str(self._output or "standard error"))
            return False
        diary.warning(f"{self.name} has ended; starting it again", code=code, pause_seconds=self._pause)
        self._next_start, self._pause = now + self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return True

    @staticmethod
    def _signal(group: int, number: signal.Signals) -> None:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            return  # nothing of it is left


def _end_with_parent() -> None:
    """On Linux, a process whose supervisor was killed gets SIGTERM, so that no vault or courier is left without one."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
