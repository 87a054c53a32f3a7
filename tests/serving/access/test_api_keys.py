"""Verification of API keys: what counts, what it costs, and what happens to those who guess."""

import asyncio
import datetime
import logging
import secrets
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from riskfed.errors import ConfigurationError
from riskfed.serving.access import api_keys, watched_file
from riskfed.serving.access.api_keys import ApiKeys
from riskfed.serving.access.client import AccessError, Client
from riskfed.serving.access.key_file import Cost, add_key, read_keys, revoke_key, rotate_key, split_key

PEER = "192.0.2.1"
LOOK = 1.05  # seconds after which a change of the file counts for certain


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts scrypt's runs by the thread that they are in."""
    counted: Counter[str] = Counter()
    original = Cost.hash

    def count(self: Cost, secret: str, salt: bytes) -> bytes:
        counted[threading.current_thread().name] += 1
        return original(self, secret, salt)

    monkeypatch.setattr(Cost, "hash", count)
    return counted


def wrong(key: str) -> str:
    return key[:-43] + secrets.token_urlsafe(32)


async def refusal(keys: ApiKeys, key: str, peer: str = PEER) -> AccessError:
    with pytest.raises(AccessError) as refused:
        await keys.verify(key, peer)
    return refused.value


def test_a_key_costs_scrypt_once_and_never_on_the_event_loop(file: Path, runs: Counter[str]) -> None:
    key = add_key(file, "loan-desk", ["score", "models"])
    runs.clear()

    async def use() -> list[Client]:
        keys = ApiKeys(file)
        # Thirty connections at once, as after a restart, more than the address may try; then one after the other.
        first = await asyncio.gather(*(keys.verify(key, PEER) for _ in range(40)))
        return first + [await keys.verify(key, PEER) for _ in range(100)]

    clients = asyncio.run(use())
    assert set(clients) == {Client("loan-desk", frozenset({"score", "models"}), "api_key")}
    assert runs == {"riskfed-scrypt_0": 1}


def test_every_refusal_costs_the_same_and_reads_the_same(file: Path, runs: Counter[str]) -> None:
    good = add_key(file, "loan-desk", ["score"])
    revoked = add_key(file, "gone", ["score"])
    revoke_key(file, split_key(revoked)[0])  # type: ignore[index]
    expired = add_key(file, "late", ["score"])
    rotate_key(file, "late", overlap=datetime.timedelta(0))
    bad = [wrong(good), f"rf_{'b' * 8}_{secrets.token_urlsafe(32)}", revoked, wrong(revoked), expired]

    async def use() -> None:
        keys = ApiKeys(file)
        await keys.verify(good, PEER)
        texts = set()
        for key in bad:
            before = runs.total()
            error = await refusal(keys, key)
            texts.add((str(error), error.status, error.challenge, error.retry_after))
            assert runs.total() == before + 1
        assert texts == {(str(error), 401, 'Bearer realm="riskfed", error="invalid_token"', None)}

    asyncio.run(use())


def test_guessing_stops_before_scrypt_and_hurts_nobody_else(file: Path, runs: Counter[str]) -> None:
    good, late = add_key(file, "loan-desk", ["score"]), add_key(file, "late", ["score"])

    async def use() -> None:
        keys = ApiKeys(file, attempts="3/hour")
        await keys.verify(good, PEER)
        assert [(await refusal(keys, wrong(good))).status for _ in range(5)] == [401, 401, 429, 429, 429]
        before = runs.total()
        error = await refusal(keys, wrong(good))
        assert error.status == 429
        assert error.retry_after is not None
        assert error.retry_after > 0
        # A key that is remembered goes on working from the very same address; one that is not works from another.
        await keys.verify(good, PEER)
        assert runs.total() == before
        await keys.verify(late, "192.0.2.2")

    asyncio.run(use())


def test_one_ipv6_network_counts_as_one_address(file: Path) -> None:
    key = add_key(file, "loan-desk", ["score"])

    async def use() -> list[int]:
        keys = ApiKeys(file, attempts="2/hour")
        return [(await refusal(keys, wrong(key), f"2001:db8:0:1::{number}")).status for number in range(1, 4)]

    assert asyncio.run(use()) == [401, 401, 429]


def test_a_flood_from_many_addresses_fills_a_short_queue_only(
    file: Path, runs: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "_WAITING", 4)
    good = add_key(file, "loan-desk", ["score"])

    async def use() -> list[int]:
        keys = ApiKeys(file)
        await keys.verify(good, PEER)
        runs.clear()
        flood = [asyncio.create_task(refusal(keys, wrong(good), f"198.51.100.{number}")) for number in range(100)]
        await asyncio.sleep(0)
        await keys.verify(good, PEER)  # needs no place in the queue
        return [error.status for error in await asyncio.gather(*flood)]

    statuses = Counter(asyncio.run(use()))
    assert statuses == {401: 4, 429: 96}
    assert runs == {"riskfed-scrypt_0": 4}


def test_revocation_counts_within_two_seconds_without_a_restart(file: Path) -> None:
    key, other = add_key(file, "loan-desk", ["score"]), add_key(file, "other", ["score"])

    async def use() -> None:
        keys = ApiKeys(file)
        for each in (key, other):
            await keys.verify(each, PEER)
        revoke_key(file, split_key(key)[0])  # type: ignore[index]
        await asyncio.sleep(LOOK)
        assert (await refusal(keys, key)).status == 401
        await keys.verify(other, PEER)

    asyncio.run(use())


def test_rotation_under_load_fails_nobody(file: Path, runs: Counter[str]) -> None:
    old = add_key(file, "loan-desk", ["score"])

    async def use() -> int:
        keys, served, end = ApiKeys(file), 0, time.monotonic() + 60

        async def load(key: str, stop: asyncio.Event) -> None:
            nonlocal served
            while not stop.is_set() and time.monotonic() < end:
                assert (await keys.verify(key, PEER)).name == "loan-desk"
                served += 1
                await asyncio.sleep(0.001)

        stop = asyncio.Event()
        clients = [asyncio.create_task(load(old, stop)) for _ in range(4)]
        new, _ = await asyncio.to_thread(rotate_key, file, "loan-desk", overlap=datetime.timedelta(days=7))
        await asyncio.sleep(LOOK)
        clients += [asyncio.create_task(load(new, stop)) for _ in range(4)]
        await asyncio.sleep(0.2)
        while served <= 100 and time.monotonic() < end:  # scrypt steps back behind whatever else the machine does
            await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*clients)
        # Without an overlap the one before ends at once.
        newest, _ = await asyncio.to_thread(rotate_key, file, "loan-desk", overlap=datetime.timedelta(0))
        await asyncio.sleep(LOOK)
        assert {(await refusal(keys, key)).status for key in (old, new)} == {401}
        await keys.verify(newest, PEER)
        return served

    assert asyncio.run(use()) > 100
    # Three keys were made, three were verified for the first time; the rotations made nobody verify again before his key ended.
    assert runs["riskfed-scrypt_0"] == 3


def test_a_broken_file_leaves_the_last_good_one_in_use(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "_LOOK_SECONDS", 0.0)
    key = add_key(file, "loan-desk", ["score"])

    async def use() -> None:
        keys = ApiKeys(file)
        await keys.verify(key, PEER)
        sound = file.read_bytes()
        for broken in (lambda: file.write_text("{"), lambda: file.chmod(0o644), file.unlink):
            caplog.clear()
            broken()
            await keys.verify(key, PEER)
            await keys.verify(key, PEER)
            assert [record.levelno for record in caplog.records] == [logging.ERROR]
        file.touch(0o600)
        file.write_bytes(sound)
        revoke_key(file, split_key(key)[0])  # type: ignore[index]
        assert (await refusal(keys, key)).status == 401

    asyncio.run(use())


def test_a_key_that_ends_while_it_is_remembered_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = add_key(file, "loan-desk", ["score"], valid=datetime.timedelta(hours=1))

    async def use() -> None:
        keys = ApiKeys(file)
        await keys.verify(key, PEER)
        now = time.time()
        monkeypatch.setattr(api_keys.time, "time", lambda: now + 3700)
        assert (await refusal(keys, key)).status == 401

    asyncio.run(use())


def test_a_remembered_key_whose_hash_the_file_replaces_is_verified_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "_LOOK_SECONDS", 0.0)
    key = add_key(file, "loan-desk", ["score"])

    async def use() -> None:
        keys = ApiKeys(file)
        await keys.verify(key, PEER)
        (stored,) = read_keys(file)
        file.write_text(file.read_text().replace(stored.hash, stored.scrypt.hash("another", b"salt").hex()))
        assert (await refusal(keys, key)).status == 401

    asyncio.run(use())


def test_no_secret_shows(file: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    key = add_key(file, "loan-desk", ["score"])
    guess = wrong(key)

    async def use() -> str:
        keys = ApiKeys(file, attempts="2/hour")
        client = await keys.verify(key, PEER)
        errors = [await refusal(keys, text) for text in (guess, guess, "rf_short", guess + "\n")]
        shown = [keys, client, vars(keys), *errors, *(error.args for error in errors), *(e.__context__ for e in errors)]
        return " ".join(map(repr, shown))

    seen = asyncio.run(use()) + caplog.text + "".join(capfd.readouterr())
    for secret in (key, guess, key[-43:], guess[-43:]):
        assert secret not in seen


def test_a_service_does_not_start_on_a_wrong_file(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="riskfed api-key add"):
        ApiKeys(file)
