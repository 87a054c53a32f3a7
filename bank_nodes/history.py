"""What a vault must remember over restarts, read off its own log: runs served, approvals used, rounds of the last 24 hours.

The log is the one source: whoever deletes a file beside it cannot make the vault forget a decision.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from riskfed.plan import SEALED

DAY: Final = timedelta(hours=24)
_SUM_FRAME: Final = "COMBINE"
"""The frame that carries a protected sum over the records."""
_ENVELOPES: Final = "EXCHANGE"
"""The frame that carries sealed envelopes: where nothing is summed, they are the rounds."""
INTERSECTION: Final = "intersection"
"""Under this name a program keeps a mark before it begins to look for the common customers."""
_SWEEP: Final = 1024


class History:
    """What the log's lines add up to. Give it every line, in order, by `note`."""

    def __init__(self) -> None:
        self._opened: set[str] = set()
        self._finished: set[str] = set()
        self._runs: dict[str, datetime] = {}
        self._approvals: dict[str, str] = {}
        self._approved: set[tuple[str, str]] = set()
        self._rounds: list[datetime] = []
        self._sealed: set[str] = set()
        self._alignments: list[datetime] = []

    def note(self, entry: Mapping[str, Any]) -> None:
        """Take one line of the log into account."""
        label, event = str(entry.get("run", "")), entry["event"]
        run = label.rpartition("/")[0]
        if event == "left":
            if entry.get("frame") == (_ENVELOPES if label in self._sealed else _SUM_FRAME):
                self._add_round(datetime.fromisoformat(entry["time"]))
        elif event == "opened":
            self._opened.add(label)
            self._runs.setdefault(run, datetime.fromisoformat(entry["time"]))
            if entry.get("protection") == SEALED:
                self._sealed.add(label)
        elif event == "kept":
            if entry["name"] == INTERSECTION:
                self._alignments.append(datetime.fromisoformat(entry["time"]))
        elif event == "finished":
            self._finished.add(run)
        elif event == "approved":
            self._approvals.setdefault(str(entry["approval"]), run)
            self._approved.add((run, str(entry["digest"])))

    def was_opened(self, label: str) -> bool:
        """Whether this run and attempt ("run/attempt") was ever served."""
        return label in self._opened

    def was_begun(self, run: str) -> bool:
        """Whether some attempt of the run was ever served."""
        return run in self._runs

    def was_finished(self, run: str) -> bool:
        """Whether some attempt of the run came to its end."""
        return run in self._finished

    def was_approved(self, run: str, digest: str) -> bool:
        """Whether an earlier attempt of the run, asking for the same, was approved."""
        return (run, digest) in self._approved

    def was_used(self, approval: str) -> bool:
        """Whether some run was opened by this approval."""
        return approval in self._approvals

    def rounds_today(self, now: datetime | None = None) -> int:
        """Rounds of the last 24 hours. A line from the future counts, so that a clock that was set back frees nothing."""
        start = (now or datetime.now(UTC)) - DAY
        return len(self._rounds) - bisect_right(self._rounds, start)

    def runs_today(self, now: datetime | None = None) -> int:
        """Runs, not attempts, that were begun in the last 24 hours."""
        start = (now or datetime.now(UTC)) - DAY
        return sum(begun > start for begun in self._runs.values())

    def alignments_today(self, now: datetime | None = None) -> int:
        """Searches for common customers that were begun in the last 24 hours, finished or not."""
        start = (now or datetime.now(UTC)) - DAY
        return sum(begun > start for begun in self._alignments)

    def _add_round(self, time: datetime) -> None:
        insort(self._rounds, time)  # at the end, unless the clock was set back
        if len(self._rounds) % _SWEEP == 0:
            del self._rounds[: bisect_right(self._rounds, datetime.now(UTC) - DAY)]
