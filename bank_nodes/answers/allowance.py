"""How often a client may ask: every question counts, whether the customer is known or not, so lists of ids cannot be tried out."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Final

_MINUTE: Final = 60.0


class Allowance:
    """Counts questions of clients within 60 seconds and on a day (UTC).

    Args:
        per_minute, per_day: of one client.
        asked_today: client -> questions of today that the log has already.
        clock: seconds that only rise.
        now: time of day.
    """

    def __init__(
        self,
        per_minute: int,
        per_day: int,
        asked_today: Mapping[str, int],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._per_minute, self._per_day = per_minute, per_day
        self._clock, self._now = clock, now
        self._day = now().date()
        self._today = Counter(asked_today)
        self._lately: dict[str, deque[float]] = {}

    def take(self, client: str) -> int | None:
        """Count one question.

        Returns:
            None where it may be asked; else the seconds after which one may.
        """
        now, moment = self._now(), self._clock()
        if now.date() != self._day:
            self._day, self._today = now.date(), Counter()
        if self._today[client] >= self._per_day:
            return _seconds_left(now, self._day)
        lately = self._lately.setdefault(client, deque())
        while lately and moment - lately[0] >= _MINUTE:
            lately.popleft()
        if len(lately) >= self._per_minute:
            return max(1, math.ceil(_MINUTE - (moment - lately[0])))
        lately.append(moment)
        self._today[client] += 1
        return None


def _seconds_left(now: datetime, day: date) -> int:
    passed = (now - datetime(day.year, day.month, day.day, tzinfo=UTC)).total_seconds()
    return max(1, math.ceil(86_400 - passed))
