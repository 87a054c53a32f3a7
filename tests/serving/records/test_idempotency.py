"""Stored answers: the first one that was put wins, in every store, for everybody who asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, IdempotencyError
from riskfed.serving.records import postgresql_store, redis_store, sqlite_store
from riskfed.serving.records.idempotency import IdempotencyStore, StoredAnswer, fingerprint_of, key_of, store_of
from tests.bank_nodes.postgres import ADMIN, ADMIN_PASSWORD, PostgresServer
from tests.serving.records.servers import PASSWORD, RedisServer
from tests.serving.records.stores import using

Use = Callable[[IdempotencyStore], Awaitable[None]]
Make = Callable[[float], IdempotencyStore]
ANSWER = StoredAnswer("f" * 64, 200, b'{"pd":0.25}\n\x00\xff', (("content-language", "de"), ("x", "y: z")))
_numbers = count()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy."""
    monkeypatch.setattr(postgresql_store, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(redis_store, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(sqlite_store, "_BUSY_SECONDS", 60.0)


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes another client of one store, which keeps answers for some hours."""
    url, password = f"sqlite:///{tmp_path}/answers.db", None
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url, password = server.url(ADMIN), ADMIN_PASSWORD
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis")
        url, password = redis.url, PASSWORD
    return lambda hours=24: store_of(url, hours=hours, password=password)


def key() -> str:
    """One that no test has used."""
    return key_of("desk", "/v1/score", f"test-{time.time_ns()}-{next(_numbers)}")


def test_an_answer_comes_back_as_it_was_and_after_a_restart(make: Make) -> None:
    own = key()

    async def first(store: IdempotencyStore) -> None:
        assert await store.get(own) is None
        assert await store.put(own, ANSWER) == ANSWER
        assert await store.get(own) == ANSWER

    async def again(store: IdempotencyStore) -> None:
        assert await store.get(own) == ANSWER
        assert await store.put(own, StoredAnswer("0" * 64, 200, b"another")) == ANSWER

    using(make(24), first)
    using(make(24), again)


def test_of_answers_put_at_once_exactly_one_wins(make: Make) -> None:
    async def race(store: IdempotencyStore) -> None:
        other = make(24)
        try:
            for _ in range(5):
                own = key()
                answers = [StoredAnswer("f" * 64, 200, str(number).encode()) for number in range(24)]
                puts = [(store, other)[number % 2].put(own, answer) for number, answer in enumerate(answers)]
                got = await asyncio.gather(*puts)
                assert len(set(got)) == 1
                assert got[0] in answers
                assert await store.get(own) == await other.get(own) == got[0]
        finally:
            await other.close()

    using(make(24), race)


def test_an_expired_answer_is_gone_and_gives_way(make: Make) -> None:
    async def expire(store: IdempotencyStore) -> None:
        own = key()
        await store.put(own, ANSWER)
        deadline = time.monotonic() + 30
        while await store.get(own) is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        later = StoredAnswer("1" * 64, 200, b"later")
        assert await store.put(own, later) == later

    using(make(0.05 / 3600), expire)


@given(st.builds(StoredAnswer, st.text(), st.integers(100, 599), st.binary(), st.just((("a", "é\n"),))))
def test_an_answer_survives_its_bytes(answer: StoredAnswer) -> None:
    assert StoredAnswer.from_bytes(answer.to_bytes()) == answer


@pytest.mark.parametrize(
    "data", [b"", b"{}\n", b"[1]\nx", b"\xff", b'{"fingerprint":"a","status":200,"headers":[1]}\n']
)
def test_foreign_entries_are_refused_without_being_quoted(data: bytes) -> None:
    with pytest.raises(IdempotencyError, match="did not write"):
        StoredAnswer.from_bytes(data)


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_every_client_route_and_key_has_an_id_of_its_own(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (key_of(*one) == key_of(*other)) == (one == other)
    client, route, idempotency_key = one
    assert (key_of(client + route, idempotency_key, "") == key_of(*one)) == (route == idempotency_key == "")


def test_a_fingerprint_needs_the_key() -> None:
    body = b'{"applicant":{"age":44}}'
    assert fingerprint_of("k", body) == fingerprint_of("k", body)
    assert len({fingerprint_of("k", body), fingerprint_of("l", body), fingerprint_of("k", body + b" ")}) == 3
    assert fingerprint_of("k{", b"}") != fingerprint_of("k", b"{}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@db/riskfed",
        "postgresql://db/riskfed?password=hunter2",
        "postgresql://db/riskfed?sslpassword=hunter2",
        "redis://:hunter2@cache:6379/0",
        "rediss://cache/0?pass%77ord=hunter2",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="holds a password") as refused:
        store_of(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://db/riskfed", "named by sqlite"),
        ("answers.db", "named by sqlite"),
        ("sqlite:///", "expected sqlite"),
        ("sqlite://answers.db", "expected sqlite"),
        ("sqlite:////dev/null/answers.db", "cannot use"),
        ("postgresql://db/riskfed?nonsense=1", "libpq cannot read"),
        ("redis://cache/0?socket_timeout=soon", "redis client cannot read"),
    ],
)
def test_a_url_that_names_no_store(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        store_of(url)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), 1e9])
def test_hours_that_make_no_sense(tmp_path: Path, hours: float) -> None:
    with pytest.raises(ConfigurationError, match="hours"):
        store_of(f"sqlite:///{tmp_path}/answers.db", hours=hours)
