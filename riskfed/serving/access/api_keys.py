"""Verifies API keys.

Secret: the keys themselves. Nothing here keeps one: what is remembered of a verified key is its BLAKE2b hash under a key that was drawn
at start and never leaves this process. Why this is safe, and cannot be used against the service:

- **A key costs microseconds** after its first use: its keyed hash is compared, in constant time, with the one remembered for its id.
  Whether the key still counts is asked of the file's present content at every request, so a revocation acts within a second.
- **Guessing is hopeless** (256 random bits), and answers tell nothing: a wrong secret and an unknown id, expired and revoked keys cost
  one scrypt, compared in constant time, and get one answer. (Only who sends a remembered key after its end is refused at once: he has
  it.) The form of a key, which is public, is judged before.
- **Wrong keys cannot take the CPU.** Before scrypt runs, the attempt is counted against the peer's address (IPv6: its /64 network).
  scrypt runs in one thread, at the lowest priority where the system has one for threads, and outside Python's lock, so it gets what
  scoring leaves over. Few attempts wait for it, the rest are sent away. Whose key is remembered never comes here: an attack delays
  only clients whose first request since the start falls into it.
- Many requests with one new key at once, as after a restart, cost one scrypt: they wait for the same answer.

Behind a proxy all clients share its address, and so the number of attempts; let the proxy pass addresses on (uvicorn's
``forwarded_allow_ips``).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import math
import os
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from riskfed.serving.access.client import AccessError, Client, refused_token
from riskfed.serving.access.key_file import Cost, StoredKey, read_keys, split_key
from riskfed.serving.access.rate_limit import RateLimits
from riskfed.serving.access.watched_file import WatchedFile

_WAITING: Final = 32  # attempts, 40 ms each: nobody waits much longer than a second


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """A stored key, ready to compare. `expires` is in seconds since 1970; 0 where it was revoked."""

    client: Client
    expires: float
    cost: Cost
    salt: bytes
    hash: bytes

    @classmethod
    def of(cls, stored: StoredKey) -> _Key:
        expires = math.inf if stored.expires is None else stored.expires.timestamp()
        return cls(
            client=Client(stored.client, frozenset(stored.scopes), "api_key"),
            expires=0.0 if stored.revoked else expires,
            cost=stored.scrypt,
            salt=bytes.fromhex(stored.salt),
            hash=bytes.fromhex(stored.hash),
        )


# What an unknown id is compared with, at the cost of every key that the commands make. Its hash is random: no secret has it.
_NOBODY: Final = _Key(
    Client("nobody", frozenset(), "api_key"), 0.0, Cost(), secrets.token_bytes(16), secrets.token_bytes(32)
)


class ApiKeys:
    """The keys of one file, followed as it changes."""

    def __init__(self, path: Path, *, attempts: str = "30/minute") -> None:
        """Read the file.

        Args:
            path: written by ``riskfed api-key``, mode 0600.
            attempts: how many keys that are not remembered one address may try.

        Raises:
            ConfigurationError: the file is absent, malformed or not private, or `attempts` is no rate.
        """
        self._file = WatchedFile(path, lambda file: {stored.id: _Key.of(stored) for stored in read_keys(file)})
        self._attempts = RateLimits(attempts)
        self._memory_key = secrets.token_bytes(32)
        # Id -> (the stored hash that was verified, keyed hash of the key); one entry for each key of the file at most.
        self._remembered: dict[str, tuple[bytes, bytes]] = {}
        self._pending: dict[bytes, asyncio.Task[Client]] = {}
        self._thread = ThreadPoolExecutor(1, "riskfed-scrypt", initializer=_step_back)

    async def verify(self, key: str, peer: str) -> Client:
        """Whose key it is.

        Args:
            key: as the request has it; anything may be in it.
            peer: the sender's address, against which an attempt counts.

        Raises:
            AccessError: 401, it does not count; 429, too many attempts.
        """
        parts = split_key(key)
        if parts is None:
            raise refused_token()
        identity, secret = parts
        digest = hashlib.blake2b(key.encode(), key=self._memory_key, digest_size=32).digest()
        stored = self._file.current().get(identity)
        if stored is not None:
            remembered = self._remembered.get(identity)
            # Both are compared: a key of this id that was made anew in the file must be verified again.
            if remembered is not None and remembered[0] == stored.hash and hmac.compare_digest(remembered[1], digest):
                if stored.expires <= time.time():
                    raise refused_token()
                return stored.client
        task = self._pending.get(digest)
        if task is None:
            if len(self._pending) >= _WAITING:
                raise AccessError(
                    429, "Busy", "too many keys are being verified at this moment; try again", retry_after=1
                )
            task = asyncio.create_task(self._first_use(identity, secret, digest, peer))
            self._pending[digest] = task
            task.add_done_callback(lambda done: self._finished(digest, done))
        # Shielded: one of those who wait may hang up.
        return await asyncio.shield(task)

    async def _first_use(self, identity: str, secret: str, digest: bytes, peer: str) -> Client:
        wait = await self._attempts.take(_network(peer))
        if wait is not None:
            raise AccessError(
                429,
                "Too many attempts",
                "too many keys from this address could not be verified at once; wait, and check the key",
                retry_after=wait,
            )
        known = self._file.current().get(identity)
        stored = known or _NOBODY
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, stored.cost.hash, secret, stored.salt)
        same = hmac.compare_digest(found, stored.hash)
        if known is None or not same:
            raise refused_token()
        self._forget_removed()
        self._remembered[identity] = (stored.hash, digest)
        if stored.expires <= time.time():
            raise refused_token()
        return stored.client

    def _finished(self, digest: bytes, task: asyncio.Task[Client]) -> None:
        self._pending.pop(digest, None)
        if not task.cancelled():
            task.exception()  # looked at, or asyncio logs it where everybody who waited has hung up

    def _forget_removed(self) -> None:
        present = self._file.current()
        for identity in self._remembered.keys() - present.keys():
            del self._remembered[identity]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _network(peer: str) -> str:
    """The address, or an IPv6 address's /64 network, of which one customer of a provider has all."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return "local"
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _step_back() -> None:
    # On Linux a thread has a priority of its own, and nice() changes the calling thread's; elsewhere it would slow the whole process.
    if sys.platform == "linux":
        os.nice(19)
