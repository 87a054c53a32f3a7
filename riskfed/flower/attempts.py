"""A run's attempts: when a bank is lost, the server waits for it and goes on from the last tree that all banks have.

Keys and masks of an attempt are never used again: the next one opens anew, under its own number, which every vault checks. The state
file says which number comes next, also to another ServerApp: `riskfed train --resume`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from riskfed.errors import BankLostError, ConfigurationError
from riskfed.files import read_record, write_record
from riskfed.protocols import events

_log = logging.getLogger("riskfed.server")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class RunState:
    """What another ServerApp must know to go on.

    Attributes:
        run: the run's id.
        attempt: number of the attempt that was begun last; 0 before the first.
        plan: digest (hexadecimal) of all that was agreed, the attempt apart.
        status: "finished" once the model is out; a failed run stays unfinished, and may be resumed.
    """

    run: str
    attempt: int
    plan: str
    status: Literal["unfinished", "finished"] = "unfinished"

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_record(path, self)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigurationError: absent or malformed.
        """
        return read_record(cls, path, f"{path.name} is absent or is not a run's state: there is no run to resume")

    @classmethod
    def to_resume(cls, path: Path, plan: Callable[[str], str]) -> Self:
        """The state of a run that may go on.

        Args:
            path: the state file.
            plan: gives the digest of the plan as the run file has it now, for a run's id.

        Raises:
            ConfigurationError: there is none, it has finished, or the run file asks for something else now.
        """
        state = cls.load(path)
        if state.status == "finished":
            raise ConfigurationError(f"run {state.run} has finished; start a new run, without --resume")
        if state.plan != plan(state.run):
            raise ConfigurationError(
                f"the run file is not what run {state.run} was started with; bring it back, or start a new run without --resume"
            )
        return state


class Patience:
    """How long a lost bank is waited for. A listener: every tree that gets done starts the time anew.

    Banks that were never there are not waited for: then something is wrong with the set-up.

    Args:
        limit: seconds.
        clock: monotonic seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self, limit: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._begun = False
        self._lost_at: float | None = None
        self._pause = _FIRST_PAUSE

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        match event:
            case events.RoundFinished():
                self._begun = True
            case events.ProgressMade(step=step) if step > 0:
                self._lost_at, self._pause = None, _FIRST_PAUSE

    def wait(self, loss: BankLostError) -> None:
        """Wait a little before the next attempt.

        Raises:
            BankLostError: `loss` itself if no round was ever served; with what is to be done if the time is over.
        """
        if not self._begun:
            raise loss
        now = self._clock()
        self._lost_at = now if self._lost_at is None else self._lost_at
        if now - self._lost_at > self._limit:
            raise BankLostError(
                f"{loss}. The run did not get on for {self._limit:g} s; once the bank is back, the operator can go on from the last "
                "tree by riskfed train --resume"
            ) from None
        _log.warning("%s; the next attempt begins in %g s", loss, self._pause)
        self._sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
