"""What other processes do in these tests: `python -m tests.serving.records.processes NAME ARGUMENTS`."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from riskfed.errors import AuditError, ConfigurationError
from riskfed.serving.records import sqlite_store
from riskfed.serving.records.audit import AuditLog, verify_audit
from riskfed.serving.records.audit_files import files_of
from riskfed.serving.records.idempotency import StoredAnswer, fingerprint_of, key_of, store_of

ROOT = Path(__file__).parents[3]


def start(task: Callable[..., None], *arguments: object) -> subprocess.Popen[bytes]:
    """Run a task of this file in a process of its own, whose standard output is a pipe."""
    command = [sys.executable, "-m", __name__, task.__name__, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def run(task: Callable[..., None], *arguments: object) -> str:
    """The same, to its end; what it said."""
    with start(task, *arguments) as process:
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return said.decode()


def append(folder: str, label: str) -> None:
    """Write lines as fast as it goes, and acknowledge each once `record` has returned."""
    log = AuditLog(Path(folder), rotate_bytes=20_000)
    number = 0
    while True:
        log.record("score", request_id=f"{label}-{number}", pd=0.25, reasons=["R01", "R02"])
        os.write(1, f"{label}-{number}\n".encode())
        number += 1


def fill(folder: str) -> None:
    """Write until there is no room, then on once there is: say how many lines were written before, and what went wrong."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, most))  # write(2) takes a part of a line, then none
    written, errors = 0, []
    with AuditLog(Path(folder)) as log:
        while len(errors) < 3:
            try:
                log.record("score", request_id=str(written))
                written += 1
            except AuditError as error:
                errors.append(str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        log.record("score", request_id="there is room again")
    print(json.dumps([written, errors]))


def hold(folder: str) -> None:
    """Try to write a log that another process has."""
    try:
        AuditLog(Path(folder))
    except ConfigurationError as error:
        print(error)


def verify(folder: str) -> None:
    """Verify a log again and again, and say how many lines it has."""
    while True:
        if files_of(Path(folder)):
            os.write(1, f"{verify_audit(Path(folder)).lines}\n".encode())


def put(url: str, label: str, count: str) -> None:
    """Put an answer under each of `count` ids, and say whose answer each one has."""

    sqlite_store._BUSY_SECONDS = 60.0  # type: ignore[misc]  # the machine may be busy, and the other process asleep with the lock

    async def all_of_them() -> list[str]:
        store = store_of(url)
        winners = [await store.put(f"id-{k}", StoredAnswer("f", 200, label.encode())) for k in range(int(count))]
        await store.close()
        return [winner.body.decode() for winner in winners]

    print(json.dumps(asyncio.run(all_of_them())))


def answer(url: str, folder: str, score: str, dies: str) -> None:
    """One request, as the service goes about it: score, put, audit, answer. It waits to be killed before the step `dies`."""

    async def request() -> None:
        store, log = store_of(url), AuditLog(Path(folder))
        key, print_of = key_of("desk", "/v1/score", "key-1"), fingerprint_of("key-1", b"{}")
        found = await store.get(key)
        if found is None:
            body = json.dumps({"score": int(score)}).encode()
            kept = await store.put(key, StoredAnswer(print_of, 200, body))
        else:
            kept = found
        if dies == "audit":
            os.write(1, b"stored\n")
            time.sleep(60)
        log.record("score", request_id="r-1", score=json.loads(kept.body)["score"], replayed=found is not None)
        os.write(1, kept.body)
        log.close()
        await store.close()

    asyncio.run(request())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
