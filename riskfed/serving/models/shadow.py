"""The challenger scores what the champion has scored, off the request path. Its scores are audited and compared, and never returned.

Encoded rows wait in memory until they are scored, a fraction of a second, and are then gone; an audit line holds none of their values.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.score import Score
from riskfed.serving.models.comparison import Comparison, ScoreWindow, compare
from riskfed.serving.models.live import LiveModels

_log = logging.getLogger("riskfed.serving")
_MOST_WAITING = 4096
"""Rows: a few hundred kilobytes. More are dropped, for an applicant's answer comes first."""
_SLOT_ROWS = 8
"""Scored at a time; the champion's requests wait for one slot at most."""
_GATHER_SECONDS = 0.05
_REST_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A row that the champion has scored."""

    champion: Engine
    challenger: Engine
    row: NDArray[np.float32]
    request_id: str
    points: int


class Shadow:
    """Scores in the shadow. All of it happens in the event loop's thread, so there are no locks.

    Args:
        live: the models.
        audit: writes audit lines, all or none: `AuditLog.record_many`.
        window: latest applicants that the comparison is over.
        approval_rate: share that is approved, for the swap rates.

    Raises:
        ConfigurationError: `window` or `approval_rate` is out of range.
    """

    def __init__(
        self,
        live: LiveModels,
        audit: Callable[[str, Sequence[Mapping[str, Any]]], None],
        *,
        window: int = 10_000,
        approval_rate: float = 0.8,
    ) -> None:
        if window < 1 or not 0 < approval_rate <= 1:
            raise ConfigurationError(
                "the shadow needs a window of one applicant at least, and an approval rate above 0 and at most 1; "
                f"got {window} and {approval_rate}"
            )
        self._live, self._audit = live, audit
        self._size, self._approval_rate = window, approval_rate
        self._queue: deque[_Waiting] = deque()
        self._woken = asyncio.Event()
        self._said = ""
        self._begin(None)

    def offer(self, row: NDArray[np.float32], request_id: str, score: Score) -> None:
        """Let the challenger score a row too, if there is one. Cheap; never raises or waits.

        Args:
            row: (1, k), as the champion has encoded it; not changed afterwards by the caller.
            request_id: of the champion's answer.
            score: the champion's.
        """
        pair = self._live.compared
        if pair is None:
            return
        if pair != self._pair:
            self._begin(pair)
        if row.shape != self._shape:
            return
        if len(self._queue) >= _MOST_WAITING:
            self._dropped += 1
            return
        self._queue.append(_Waiting(*pair, row, request_id, score.points))
        if not self._woken.is_set():
            self._woken.set()

    async def run(self) -> None:
        """Score what is offered, until cancelled: a few rows at a time, between requests."""
        while True:
            await self._woken.wait()
            # Rows are gathered: eight cost little more than one, and most of a slot's price is paid per slot.
            await asyncio.sleep(_GATHER_SECONDS)
            self._woken.clear()
            while self._queue:
                self._score_slot()
                await asyncio.sleep(_REST_SECONDS)

    def comparison(self) -> Comparison:
        """How the two compare so far; begun anew with each champion and each challenger."""
        return compare(*self._window.pairs(), self._approval_rate, dropped=self._dropped, failed=self._failed)

    def _begin(self, pair: tuple[Engine, Engine] | None) -> None:
        self._pair = pair
        self._shape = (1, len(pair[0].schema.columns)) if pair else ()
        self._window = ScoreWindow(self._size)
        self._dropped = self._failed = 0

    def _score_slot(self) -> None:
        slot = [self._queue.popleft()]
        engines = slot[0].champion, slot[0].challenger
        while (
            self._queue and len(slot) < _SLOT_ROWS and (self._queue[0].champion, self._queue[0].challenger) == engines
        ):
            slot.append(self._queue.popleft())
        champion, challenger = engines
        try:
            scores = challenger.score_rows(np.concatenate([waiting.row for waiting in slot]))
            points = champion.scale.points_of_log_odds(np.array([score.margin for score in scores])).tolist()
            lines = [_line(challenger, waiting.request_id, score) for waiting, score in zip(slot, scores, strict=True)]
            self._audit("shadow", lines)
        except (
            Exception
        ) as error:  # nothing of it may reach the champion; a text could hold a value, so the type alone is told
            self._failed += len(slot)
            self._say(f"the challenger failed: {type(error).__name__}")
            return
        self._say("")
        if engines == self._pair:
            for waiting, found in zip(slot, points, strict=True):
                self._window.add(waiting.points, found)

    def _say(self, trouble: str) -> None:
        """Log trouble once, not at every slot."""
        if trouble and trouble != self._said:
            _log.warning("%s", trouble)
        self._said = trouble


def _line(challenger: Engine, request_id: str, score: Score) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "model": challenger.model.name,
        "version": challenger.model.version,
        "sha256": challenger.sha256,
        "score": score.points,
        "pd": score.pd,
        "reasons": [reason.code for reason in score.reasons],
    }
