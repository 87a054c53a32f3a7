"""Looking at a source again and again, beside an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Any

from riskfed.errors import RiskfedError
from riskfed.serving.models.source import SourceUnreachableError

_log = logging.getLogger("riskfed.serving")
_MOST_PERIODS = 4.0
"""Longest pause while the source cannot be reached, in periods: it must also be found again soon."""
_JITTER = 0.2
"""So that the services of a bank do not ask all at the same moment, after the registry was away least of all."""
_random = secrets.SystemRandom()


async def poll(refresh: Callable[[], bool], seconds: float) -> None:
    """Call `refresh` about every `seconds` until cancelled. What goes wrong is logged once, not at every poll.

    Args:
        refresh: blocks; called in a thread. A RiskfedError is the source's trouble, anything else a defect, told by its type.
        seconds: between two calls; up to four times as long while the source cannot be reached.
    """
    failures, said = 0, ""
    while True:
        await asyncio.sleep(pause(seconds, failures))
        trouble, unreachable = "", False
        try:
            await in_thread(refresh)
        except RiskfedError as error:
            trouble, unreachable = str(error), isinstance(error, SourceUnreachableError)
        except Exception as error:
            trouble = f"a defect ({type(error).__name__})"
        failures = failures + 1 if unreachable else 0
        if trouble != said:
            _log.warning("the model in use stays: %s", trouble) if trouble else _log.info(
                "the models are followed again"
            )
        said = trouble


def pause(seconds: float, failures: int) -> float:
    """Seconds until the next call: doubled at each failure in a row, with jitter."""
    periods = min(2.0 ** min(failures, 8), _MOST_PERIODS)
    return seconds * periods * _random.uniform(1 - _JITTER, 1 + _JITTER)


async def in_thread(call: Callable[[], Any]) -> Any:
    """Run a blocking call in a thread of its own that no shutdown waits for; `asyncio.to_thread` would, for a poll's whole time-out.

    Cancelled, the call goes on to its end and its result is dropped. What it changes outside of memory must therefore be whole at any
    moment, as a local copy's is.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not answer.done():
            answer.set_result(result) if error is None else answer.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="riskfed-models", daemon=True).start()
    return await answer
