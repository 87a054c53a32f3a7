"""What goes wrong: always a problem, never a value, and never an answer without its audit line."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from riskfed.errors import AuditError, IdempotencyError
from riskfed.serving.access.client import AccessError, Client, Scope
from riskfed.serving.access.gate import Gate
from riskfed.serving.api.service import BodyLimits
from riskfed.serving.engine.applicant import ApplicantForm
from riskfed.serving.records.idempotency import StoredAnswer
from tests.serving.api.client import SOUND, Api

SECRET = "31415926"
NUMBER = SECRET.encode()
INFER = "/v2/models/test-loans/infer"


def tensor(**fields: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "income", "shape": [1], "datatype": "FP64", "data": [1], **fields}]}


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + NUMBER}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + NUMBER + b"x}}"}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": "\xff' + NUMBER + b'"}}'}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": "\\ud800' + NUMBER + b'"}}'}, 400),
        ("POST", "/v1/score", {"content": b"[" * 60_000 + NUMBER}, 400),
        ("POST", "/v1/score", {"content": b""}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + NUMBER * 200 + b"}}"}, 422),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + NUMBER * 2000 + b"}}"}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"free": NaN, "income": "' + NUMBER + b'"}}'}, 422),
        ("POST", "/v1/score", {"json": SECRET}, 422),
        ("POST", "/v1/score", {"json": [SECRET]}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SECRET}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SOUND, "request_id": SECRET + "\n"}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SOUND, "request_id": int(SECRET)}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SOUND, "customer_id": SECRET * 20}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SOUND, "model_version": SECRET}}, 404),
        ("POST", "/v1/score", {"json": {"applicant": SOUND, "model_version": SECRET + " "}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "income": int(SECRET)}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "region": int(SECRET)}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "late payments": SECRET}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "free": {SECRET: [SECRET]}}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "income": None, "note": SECRET}}}, 422),
        ("POST", "/v1/score", {"content": NUMBER * 10_000}, 413),
        ("POST", "/v1/score", {"content": f"income={SECRET}", "headers": {"content-type": "text/plain"}}, 415),
        ("POST", "/v1/score", {"content": NUMBER, "headers": {"content-encoding": "gzip"}}, 415),
        ("POST", "/v1/score", {"json": {}, "headers": {"idempotency-key": f"{SECRET} x"}}, 400),
        ("POST", "/v1/score", {"json": {}, "headers": {"idempotency-key": "x" * 256 + SECRET}}, 400),
        ("POST", "/v1/score:batch", {"content": b"[{" + NUMBER}, 400),
        ("POST", "/v1/score:batch", {"json": {"applicant": SECRET}}, 422),
        ("POST", "/v1/score:batch", {"content": b"[" + b"{}," * 10_000 + b"{}]"}, 413),
        ("POST", "/v1/score:batch", {"content": NUMBER * (1 << 20) + b"1"}, 413),
        ("POST", "/v1/score:batch", {"content": NUMBER, "headers": {"content-type": "text/csv"}}, 415),
        ("POST", "/v1/score:what-if", {"json": {"applicant": {**SOUND, "income": SECRET}}}, 422),
        ("POST", "/v1/score:what-if", {"json": {"applicant": SOUND, "features": ["income", SECRET]}}, 422),
        ("POST", f"/v1/score/{SECRET}", {"json": {}}, 404),
        ("POST", f"/v1/score/?income={SECRET}", {"json": {}}, 404),
        ("GET", f"/v1/score?income={SECRET}", {}, 405),
        ("PUT", "/v1/score", {"json": {"applicant": {"income": SECRET}}}, 405),
        ("GET", f"/v1/models/{SECRET}", {}, 404),
        ("GET", f"/docs?{SECRET}", {}, 404),
        ("GET", f"/v2/models/{SECRET}", {}, 404),
        ("GET", f"/v2/models/test-loans/versions/{SECRET}", {}, 404),
        ("GET", f"/v2/{SECRET}", {}, 404),
        ("POST", INFER, {"content": NUMBER + b"x"}, 400),
        ("POST", INFER, {"json": {"inputs": [{"name": SECRET}]}}, 422),
        ("POST", INFER, {"json": {"id": f"{SECRET} ", **tensor()}}, 422),
        ("POST", INFER, {"json": tensor(name=SECRET)}, 400),
        ("POST", INFER, {"json": tensor(datatype=SECRET)}, 400),
        ("POST", INFER, {"json": tensor(shape=[int(SECRET)])}, 400),
        ("POST", INFER, {"json": tensor(data=[int(SECRET)])}, 400),
        ("POST", INFER, {"json": tensor(data=[[int(SECRET), 1]])}, 400),
        ("POST", INFER, {"json": {**tensor(), "outputs": [{"name": SECRET}]}}, 400),
        ("POST", INFER, {"json": tensor(), "headers": {"inference-header-content-length": SECRET}}, 415),
    ],
)
def test_no_error_gives_a_value_back(
    api: Api, caplog: pytest.LogCaptureFixture, method: str, path: str, arguments: dict[str, Any], status: int
) -> None:
    with caplog.at_level(logging.DEBUG, logger="riskfed"):
        answer = api(method, path, **arguments)
    assert answer.status_code == status
    if path.startswith("/v2"):
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["error"]
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert SECRET not in answer.text + str(answer.headers) + caplog.text
    assert SECRET not in api("GET", "/metrics").text
    assert status != 405 or answer.headers["allow"] == "POST"
    assert api.audited() == []


def test_a_defect_is_told_by_its_kind_and_place_alone(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(f"could not convert {SECRET}")

    monkeypatch.setattr(ApplicantForm, "encode", fail)
    requests = (
        ("/v1/score", {"json": {"applicant": SOUND}}),
        ("/v1/score:batch", {"json": [{"applicant": SOUND}]}),
        (INFER, {"json": tensor()}),
    )
    for path, arguments in requests:
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            answer = api("POST", path, **arguments)
        assert answer.status_code == 500
        assert SECRET not in answer.text + caplog.text
        assert "ValueError at test_errors.py" in caplog.text


def test_what_cannot_be_recorded_does_not_leave(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise AuditError("cannot write the audit log (No space left on device); make room")

    monkeypatch.setattr(type(api.service.audit), "record_many", full)
    for path, body in (
        ("/v1/score", {"applicant": SOUND}),
        ("/v1/score:batch", [{"applicant": SOUND}]),
        ("/v1/score:what-if", {"applicant": SOUND}),
        (INFER, {"inputs": [{"name": "income", "shape": [1], "datatype": "FP64", "data": [1]}, LATE]}),
    ):
        answer = api("POST", path, json=body)
        assert answer.status_code == 503
        assert "pd" not in answer.json()
    stream = api.stream(json.dumps({"applicant": SOUND}).encode())
    (last,) = [json.loads(line) for line in stream.text.splitlines()]
    assert last["problem"]["status"] == 503
    assert "request_id" not in last


LATE = {"name": "late payments", "shape": [1], "datatype": "BYTES", "data": ["one"]}


class BrokenStore:
    """A store of answers whose database is gone."""

    async def get(self, key: str) -> StoredAnswer | None:
        raise IdempotencyError("the store of answers does not answer; its operator must act")

    async def put(self, key: str, answer: StoredAnswer) -> StoredAnswer:
        raise IdempotencyError("the store of answers does not answer; its operator must act")

    async def close(self) -> None:
        pass


def test_without_the_store_only_requests_with_a_key_fail(tmp_path: Path) -> None:
    api = Api(tmp_path, idempotency=BrokenStore())
    assert api.score(applicant=SOUND).status_code == 200
    with_key = api("POST", "/v1/score", json={"applicant": SOUND}, headers={"Idempotency-Key": "k"})
    assert (with_key.status_code, with_key.headers["content-type"]) == (503, "application/problem+json")
    assert len(api.audited()) == 1
    api.close()


class Refusing(Gate):
    """Lets nobody in."""

    def __init__(self, error: AccessError) -> None:
        super().__init__()
        self.error = error
        self.asked: list[Scope] = []

    async def admit(self, scope: Any, needed: Scope, cost: int = 1) -> Client:
        self.asked.append(needed)
        raise self.error


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", "/v1/score", "score"),
        ("POST", "/v1/score:batch", "score"),
        ("POST", "/v1/score:what-if", "score"),
        ("POST", INFER, "score"),
        ("POST", "/v2/models/nobody/infer", "score"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/1", "models"),
        ("GET", "/v2", "models"),
        ("GET", "/v2/models/test-loans", "models"),
        ("GET", "/v2/models/test-loans/versions/1", "models"),
        ("GET", "/metrics", "metrics"),
    ],
)
def test_nobody_gets_past_the_gate(tmp_path: Path, method: str, path: str, needed: Scope) -> None:
    refused = AccessError(401, "Not authenticated", "send a key", challenge='Bearer realm="riskfed"')
    limited = AccessError(429, "Too many requests", "wait", retry_after=7)
    for error, header in ((refused, ("www-authenticate", 'Bearer realm="riskfed"')), (limited, ("retry-after", "7"))):
        gate = Refusing(error)
        api = Api(tmp_path / str(error.status), gate=gate)
        # The body is not JSON: whoever is not let in does not learn even that.
        answer = api(method, path, content=b"{")
        assert (answer.status_code, gate.asked) == (error.status, [needed])
        assert answer.headers[header[0]] == header[1]
        assert error.detail in answer.text
        api.close()


def test_a_body_that_does_not_come_in_time(tmp_path: Path) -> None:
    api = Api(tmp_path, limits=BodyLimits(seconds=0.05))

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"applicant": '
        await asyncio.sleep(5)
        yield b"{}}"

    for path in ("/v1/score", "/v1/score:batch", "/v1/score:what-if", INFER):
        answer = api("POST", path, content=slowly(), headers={"content-type": "application/json"})
        assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    api.close()
