"""Stores that are slow, gone, full or broken: requests learn of it in time, and go on once it is over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from riskfed.errors import ConfigurationError, IdempotencyError
from riskfed.serving.records import postgresql_store, redis_store, sqlite_store
from riskfed.serving.records.audit import read_audit, verify_audit
from riskfed.serving.records.idempotency import ANSWER_SECONDS, IdempotencyStore, StoredAnswer, store_of
from tests.bank_nodes.postgres import ADMIN, ADMIN_PASSWORD, PostgresServer
from tests.serving.records import processes
from tests.serving.records.servers import PASSWORD, RedisServer
from tests.serving.records.stores import using

SECRET = "0.0312345"
ANSWER = StoredAnswer("f" * 64, 200, SECRET.encode())
IN_TIME = 4 * ANSWER_SECONDS  # on a busy machine; psycopg alone would need 6 s where a server hangs


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about time, on a machine that may be busy."""
    monkeypatch.setattr(postgresql_store, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(redis_store, "ANSWER_SECONDS", 60.0)


async def at_last(operation: Callable[[], Awaitable[StoredAnswer | None]]) -> StoredAnswer | None:
    """Its answer, once the store has recovered and the machine has time."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return await operation()
        except IdempotencyError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def refused(operation: Awaitable[object], match: str) -> None:
    begun = time.monotonic()
    with pytest.raises(IdempotencyError, match=match) as error:
        await operation
    assert time.monotonic() - begun < IN_TIME
    assert SECRET not in str(error.value)


def test_two_processes_share_a_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/answers.db"
    with processes.start(processes.put, url, "one", 500) as one, processes.start(processes.put, url, "two", 500) as two:
        said = [json.loads(process.communicate(timeout=60)[0]) for process in (one, two)]
    assert said[0] == said[1]
    assert set(said[0]) <= {"one", "two"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_sqlite_file_that_another_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "_BUSY_SECONDS", 0.05)

    async def held(store: IdempotencyStore) -> None:
        await store.put("a", ANSWER)
        with closing(sqlite3.connect(tmp_path / "answers.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await refused(store.put("b", ANSWER), "SQLITE_BUSY")
            assert await store.get("a") == ANSWER
            other.execute("ROLLBACK")
        assert await store.put("b", ANSWER) == ANSWER

    using(store_of(f"sqlite:///{tmp_path}/answers.db"), held)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "answers.db").write_bytes(b"something else" * 100)
    with pytest.raises(ConfigurationError, match="SQLITE_NOTADB"):
        store_of(f"sqlite:///{tmp_path}/answers.db")


def test_sqlite_removes_what_has_expired_and_keeps_its_log_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_UPKEEP_SECONDS", 0.01)
    monkeypatch.setattr(sqlite_store, "_LARGE_LOG", 200_000)

    async def fill(store: IdempotencyStore) -> None:
        deadline = time.monotonic() + 30
        written = 0
        while time.monotonic() < deadline:
            for _ in range(50):
                await store.put(f"{written}", ANSWER)
                written += 1
            await asyncio.sleep(0.02)
            with closing(sqlite3.connect(tmp_path / "answers.db")) as other:
                [kept] = other.execute("SELECT count(*) FROM answers").fetchone()
            log = (tmp_path / "answers.db-wal").stat().st_size
            if written > 500 and kept < written / 2 and log < 500 * written:  # a put alone takes 12,000 bytes of it
                return
        raise AssertionError((written, kept, log))

    using(store_of(f"sqlite:///{tmp_path}/answers.db", hours=0.1 / 3600), fill)


@contextmanager
def stopped(backend: int) -> Iterator[None]:
    os.kill(backend, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(backend, signal.SIGCONT)


@pytest.fixture
def admin(postgres: PostgresServer) -> Iterator[psycopg.Connection[tuple[int, ...]]]:
    with psycopg.connect(postgres.url(ADMIN), password=ADMIN_PASSWORD, autocommit=True) as connection:
        yield connection


async def backend_of_store(admin: psycopg.Connection[tuple[int, ...]]) -> int:
    others = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 60
    while len(found := admin.execute(others).fetchall()) != 1:  # one that was told to end may take a moment
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)  # the store also may have one to let go of
    return found[0][0]


def test_postgresql_breaks_the_connection_blocks_and_hangs(
    postgres: PostgresServer, admin: psycopg.Connection[tuple[int, ...]]
) -> None:
    async def suffer(store: IdempotencyStore) -> None:
        assert await at_last(lambda: store.put("a", ANSWER)) == ANSWER
        admin.execute("SELECT pg_terminate_backend(%s)", [await backend_of_store(admin)])
        assert await at_last(lambda: store.get("a")) == ANSWER
        with admin.transaction():
            admin.execute("LOCK TABLE riskfed_answers IN ACCESS EXCLUSIVE MODE")
            await refused(store.get("a"), "PostgreSQL")
        assert await at_last(lambda: store.get("a")) == ANSWER
        with stopped(await backend_of_store(admin)):
            await refused(store.get("a"), "did not answer within")
            assert await at_last(lambda: store.get("a")) == ANSWER  # on a new connection
        assert await at_last(lambda: store.put("b", ANSWER)) == ANSWER

    using(store_of(postgres.url(ADMIN), password=ADMIN_PASSWORD), suffer)


def test_postgresql_on_one_connection_survives_its_loss_between_requests(
    postgres: PostgresServer, admin: psycopg.Connection[tuple[int, ...]], patience: None
) -> None:
    async def lose(store: IdempotencyStore) -> None:
        await store.put("c", ANSWER)
        for _ in range(3):
            backend = await backend_of_store(admin)
            admin.execute("SELECT pg_terminate_backend(%s)", [backend])
            assert await store.get("c") == ANSWER
            assert await backend_of_store(admin) != backend

    using(store_of(postgres.url(ADMIN), password=ADMIN_PASSWORD), lose)


def test_postgresql_refuses_and_nothing_is_quoted(postgres: PostgresServer, patience: None) -> None:
    async def refuse(store: IdempotencyStore) -> None:
        await refused(store.put("a", ANSWER), "PostgreSQL refused")

    postgres.run(
        "DROP TABLE IF EXISTS riskfed_answers",
        "CREATE TABLE riskfed_answers (id text, expires timestamptz, answer bytea CHECK (length(answer) < 5))",
        "ALTER TABLE riskfed_answers ADD PRIMARY KEY (id)",
    )
    try:
        using(store_of(postgres.url(ADMIN), password=ADMIN_PASSWORD), refuse)
    finally:
        postgres.run("DROP TABLE riskfed_answers")
    using(store_of(postgres.url(ADMIN), password="wrong"), refuse)
    using(store_of("postgresql://127.0.0.1:1/postgres"), refuse)


def test_processes_may_make_the_table_at_once(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, patience: None
) -> None:
    monkeypatch.setattr(postgresql_store, "_PURGE_SECONDS", 0.05)
    postgres.run("DROP TABLE IF EXISTS riskfed_answers")

    async def at_once(first: IdempotencyStore) -> None:
        stores = [first, *(store_of(postgres.url(ADMIN), password=ADMIN_PASSWORD, hours=0.1 / 3600) for _ in range(5))]
        puts = [store.put(f"id-{number}", ANSWER) for number, store in enumerate(stores)]
        assert await asyncio.gather(*puts) == [ANSWER] * 6
        deadline = time.monotonic() + 30
        while postgres.count("riskfed_answers") > 1 and time.monotonic() < deadline:  # the others' expire
            await asyncio.sleep(0.02)
        assert postgres.count("riskfed_answers") == 1
        for store in stores[1:]:
            await store.close()

    using(store_of(postgres.url(ADMIN), password=ADMIN_PASSWORD), at_once)


def test_redis_hangs_goes_and_comes_back(redis: RedisServer) -> None:
    async def suffer(store: IdempotencyStore) -> None:
        assert await at_last(lambda: store.put("a", ANSWER)) == ANSWER
        with stopped(redis.process.pid):
            await refused(store.get("a"), "Redis")
        assert await at_last(lambda: store.get("a")) == ANSWER
        redis.stop()
        try:
            await refused(store.put("b", ANSWER), "Redis refused")
        finally:
            redis.start()
        assert await at_last(lambda: store.get("a")) == ANSWER
        assert await at_last(lambda: store.put("b", ANSWER)) == ANSWER

    using(store_of(redis.url, password=PASSWORD), suffer)


def test_redis_with_a_wrong_password(redis: RedisServer, patience: None) -> None:
    async def refuse(store: IdempotencyStore) -> None:
        await refused(store.get("a"), "Redis refused")

    using(store_of(redis.url, password="wrong"), refuse)


def test_a_kill_between_the_store_and_the_audit_log_gives_the_first_answer_again(tmp_path: Path) -> None:
    url, folder = f"sqlite:///{tmp_path}/answers.db", tmp_path / "audit"
    with processes.start(processes.answer, url, folder, 612, "audit") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"stored\n"
        first.kill()
        assert first.stdout.read() == b""  # no answer left
    # The retry meets another model, and still gets what the first one said; its line is in the log.
    assert json.loads(processes.run(processes.answer, url, folder, 580, "never")) == {"score": 612}
    verify_audit(folder)
    [line] = [entry for entry in read_audit(folder) if entry["event"] == "score"]
    assert (line["score"], line["replayed"]) == (612, True)
