"""The file of API keys, which ``riskfed api-key`` writes and the service reads.

A key is ``rf_<id>_<secret>``: 8 letters that name it, and 256 random bits. It is shown once, when it is made. The file holds the id, a
salt and the secret's scrypt hash (RFC 7914), so whoever reads the file can neither use a key nor find one by trying: 2^256 secrets
alone rule that out, and scrypt keeps it so should a secret ever be one that a person chose. The file is still secret (mode 0600),
because it says who the clients are, and whoever can write it can let himself in.
"""

from __future__ import annotations

import base64
import datetime
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from riskfed.errors import ConfigurationError
from riskfed.files import write_whole
from riskfed.serving.access.client import ClientName, Scope, checked_name, checked_scopes
from riskfed.serving.access.watched_file import read_guarded

_KEY: Final = re.compile(r"rf_([a-z2-7]{8})_([A-Za-z0-9_-]{43})")
_ADVICE: Final = "make one by riskfed api-key add"
_ZERO: Final = datetime.timedelta(0)


class Cost(BaseModel):
    """scrypt's parameters: 2^14, 8, 1 take 16 MiB and about 40 ms. The bounds keep a slip in the file from taking the service's memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(2**14, ge=2**14, le=2**17)
    r: int = Field(8, ge=8, le=16)
    p: int = Field(1, ge=1, le=4)

    @model_validator(mode="after")
    def _power_of_two(self) -> Cost:
        if self.n & (self.n - 1):
            raise ValueError("n is no power of two")
        return self

    def hash(self, secret: str, salt: bytes) -> bytes:
        """scrypt of a secret, 32 bytes. Lets other threads run meanwhile."""
        memory = 256 * self.n * self.r + 2**20
        return hashlib.scrypt(secret.encode(), salt=salt, n=self.n, r=self.r, p=self.p, maxmem=memory, dklen=32)


_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]+$")]


class StoredKey(BaseModel):
    """What the file says of one key. Times are UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(pattern=r"^[a-z2-7]{8}$")
    client: ClientName
    scopes: tuple[Scope, ...] = Field(min_length=1)
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    scrypt: Cost = Cost()
    salt: _Hex = Field(repr=False, min_length=32, max_length=128)
    hash: _Hex = Field(repr=False, min_length=64, max_length=64)

    def state(self, now: datetime.datetime) -> str:
        """ "revoked", "expired" or "valid"."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: tuple[StoredKey, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> _Content:
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have one id")
        return self


def split_key(key: str) -> tuple[str, str] | None:
    """Id and secret of an API key; None where the text has not the form of one."""
    found = _KEY.fullmatch(key)
    return (found[1], found[2]) if found else None


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """The keys of a file, the oldest first.

    Raises:
        ConfigurationError: it is absent, malformed, or others than its owner may read or write it.
    """
    data = read_guarded(path, _ADVICE, secret=True)
    try:
        return _Content.model_validate_json(data).keys
    except ValidationError as error:
        where = {".".join(map(str, problem["loc"])) or "the whole" for problem in error.errors(include_input=False)}
        raise ConfigurationError(
            f"{path} is no file of API keys: see {', '.join(sorted(where))}; take the operator's last good copy"
        ) from None


def add_key(path: Path, client: str, scopes: Iterable[str], *, valid: datetime.timedelta | None = None) -> str:
    """Make a key for a client; the file is made where there is none.

    Args:
        path: the file of keys.
        client: name of the client.
        scopes: what it may ask.
        valid: how long it counts; None for as long as it is not revoked.

    Returns:
        The key, which is stored nowhere: hand it over and forget it.

    Raises:
        ConfigurationError: a wrong name, scope or time, or `path` cannot be read or written.
    """
    name, allowed = checked_name(client), checked_scopes(scopes)
    with _opened(path, absent=True) as (keys, write):
        key, stored = _made(keys, name, allowed, _ending(_now(), valid))
        write((*keys, stored))
    return key


def rotate_key(
    path: Path, client: str, *, overlap: datetime.timedelta, valid: datetime.timedelta | None = None
) -> tuple[str, tuple[StoredKey, ...]]:
    """Make a new key with the scopes of a client's newest one, and let the old ones end.

    Args:
        path: the file of keys.
        client: a client that has a valid key.
        overlap: how long the old keys still count; 0 ends them at once.
        valid: how long the new one counts.

    Returns:
        The new key, and the old ones as they stand now.

    Raises:
        ConfigurationError: the client has no valid key, a wrong time, or `path` cannot be read or written.
    """
    now = _now()
    if overlap < _ZERO:
        raise ConfigurationError("the overlap is negative; expected 0 or more days")
    with _opened(path) as (keys, write):
        old = tuple(key for key in keys if key.client == client and key.state(now) == "valid")
        if not old:
            raise ConfigurationError(
                f"{path} has no valid key of client {client!r} to rotate; see riskfed api-key list"
            )
        end = now + overlap
        ending = {key.id: key.model_copy(update={"expires": min(key.expires or end, end)}) for key in old}
        new, stored = _made(keys, client, old[-1].scopes, _ending(now, valid))
        write((*(ending.get(key.id, key) for key in keys), stored))
    return new, tuple(ending.values())


def revoke_key(path: Path, identity: str) -> StoredKey:
    """End a key at once, for good. One that is revoked already stays as it is.

    Raises:
        ConfigurationError: there is no such key, or `path` cannot be read or written.
    """
    with _opened(path) as (keys, write):
        found = next((key for key in keys if key.id == identity), None)
        if found is None:
            raise ConfigurationError(f"{path} has no key with that id; see riskfed api-key list")
        if found.revoked is None:
            found = found.model_copy(update={"revoked": _now()})
            write(tuple(found if key.id == identity else key for key in keys))
    return found


def _made(
    keys: Iterable[StoredKey], client: str, scopes: tuple[Scope, ...], expires: datetime.datetime | None
) -> tuple[str, StoredKey]:
    taken = {key.id for key in keys}
    while (identity := base64.b32encode(secrets.token_bytes(5)).decode().lower()) in taken:
        pass
    secret, salt, cost = secrets.token_urlsafe(32), secrets.token_bytes(16), Cost()
    stored = StoredKey(
        id=identity,
        client=client,
        scopes=scopes,
        created=_now(),
        expires=expires,
        scrypt=cost,
        salt=salt.hex(),
        hash=cost.hash(secret, salt).hex(),
    )
    return f"rf_{identity}_{secret}", stored


@contextmanager
def _opened(path: Path, *, absent: bool = False) -> Iterator[tuple[tuple[StoredKey, ...], Callable[..., None]]]:
    """The file's keys and what writes new ones, while no other command changes it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file of its own carries the lock, because the file of keys is replaced whole.
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot write beside {path}: {error.strerror}; choose another folder") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = () if absent and not path.exists() else read_keys(path)
        yield keys, lambda new: _write(path, new)
    finally:
        os.close(lock)


def _write(path: Path, keys: tuple[StoredKey, ...]) -> None:
    content = _Content(keys=keys).model_dump_json(indent=2, exclude_none=True)
    try:
        write_whole(path, content.encode() + b"\n", private=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}; nothing was changed") from None


def _ending(now: datetime.datetime, valid: datetime.timedelta | None) -> datetime.datetime | None:
    if valid is None:
        return None
    if valid <= _ZERO:
        raise ConfigurationError("a key must count for longer than 0 days")
    return now + valid


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
