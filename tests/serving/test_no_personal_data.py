"""Nobody's value in a log, a metric, an audit line, the store of answers or an error: the real service, a process that logs everything."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from riskfed.serving.access.key_file import add_key
from riskfed.serving.records.audit import read_audit
from tests.serving.models import SCHEMA, make_release
from tests.serving.registry_server import RegistryServer

SURNAME, NUMBER, FIELD, CUSTOMER = (
    "Zwetschgenhuber",
    987654321.125,
    "maiden name Zwetschgenhuber",
    "4711-Zwetschgenhuber",
)
MARKS = (b"wetschgen", b"987654321")
SOUND = {"income": 30_000, "balance/limit": 0.5, "late payments": "one", "region": 3, "free": NUMBER}
DEFECT = {**SOUND, "free": [NUMBER, SURNAME]}
REFUSED: tuple[Any, ...] = (
    {**SOUND, "income": NUMBER},
    {**SOUND, "income": SURNAME},
    {**SOUND, "late payments": SURNAME},
    {**SOUND, "region": NUMBER},
    {**SOUND, FIELD * 10: NUMBER},
    {**SOUND, "income": {SURNAME: [NUMBER]}},
    SURNAME,
    [NUMBER],
)
PATHS = ("/v1/score", "/v1/score:batch", "/v1/score:what-if", "/v2/models/credit/infer")


@dataclass
class Running:
    """The service, the key that it takes, and every answer's text and headers."""

    process: subprocess.Popen[bytes]
    address: str
    key: str
    records: Path
    logged: bytearray
    answers: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def send(self, method: str, path: str, *, key: str | None = None, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}", **arguments.pop("headers", {})}
        answer = httpx.request(method, self.address + path, headers=headers, timeout=30, **arguments)
        self.answers.append(f"{answer.headers} {answer.text}")
        self.statuses.append(answer.status_code)
        return answer


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    registry = RegistryServer()
    registry.register(make_release(), "1")
    registry.register(make_release(40), "2")
    registry.aliases.update({("credit", "champion"): "1", ("credit", "challenger"): "2"})
    registry.start()
    yield registry
    registry.stop()


@pytest.fixture
def service(tmp_path: Path, registry: RegistryServer) -> Iterator[Running]:
    key = add_key(tmp_path / "keys.toml", "desk", ["score", "models", "metrics"])
    (tmp_path / "service.toml").write_text(
        f'[model]\ntracking_uri = "{registry.address}"\nname = "credit"\nchallenger = "challenger"\npoll_seconds = 0.1\n'
        f'[listen]\nport = 0\n[access]\nkeys = "keys.toml"\nrate = "5000/minute"\n[records]\nfolder = "records"\n'
    )
    command = [sys.executable, "-X", "dev", "-m", "tests.serving.defective_service", str(tmp_path / "service.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    logged = bytearray()
    address = ""
    for line in process.stdout:
        logged += line
        if b"/v1/score" in line:
            address = line.split(b" on ")[1].split(b"/v1/")[0].decode()
            break
    assert address, logged.decode()
    reader = threading.Thread(target=lambda: logged.extend(process.stdout.read()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    yield Running(process, address, key, tmp_path / "records", logged)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    reader.join(5)


def scored(service: Running) -> None:
    """Answers that hold a score: PD and reasons may leave, values not."""
    body = {"request_id": "r-1", "customer_id": CUSTOMER, "applicant": SOUND}
    for headers in ({}, {"Idempotency-Key": SURNAME + "-key"}, {"Idempotency-Key": SURNAME + "-key"}):
        assert service.send("POST", "/v1/score", json=body, headers=headers).status_code == 200
    for name in (
        "Accept-Language",
        "User-Agent",
        "Referer",
        "X-Request-Id",
        "X-Forwarded-For",
        "Cookie",
        "Traceparent",
    ):
        assert service.send("POST", "/v1/score", json=body, headers={name: SURNAME}).status_code == 200
    assert service.send("POST", f"/v1/score?name={SURNAME}", json=body).status_code == 200
    mixed = [body, *({"applicant": applicant} for applicant in REFUSED)]
    assert service.send("POST", "/v1/score:batch", json=mixed, headers={"Idempotency-Key": SURNAME}).status_code == 200
    lines = b"\n".join(json.dumps(entry).encode() for entry in mixed) + b"\n" + SURNAME.encode() * 20_000
    assert service.send("POST", "/v1/score:batch", content=lines, headers=NDJSON).status_code == 200
    tensors = [
        {"name": feature.name, "shape": [1], "datatype": kind, "data": [SOUND[feature.name]]}
        for feature, kind in zip(SCHEMA.features, ("FP64", "FP64", "BYTES", "INT64", "FP64"), strict=True)
    ]
    assert service.send("POST", PATHS[3], json={"inputs": tensors}).status_code == 200
    # What would change a score says what the value is now, to whoever sent it, and to nobody else.
    told = service.send("POST", "/v1/score:what-if", json={"applicant": SOUND, "features": ["free"]})
    assert str(int(NUMBER)) in told.text
    service.answers.pop()


NDJSON = {"Content-Type": "application/x-ndjson"}


def refused(service: Running) -> None:
    """Every way of being refused."""
    for path in PATHS:
        for applicant in REFUSED:
            service.send("POST", path, json={"applicant": applicant, "inputs": [applicant]})
            service.send("POST", path, json=applicant)
        service.send("POST", path, content=f'{{"applicant": {{"income": {NUMBER}, "{FIELD}"')
        service.send("POST", path, content=SURNAME, headers={"Content-Type": f"text/{SURNAME}"})
        service.send("POST", path, content=SURNAME.encode() * (1 << 20))
        service.send("POST", path, json=SURNAME, headers={"Content-Encoding": SURNAME})
        service.send("POST", path, json={}, key=f"rf_{SURNAME}")
        service.send("POST", path, json={}, headers={"Authorization": SURNAME})
        service.send("POST", path, json=SURNAME, headers={"Idempotency-Key": f"{SURNAME} {NUMBER}"})
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"):
            service.send(method, f"{path}?name={SURNAME}")
    body = {"applicant": {**SOUND, "income": 1}}
    service.send("POST", "/v1/score", json=body, headers={"Idempotency-Key": SURNAME + "-key"})
    service.send("POST", "/v1/score", json={**body, "model_version": SURNAME})
    service.send("POST", "/v1/score:what-if", json={**body, "features": [SURNAME]})
    for path in (
        f"/{SURNAME}",
        f"/v1/score/{SURNAME}",
        f"/v1/models/{SURNAME}",
        f"/v2/models/{SURNAME}",
        f"/page/{SURNAME}",
    ):
        service.send("GET", f"{path}?income={NUMBER}")
    for text in (f"{SURNAME} / HTTP/1.1\r\n\r\n", f"GET /{SURNAME} HTTP/1.1\r\nIncome {NUMBER}\r\n\r\n"):
        host, port = service.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(text.encode())
            service.answers.append(raw.recv(65536).decode())


def broken(service: Running, registry: RegistryServer) -> None:
    """A defect that quotes values, a registry that is gone, a disk that is full."""
    for path, body in (
        ("/v1/score", {"applicant": DEFECT}),
        ("/v1/score:batch", [{"applicant": DEFECT}]),
        ("/v1/score:what-if", {"applicant": DEFECT}),
    ):
        assert service.send("POST", path, json=body).status_code == 500
    service.send("POST", "/v1/score:batch", content=json.dumps({"applicant": DEFECT}), headers=NDJSON)
    registry.stop()
    deadline = time.monotonic() + 20
    while service.send("GET", "/readyz").json()["status"] == "ready":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    scored(service)
    # From now on no file of the process may grow: the audit log's, the store of answers'.
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (1, 1))
    for path, body in (("/v1/score", {"applicant": SOUND}), ("/v1/score:batch", [{"applicant": SOUND}])):
        for headers in ({}, {"Idempotency-Key": f"{SURNAME}-other"}):
            assert service.send("POST", path, json=body, headers=headers).status_code == 503


@pytest.mark.slow
def test_no_value_is_found_anywhere(service: Running, registry: RegistryServer) -> None:
    scored(service)
    refused(service)
    broken(service, registry)
    metrics = service.send("GET", "/metrics").text
    assert 'riskfed_problems_total{problem="internal-server-error",status="500"}' in metrics
    assert {200, 400, 401, 404, 405, 413, 415, 422, 500, 503} <= set(service.statuses)
    told = "".join(service.answers).encode()
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(20)
    kept = {path.name: path.read_bytes() for path in service.records.rglob("*") if path.is_file()}
    time.sleep(0.2)
    places = {"answers": told, "output": bytes(service.logged), **kept}
    found = [(name, mark) for name, content in places.items() for mark in MARKS if mark in content]
    assert found == []
    # The marks would have been found, had they been there: what is looked through is what was written.
    assert b"TypeError at defective_service.py" in places["output"]
    assert b"DEBUG" in places["output"]
    assert any(b"points_lost" in content for content in kept.values())
    events = {line["event"] for line in read_audit(service.records / "audit")}
    assert {"started", "model", "score", "shadow", "what_if"} <= events
