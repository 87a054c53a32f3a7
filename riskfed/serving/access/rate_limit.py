"""How much a client may ask: a sliding window counter for each client, in this process or in Redis.

The count of the window that runs, plus the last window's in proportion to what it still overlaps, may not exceed the limit. Against a
log of every hit (the moving window) it needs two numbers a client instead of one for each hit, and errs only as far as hits were uneven
within the last window.

Texts of limits ("600/minute") and the counters in Redis are the library limits'. Its memory storage starts a thread at every hit that
comes more than 10 ms after the last one, which costs 200-500 us of CPU, half of a whole request; `LocalWindows` does the same sum
in 2 us.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import limits
from limits.aio.storage.base import SlidingWindowCounterSupport

from riskfed.errors import ConfigurationError
from riskfed.urls import holds_password

_log = logging.getLogger("riskfed.serving.access")
_MOST_KEYS: Final = 10_000
_REDIS_SECONDS: Final = 0.25  # what a request waits for Redis at most
_REST_SECONDS: Final = 5.0  # how long Redis is left alone after an error


class LocalWindows(SlidingWindowCounterSupport):
    """Counters in this process, for one event loop. At most 10,000 keys: when full, those that were not hit for longest go."""

    base_exceptions = ValueError  # which of the storage's own errors the library wraps; this one raises none

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[
            str, tuple[int, int, int]
        ] = {}  # number of the window, count of the one before, its own count

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` more, if that keeps within `limit`."""
        number, previous, rest, current = self._window(key, expiry)
        if math.floor(previous * rest / expiry) + current + amount > limit:
            return False
        self._counts.pop(key, None)  # so that the dictionary's order is that of the last hits
        self._counts[key] = (number, previous, current + amount)
        if len(self._counts) > _MOST_KEYS:
            del self._counts[next(iter(self._counts))]
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count of the window before and the seconds that it still overlaps; count of this one and until when it will overlap."""
        _, previous, rest, current = self._window(key, expiry)
        return previous, rest, current, rest + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - the library's signature
        """Forget a key."""
        self._counts.pop(key, None)

    def _window(self, key: str, expiry: int) -> tuple[int, int, float, int]:
        now = self._clock()
        number = int(now / expiry)
        rest = (number + 1) * expiry - now
        counted, previous, current = self._counts.get(key, (number, 0, 0))
        if counted == number - 1:
            previous, current = current, 0
        elif counted != number:
            previous, current = 0, 0
        return number, previous, rest, current


class RateLimits:
    """Limits on clients, each counted under its name."""

    def __init__(
        self,
        limit: str | None = None,
        *,
        clients: Mapping[str, str] | None = None,
        storage: str = "memory",
        password: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the limits.

        Args:
            limit: for every client that has none of its own, as "600/minute"; None for none.
            clients: name -> limit of that client.
            storage: "memory", or the URL of a Redis that several instances share, ``redis://`` or ``rediss://``, without a password.
            password: of the Redis user.
            clock: of the counters in memory, in seconds.

        Raises:
            ConfigurationError: a limit or `storage` is wrong.
        """
        self._default = _parsed(limit) if limit is not None else None
        self._own = {name: _parsed(text) for name, text in (clients or {}).items()}
        self._local = LocalWindows(clock)
        self._shared = None if storage == "memory" else _redis(storage, password)
        self._redis_again = 0.0

    async def take(self, client: str, cost: int = 1) -> int | None:
        """Count `cost` applicants against a client's limit, all or none.

        Returns:
            None where it was counted; else the seconds after which it would be, if the client asks nothing else; 0 for never, because
            `cost` is more than the limit of a whole window.
        """
        limit = self._own.get(client, self._default)
        if limit is None:
            return None
        key, expiry = limit.key_for(client), limit.get_expiry()
        if cost > limit.amount:
            return 0
        for windows in self._windows():
            try:
                if await windows.acquire_sliding_window_entry(key, limit.amount, expiry, cost):
                    return None
                return _wait(limit.amount, expiry, cost, await windows.get_sliding_window(key, expiry))
            except (
                Exception
            ) as error:  # whatever Redis's client raises: a limit that cannot be counted must not stop the service
                self._leave_redis_alone(error)
        return None

    async def close(self) -> None:
        """Close the connection to Redis."""
        if self._shared is not None:
            await self._shared.bridge.get_connection().aclose()

    def _windows(self) -> tuple[SlidingWindowCounterSupport, ...]:
        """Redis, then the counters here: without Redis every instance still keeps the limit for itself."""
        if self._shared is None or time.monotonic() < self._redis_again:
            return (self._local,)
        return (self._shared, self._local)

    def _leave_redis_alone(self, error: Exception) -> None:
        self._redis_again = time.monotonic() + _REST_SECONDS
        _log.warning("Redis does not count (%s): each instance keeps the limits by itself", type(error).__name__)


def _wait(limit: int, expiry: int, cost: int, window: tuple[int, float, int, float]) -> int:
    """Whole seconds until `cost` fits, at least 1; from `SlidingWindowCounterSupport.get_sliding_window`'s figures."""
    previous, _, current, current_ends = window
    rest = current_ends - expiry  # of the window that runs; that of the one before is 0 where it had no hit
    free = limit - current - cost
    if free >= 0 and previous > 0:
        # Solves previous * overlap / expiry = free.
        return max(1, math.ceil(rest - free * expiry / previous))
    # In the next window, today's count is the previous one.
    return max(1, math.ceil(rest + expiry - (limit - cost) * expiry / max(current, 1)))


def _parsed(text: str) -> limits.RateLimitItem:
    try:
        found = limits.parse(text)
    except ValueError:
        found = None
    if found is None or found.amount < 1:
        raise ConfigurationError(
            f'rate limit {text!r}: expected a number per time, as "600/minute" or "20 per 10 second"'
        )
    return found


def _redis(url: str, password: str | None) -> Any:
    if not url.startswith(("redis://", "rediss://")) or holds_password(url):
        raise ConfigurationError(
            'the storage of rate limits must be "memory", or a URL that begins with redis:// or rediss:// and holds no password'
        )
    options: dict[str, Any] = {} if password is None else {"password": password}
    try:
        from limits.aio.storage import RedisStorage

        return RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix="riskfed:rates",
            socket_timeout=_REDIS_SECONDS,
            socket_connect_timeout=_REDIS_SECONDS,
            **options,
        )
    except (limits.errors.ConfigurationError, ValueError, ImportError):
        raise ConfigurationError(
            "rate limits in Redis need a sound URL and the package redis: pip install 'riskfed[redis]'"
        ) from None
