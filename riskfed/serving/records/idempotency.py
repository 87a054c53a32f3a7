"""Stored answers for requests that carry an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a retry gets the first answer.

A score has no side effect, so there is no "pending" state and nothing to lock: two requests with one key that run at once both
score, the first `put` wins, and both give its answer.

Who learns what. A store holds answers: PD, score and reasons, and neither an applicant's data nor a customer's id nor the client's
key. An entry's id is a hash over client, route and key, its fingerprint one over key and body. The key goes into both, so whoever
reads the store cannot try out likely applicants against a fingerprint without it; clients must therefore draw keys at random
(UUIDs), not count them. The store's readers are this service and the operator of the database: nobody else may be able to read it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from riskfed.errors import ConfigurationError, IdempotencyError
from riskfed.urls import holds_password

ANSWER_SECONDS: Final = 1.0
"""A database that needs longer counts as down: the request waits for it."""
PURGED_AT_ONCE: Final = 200
"""Expired answers that one statement removes: few, because requests wait for it."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An HTTP answer as it left.

    Attributes:
        fingerprint: `fingerprint_of` the request; another one under the same key is the client's mistake.
        status: HTTP status.
        body: as it was sent.
        headers: names and values that belong to the body, Content-Language for one.
    """

    fingerprint: str
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def to_bytes(self) -> bytes:
        """A line of JSON, then the body."""
        head = {"fingerprint": self.fingerprint, "status": self.status, "headers": self.headers}
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def from_bytes(cls, data: bytes) -> StoredAnswer:
        """Read what `to_bytes` wrote.

        Raises:
            IdempotencyError: the bytes are something else.
        """
        head, _, body = data.partition(b"\n")
        try:
            entry = json.loads(head)
            headers = tuple((str(name), str(value)) for name, value in entry["headers"])
            return cls(str(entry["fingerprint"]), int(entry["status"]), body, headers)
        except (ValueError, TypeError, KeyError):
            raise IdempotencyError(
                "the store of answers holds an entry that this service did not write; its operator must look into it"
            ) from None


class IdempotencyStore(Protocol):
    """Answers by id (`key_of`), for some hours."""

    async def get(self, key: str) -> StoredAnswer | None:
        """The answer; None where there is none, or it has expired.

        Raises:
            IdempotencyError: the store does not answer.
        """

    async def put(self, key: str, answer: StoredAnswer) -> StoredAnswer:
        """Keep an answer, unless there is one: the first one that was put wins, and is returned.

        Raises:
            IdempotencyError: the store does not answer. The answer may have been kept nevertheless.
        """

    async def close(self) -> None:
        """Let go of files and connections."""


def key_of(client: str, route: str, idempotency_key: str) -> str:
    """The id of an answer, 64 hexadecimal digits. Clients cannot reach each other's answers: the client's name is part of it."""
    return _hash(client.encode(), route.encode(), idempotency_key.encode())


def fingerprint_of(idempotency_key: str, body: bytes) -> str:
    """What tells one request from another under the same key, 64 hexadecimal digits."""
    return _hash(idempotency_key.encode(), body)


def store_of(url: str, *, hours: float = 24, password: str | None = None) -> IdempotencyStore:
    """The store that a URL names.

    Args:
        url: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``; ``postgresql://user@host/database``, with libpq's parameters
            (``?sslmode=verify-full``); ``redis://user@host:6379/0``, or ``rediss://`` for TLS. No password: URLs are copied around.
        hours: how long an answer is kept.
        password: of the database's user; from the environment or a file of its own.

    Raises:
        ConfigurationError: the URL names no store, or holds a password; the driver is not installed; the SQLite file cannot be used.
    """
    if not 0 < hours <= 24 * 366:
        raise ConfigurationError(f"answers can be kept for up to {24 * 366} hours, got {hours}")
    scheme = url.partition(":")[0]
    if holds_password(url):
        raise ConfigurationError(
            "the URL of the store of answers holds a password, and URLs are copied around; leave it out and set the "
            "password's own variable, or its ..._FILE"
        )
    seconds = hours * 3600
    if scheme == "sqlite":
        from riskfed.serving.records.sqlite_store import SqliteStore

        return SqliteStore(_path_of(url), seconds)
    if scheme in ("postgresql", "postgres"):
        from riskfed.serving.records.postgresql_store import PostgresqlStore

        return PostgresqlStore(url, seconds, password)
    if scheme in ("redis", "rediss"):
        from riskfed.serving.records.redis_store import RedisStore

        return RedisStore(url, seconds, password)
    raise ConfigurationError(
        f"the store of answers is named by sqlite:///FILE, postgresql://... or redis://..., not by {scheme[:20]!r}"
    )


def driver_missing(package: str) -> ConfigurationError:
    """What to say where a store's driver is not installed."""
    return ConfigurationError(f"this store of answers needs a driver: install {package}, or use sqlite:///FILE")


def _path_of(url: str) -> Path:
    path = unquote(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path:
        raise ConfigurationError("expected sqlite:///relative.db or sqlite:////absolute.db for the store of answers")
    return Path(path)


def _hash(*parts: bytes) -> str:
    """sha256 over parts that each stand behind their length, so that no two lists of parts are the same bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
