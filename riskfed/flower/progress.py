"""A run's progress file, read: line by line while it grows, and as the state that its lines add up to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

Line = Mapping[str, Any]
"""One line of a progress file, see `riskfed.flower.listeners.ProgressFile`."""
State = Literal["starting", "opening", "running", "waiting", "recording", "finished", "failed"]
"""starting: banks join; opening: keys and protection; running: the job; waiting: for a lost bank; recording: the model is out."""


@dataclass(slots=True)
class RunProgress:
    """Where a run stands. Feed it the lines of one progress file in order; a new run's first line starts it anew.

    Attributes:
        run, attempt: of the latest attempt; "" and 0 while banks join.
        state: see `State`.
        banks: the roster.
        transport, protection: as in the run file.
        trees, most_trees: grown, and the most that will be.
        metrics: pooled figures after the last tree, where rows are held out.
        rounds: lock-steps of all attempts.
        received, sent: bank -> bytes of all attempts, as the server sees them.
        reason: why it failed, or whom it waits for.
        at: when the last line was written.
    """

    run: str = ""
    attempt: int = 0
    state: State = "starting"
    banks: tuple[str, ...] = ()
    transport: str = ""
    protection: str = ""
    trees: int = 0
    most_trees: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    rounds: int = 0
    received: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    at: datetime | None = None

    def take(self, line: Line) -> None:
        """Take the next line; one of an unknown kind counts as a sign of life, one of an old release is passed over."""
        if "at" not in line:
            return
        match line["event"]:
            case "RunStarted":
                self._start(line)
            case "ProtectionProven":
                self.state = "running"
            case "RoundFinished":
                self.rounds += 1
                _add(self.received, line["received"])
                _add(self.sent, line["sent"])
            case "ProgressMade":
                self.trees, self.metrics = line["step"], line["metrics"]
            case "AttemptFailed":
                self.state, self.reason = "waiting", line["reason"]
            case "ModelReleased":
                self.state = "recording"
            case "RunFailed":
                self.state, self.reason = "failed", line["reason"]
            case "RunFinished":
                self.state = "finished"
        self.at = datetime.fromisoformat(line["at"])

    @property
    def over(self) -> bool:
        """The run has ended, one way or the other."""
        return self.state in ("finished", "failed")

    def age(self, now: datetime | None = None) -> float | None:
        """Seconds since the last line; None before the first."""
        return None if self.at is None else ((now or datetime.now(UTC)) - self.at).total_seconds()

    @classmethod
    def read(cls, path: Path | None, start: int = 0) -> Self:
        """The state that the lines of a file add up to, those of the first `start` bytes left out; the empty state without any."""
        progress = cls()
        Follower(path, progress.take, start).follow()
        return progress

    def _start(self, line: Line) -> None:
        if line["run"] != self.run:
            for entry in fields(self):
                setattr(self, entry.name, getattr(RunProgress(), entry.name))
        self.run, self.attempt, self.banks = line["run"], line["attempt"], tuple(line["banks"])
        self.transport, self.protection, self.most_trees = line["transport"], line["protection"], line["most_trees"]
        self.state, self.reason = "opening", ""


class Follower:
    """Reads a growing file of JSON lines.

    Args:
        path: may not exist yet; None for a file that never will.
        tell: gets each line.
        start: bytes of the file to pass over, see `size`.
    """

    def __init__(self, path: Path | None, tell: Callable[[Line], None], start: int = 0) -> None:
        self._path = path
        self._tell = tell
        self._at = start

    def follow(self) -> None:
        """Tell what has been written since."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                self._at += len(line)
                self._tell(json.loads(line))


def size(path: Path | None) -> int:
    """Bytes of a progress file so far; 0 where there is none."""
    return path.stat().st_size if path is not None and path.exists() else 0


def _add(totals: dict[str, int], parts: Mapping[str, int]) -> None:
    for bank, size in parts.items():
        totals[bank] = totals.get(bank, 0) + size
