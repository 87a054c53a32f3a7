"""Limits: the same decisions as the library's own, honest waiting times, and Redis that may die."""

import asyncio
import logging
import shutil
import socket
import subprocess
from collections.abc import Iterator

import limits.aio.storage.memory as library
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError
from riskfed.serving.access import rate_limit
from riskfed.serving.access.rate_limit import LocalWindows, RateLimits

# Times are multiples of 1/8 s and the window is 64 s: all sums are exact, so both count the same to the last hit.
HITS = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 6)), min_size=1, max_size=60)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@given(HITS)
def test_decisions_are_those_of_the_librarys_storage(hits: list[tuple[int, int]]) -> None:
    clock = Clock()

    async def compare() -> None:
        theirs, ours = library.MemoryStorage(), LocalWindows(clock)
        for eighths, cost in hits:
            clock.now += eighths / 8
            expected = await theirs.acquire_sliding_window_entry("key", 10, 64, cost)
            assert await ours.acquire_sliding_window_entry("key", 10, 64, cost) == expected

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library.time, "time", clock)
        asyncio.run(compare())


@given(HITS)
def test_whoever_waits_as_told_is_let_in(hits: list[tuple[int, int]]) -> None:
    clock = Clock()

    async def use() -> None:
        rates = RateLimits("10 per 64 second", clock=clock)
        for eighths, cost in hits:
            clock.now += eighths / 8
            wait = await rates.take("loan-desk", cost)
            if wait is not None:
                assert 1 <= wait <= 128
                clock.now += wait
                assert await rates.take("loan-desk", cost) is None

    asyncio.run(use())


def test_each_client_has_its_own_count_and_perhaps_its_own_limit() -> None:
    async def use() -> None:
        rates = RateLimits("2/minute", clients={"big": "5/minute"}, clock=Clock())
        for client, allowed in (("one", 2), ("two", 2), ("big", 5)):
            assert [await rates.take(client) is None for _ in range(7)] == [True] * allowed + [False] * (7 - allowed)

    asyncio.run(use())


def test_a_batch_is_counted_whole_or_not_at_all() -> None:
    async def use() -> None:
        rates = RateLimits("10/minute", clock=Clock())
        assert await rates.take("desk", 8) is None
        assert (await rates.take("desk", 3) or 0) > 0
        assert await rates.take("desk", 2) is None
        assert await rates.take("desk", 11) == 0  # would never fit

    asyncio.run(use())


def test_without_a_limit_nothing_is_counted() -> None:
    assert asyncio.run(RateLimits().take("desk", 10**9)) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_MOST_KEYS", 3)

    async def use() -> list[bool]:
        windows = LocalWindows(Clock())
        for key in "abca":
            await windows.acquire_sliding_window_entry(key, 2, 60)
        await windows.acquire_sliding_window_entry("d", 2, 60)  # takes b's place: a was hit since
        return [await windows.acquire_sliding_window_entry(key, 2, 60, 2) for key in "ab"]

    assert asyncio.run(use()) == [False, True]


@pytest.mark.parametrize("text", ["", "many/minute", "0/minute", "10/fortnight", "10"])
def test_a_text_that_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="rate limit"):
        RateLimits(text)


@pytest.mark.parametrize(
    "url", ["memcached://user:hunter2@host", "hunter2", "redis://host:hunter2", "redis://:hunter2@host"]
)
def test_a_wrong_storage_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RateLimits("1/minute", storage=url)
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real Redis on loopback, and its process."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "hunter2"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert any(b"Ready to accept connections" in line for line in server.stdout)
        yield f"redis://127.0.0.1:{port}/0", server
    finally:
        server.kill()
        server.communicate()


def test_instances_share_a_limit_through_redis_and_keep_it_alone_without(
    redis: tuple[str, subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "_REDIS_SECONDS", 30.0)  # a busy machine must not decide
    url, server = redis

    async def use() -> None:
        one, two = (RateLimits("6/hour", storage=url, password="hunter2") for _ in range(2))
        assert [await rates.take("desk", 3) is None for rates in (one, two, one)] == [True, True, False]
        wait = await two.take("desk")
        assert wait is not None
        assert 0 < wait <= 7200
        assert await two.take("desk", 7) == 0
        assert not caplog.records
        server.kill()
        server.wait()
        for rates in (one, two):
            assert [await rates.take("desk", 3) is None for _ in range(3)] == [True, True, False]
            await rates.close()

    asyncio.run(use())
    # Said once by each, not at every request; and without the password.
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "hunter2" not in caplog.text
