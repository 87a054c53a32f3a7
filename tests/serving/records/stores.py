"""A store of answers, used in an event loop of its own and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from riskfed.serving.records.idempotency import IdempotencyStore


def using(store: IdempotencyStore, use: Callable[[IdempotencyStore], Awaitable[None]]) -> None:
    async def used() -> None:
        try:
            await use(store)
        finally:
            await store.close()

    asyncio.run(used())
