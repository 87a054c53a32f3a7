"""Stored answers in PostgreSQL, for a service on several machines.

One connection for each process: a statement takes a fraction of a millisecond, and a request needs two. It is made at first use and
again when it breaks. The database's user needs SELECT, INSERT, UPDATE and DELETE on the table ``riskfed_answers``, and CREATE on the
schema where the table is not there yet. Times are the database's own, so the machines' clocks do not matter.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from riskfed.errors import ConfigurationError, IdempotencyError
from riskfed.serving.records.idempotency import ANSWER_SECONDS, PURGED_AT_ONCE, StoredAnswer, driver_missing

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError:
    raise driver_missing("psycopg[binary]") from None

_PURGE_SECONDS: Final = 10.0
_LOCK: Final = int.from_bytes(b"riskfed", "big")
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS riskfed_answers (id text PRIMARY KEY, expires timestamptz NOT NULL, answer bytea NOT NULL)
"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS riskfed_answers_by_expiry ON riskfed_answers (expires)"
# An expired answer that is not removed yet gives way to the new one.
_PUT: Final = """
INSERT INTO riskfed_answers (id, expires, answer)
VALUES (%(id)s, now() + make_interval(secs => %(seconds)s), %(answer)s)
ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, answer = excluded.answer WHERE riskfed_answers.expires <= now()
"""
_GET: Final = "SELECT answer FROM riskfed_answers WHERE id = %(id)s AND expires > now()"
_PURGE: Final = """
DELETE FROM riskfed_answers WHERE id IN (SELECT id FROM riskfed_answers WHERE expires <= now() LIMIT %(rows)s)
"""
_Connection = psycopg.AsyncConnection[Any]
_Cursor = psycopg.AsyncCursor[Any]


class PostgresqlStore:
    """An `IdempotencyStore` in a table.

    Args:
        url: as libpq takes it, without a password.
        seconds: how long an answer is kept.
        password: of the database's user.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, url: str, seconds: float, password: str | None) -> None:
        try:
            self._parameters: dict[str, Any] = conninfo_to_dict(url)
        except psycopg.Error:
            raise ConfigurationError("libpq cannot read the URL of the store of answers") from None
        if password is not None:
            self._parameters["password"] = password
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._connection: _Connection | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._abandoned: set[asyncio.Task[_Cursor]] = set()

    async def get(self, key: str) -> StoredAnswer | None:
        """See `IdempotencyStore`."""
        cursor = await self._run(_GET, {"id": key})
        row = await cursor.fetchone()
        return None if row is None else StoredAnswer.from_bytes(row[0])

    async def put(self, key: str, answer: StoredAnswer) -> StoredAnswer:
        """See `IdempotencyStore`."""
        row = {"id": key, "seconds": self._seconds, "answer": answer.to_bytes()}
        while True:
            won = (await self._run(_PUT, row)).rowcount == 1
            first = answer if won else await self.get(key)
            if first is not None:  # else the other one expired just now
                return first

    async def close(self) -> None:
        """See `IdempotencyStore`."""
        tasks = [*self._abandoned, *([] if self._upkeep is None else [self._upkeep])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    async def _run(self, statement: str, values: dict[str, Any]) -> _Cursor:
        """Run one statement, on a new connection where the old one broke."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._lock:
                task = asyncio.create_task(self._tried(statement, values))
                try:
                    return await asyncio.shield(task)
                except asyncio.CancelledError:
                    self._abandon(task)
                    raise
        except TimeoutError:
            raise IdempotencyError(
                f"PostgreSQL did not answer within {ANSWER_SECONDS:g} s; its operator must act"
            ) from None
        except (psycopg.Error, OSError) as error:
            # Its text may quote the row.
            name = getattr(error, "sqlstate", None) or type(error).__name__
            raise IdempotencyError(f"PostgreSQL refused ({name}); its operator must act") from None

    def _abandon(self, task: asyncio.Task[_Cursor]) -> None:
        """Leave a statement that hangs, and its connection: psycopg takes up to 10 s to give it up, and others wait."""
        self._connection = None
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        task.cancel()

    async def _tried(self, statement: str, values: dict[str, Any]) -> _Cursor:
        known = self._connection
        try:
            return await self._executed(statement, values)
        except (psycopg.OperationalError, OSError):
            if known is None:
                raise
        # The connection was of before, say of before the server's restart. Statements may be repeated: the first put wins.
        return await self._executed(statement, values)

    async def _executed(self, statement: str, values: dict[str, Any]) -> _Cursor:
        connection = self._connection or await self._connect()
        try:
            return await connection.execute(statement, values)
        except BaseException:  # nobody knows what the connection will answer next
            if self._connection is connection:
                self._connection = None
            await connection.close()
            raise

    async def _connect(self) -> _Connection:
        connection = await _Connection.connect(autocommit=True, **self._parameters)
        try:
            await connection.execute(f"SET statement_timeout = {int(ANSWER_SECONDS * 1000)}")
            table = await (await connection.execute("SELECT to_regclass('riskfed_answers')")).fetchone()
            if table is None or table[0] is None:
                async with connection.transaction():
                    # IF NOT EXISTS alone fails where two processes make the table at the same time.
                    await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
                    await connection.execute(_TABLE)
                    await connection.execute(_INDEX)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        if self._upkeep is None:
            self._upkeep = asyncio.create_task(self._keep_up())
        return connection

    async def _keep_up(self) -> None:
        """Remove expired answers, a few at once because requests wait meanwhile."""
        while True:
            await asyncio.sleep(_PURGE_SECONDS)
            with suppress(IdempotencyError):  # requests say so themselves
                while (await self._run(_PURGE, {"rows": PURGED_AT_ONCE})).rowcount == PURGED_AT_ONCE:
                    await asyncio.sleep(0)
