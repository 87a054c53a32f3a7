"""Stored answers in a SQLite file: the default, for a service on one machine. Its processes may share the file.

Statements run in place: they only touch memory that the system shares (write-ahead log, no fsync), which takes less than a hop to a
thread would. A killed process loses nothing; a power failure may lose the last second, and a retry is then scored anew. What does
wait for the disk (checkpoints of the log, and the removal of expired answers) is done by a thread with a connection of its own.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from riskfed.errors import ConfigurationError, IdempotencyError
from riskfed.serving.records.idempotency import PURGED_AT_ONCE, StoredAnswer

_BUSY_SECONDS: Final = 1.0
"""How long a statement waits for another process of the service, which holds the file for microseconds; a slow disk may make it longer."""
_UPKEEP_SECONDS: Final = 1.0
_LARGE_LOG: Final = 16 << 20
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS answers (id TEXT PRIMARY KEY, expires REAL NOT NULL, answer BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS answers_by_expiry ON answers (expires);
"""
# An expired answer that is not removed yet gives way to the new one.
_PUT: Final = """
INSERT INTO answers (id, expires, answer) VALUES (:id, :expires, :answer)
ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, answer = excluded.answer WHERE expires <= :now
"""
_GET: Final = "SELECT answer FROM answers WHERE id = :id AND expires > :now"
_PURGE: Final = "DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE expires <= :now LIMIT :rows)"


class SqliteStore:
    """An `IdempotencyStore` in a file.

    Args:
        path: the file; made, mode 0600, where absent, with its folder.
        seconds: how long an answer is kept.

    Raises:
        ConfigurationError: the file cannot be used.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite gives the mode of the file to those that it puts beside it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
            self._connection = _connect(path)
            self._connection.executescript(_TABLE)
        except OSError as error:
            raise ConfigurationError(f"cannot use {path} for the store of answers: {error.strerror}") from None
        except sqlite3.Error as error:
            raise ConfigurationError(f"cannot use {path} for the store of answers: {_name(error)}") from None
        self._closing = threading.Event()
        self._upkeep = threading.Thread(target=self._keep_up, name="idempotency", daemon=True)
        self._upkeep.start()

    async def get(self, key: str) -> StoredAnswer | None:
        """See `IdempotencyStore`."""
        with _as_own_error(self._path):
            row = self._connection.execute(_GET, {"id": key, "now": time.time()}).fetchone()
        return None if row is None else StoredAnswer.from_bytes(row[0])

    async def put(self, key: str, answer: StoredAnswer) -> StoredAnswer:
        """See `IdempotencyStore`."""
        now = time.time()
        row = {"id": key, "expires": now + self._seconds, "answer": answer.to_bytes(), "now": now}
        while True:
            with _as_own_error(self._path):
                won = self._connection.execute(_PUT, row).rowcount == 1
            first = answer if won else await self.get(key)
            if first is not None:  # else the other one expired just now
                return first

    async def close(self) -> None:
        """See `IdempotencyStore`."""
        self._closing.set()
        self._upkeep.join()
        self._connection.close()

    def _keep_up(self) -> None:
        while not self._closing.wait(_UPKEEP_SECONDS):
            # Full or locked for now: requests say so themselves.
            with suppress(sqlite3.Error, OSError), closing(_connect(self._path)) as connection:
                while _purged(connection) and not self._closing.is_set():
                    pass
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                if self._path.with_name(f"{self._path.name}-wal").stat().st_size > _LARGE_LOG:
                    # Under steady load the log only ever starts anew while nobody writes. Nearly all of it is in the file already.
                    connection.execute("PRAGMA wal_checkpoint(RESTART)")


def _purged(connection: sqlite3.Connection) -> bool:
    """Remove some expired answers, a few at once because others wait meanwhile. Whether there may be more."""
    rows = {"now": time.time(), "rows": PURGED_AT_ONCE}
    return connection.execute(_PURGE, rows).rowcount == PURGED_AT_ONCE


def _connect(path: Path) -> sqlite3.Connection:
    # Only the event loop's thread uses the connection, whichever thread made it.
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "wal_autocheckpoint=0",
        f"journal_size_limit={_LARGE_LOG}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextmanager
def _as_own_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise IdempotencyError(
            f"the store of answers {path} failed ({_name(error)}); make room or mend the disk"
        ) from None


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
