"""Looking at the registry again and again, beside an event loop."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from riskfed.errors import RegistryError
from riskfed.serving.models.polling import pause, poll
from tests.serving.registry_server import RegistryServer, champion, live_models, promote, running_registry


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    yield from running_registry()


def test_following_takes_up_changes_and_ends_at_once(server: RegistryServer) -> None:
    live = live_models(server)

    async def follow() -> float:
        following = asyncio.create_task(live.follow(0.02))
        for version in ("2", "1"):
            promote(server, version)
            while champion(live) != version:
                await asyncio.sleep(0.02)
        server.stop()
        while live.status().state == "ready":
            await asyncio.sleep(0.02)
        began = time.monotonic()
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        return time.monotonic() - began

    assert asyncio.run(asyncio.wait_for(follow(), 60)) < 5


def test_shutdown_does_not_wait_for_a_poll_that_hangs() -> None:
    hangs = threading.Event()

    async def run() -> None:
        polling = asyncio.create_task(poll(lambda: hangs.wait(60), 0.001))
        await asyncio.sleep(0.05)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)

    began = time.monotonic()
    asyncio.run(run())
    hangs.set()
    assert time.monotonic() - began < 30


def test_trouble_is_logged_once_and_defects_by_type(caplog: pytest.LogCaptureFixture) -> None:
    turns = [RegistryError("gone"), RegistryError("gone"), None, KeyError("secret"), None, None]
    over = threading.Event()

    def refresh() -> bool:
        turn = turns.pop(0) if turns else None
        if turn is not None:
            raise turn
        if not turns:
            over.set()
        return False

    async def run() -> None:
        polling = asyncio.create_task(poll(refresh, 0.001))
        await asyncio.to_thread(over.wait, 60)
        polling.cancel()

    with caplog.at_level(logging.INFO, "riskfed.serving"):
        asyncio.run(run())
    told = [record.getMessage() for record in caplog.records if record.name == "riskfed.serving"]
    assert told == [
        "the model in use stays: gone",
        "the models are followed again",
        "the model in use stays: a defect (KeyError)",
        "the models are followed again",
    ]


def test_pauses_grow_to_a_limit_with_jitter() -> None:
    for failures, periods in ((0, 1), (1, 2), (2, 4), (50, 4)):
        drawn = [pause(15.0, failures) for _ in range(200)]
        assert all(0.8 * 15 * periods <= seconds <= 1.2 * 15 * periods for seconds in drawn)
        assert max(drawn) > min(drawn)
