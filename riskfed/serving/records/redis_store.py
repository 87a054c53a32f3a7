"""Stored answers in Redis, for a service on several machines.

Redis must not evict them (``maxmemory-policy noeviction``, or enough memory) and keeps them over a restart only with persistence
(``appendonly yes``). An answer that it lost is scored anew: by the same model it is the same answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar, cast

from riskfed.errors import ConfigurationError, IdempotencyError
from riskfed.serving.records.idempotency import ANSWER_SECONDS, StoredAnswer, driver_missing

try:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError:
    raise driver_missing("redis") from None

_PREFIX: Final = "riskfed:answer:"
_CONNECTIONS: Final = 16
_Answer = TypeVar("_Answer")


class RedisStore:
    """An `IdempotencyStore` in Redis.

    Args:
        url: redis:// or rediss://, without a password.
        seconds: how long an answer is kept; whole milliseconds.
        password: of the Redis user.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, url: str, seconds: float, password: str | None) -> None:
        try:
            # One try more, on a new connection: the old one may be of before the server's restart.
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=ANSWER_SECONDS,
                password=password,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError:
            raise ConfigurationError("the redis client cannot read the URL of the store of answers") from None
        self._redis: Any = Redis.from_pool(pool)
        self._milliseconds = max(1, int(seconds * 1000))

    async def get(self, key: str) -> StoredAnswer | None:
        """See `IdempotencyStore`."""
        data = cast(bytes | None, await _asked(self._redis.get(_PREFIX + key)))
        return None if data is None else StoredAnswer.from_bytes(data)

    async def put(self, key: str, answer: StoredAnswer) -> StoredAnswer:
        """See `IdempotencyStore`."""
        data = answer.to_bytes()
        while True:
            won = await _asked(self._redis.set(_PREFIX + key, data, nx=True, px=self._milliseconds))
            first = answer if won else await self.get(key)
            if first is not None:  # else the other one expired just now
                return first

    async def close(self) -> None:
        """See `IdempotencyStore`."""
        await self._redis.aclose()


async def _asked(answer: Awaitable[_Answer]) -> _Answer:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer
    except TimeoutError:
        raise IdempotencyError(f"Redis did not answer within {ANSWER_SECONDS:g} s; its operator must act") from None
    except (RedisError, OSError) as error:
        raise IdempotencyError(f"Redis refused ({type(error).__name__}); its operator must act") from None
