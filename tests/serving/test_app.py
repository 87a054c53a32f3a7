"""The scoring API over HTTP semantics, in process: answers, problems, swaps; and nobody's value in any error."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import RegistryError
from riskfed.protocols.release import ModelRelease
from riskfed.serving.app import create_app
from riskfed.serving.engine import ScoringEngine
from riskfed.serving.live import LiveModel
from riskfed.serving.registry_client import ModelFolder
from tests.serving.models import make_release

SECRET = "31415926"
SOUND = {"income": 30_000, "balance/limit": 0.5, "late payments": "one", "region": 3, "free": None}


class Api:
    """Calls the app without a network."""

    def __init__(self, folder: Path) -> None:
        self.live = LiveModel(ModelFolder(folder))
        self.app = create_app(self.live, poll_seconds=None)

    def __call__(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(call())

    def score(self, **body: Any) -> httpx.Response:
        return self("POST", "/v1/score", json=body)


def put(folder: Path, release: ModelRelease) -> None:
    (folder / "release.json").write_bytes(release.to_bytes())


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    put(tmp_path, make_release())
    api = Api(tmp_path)
    api.live.refresh()
    return api


def test_scores(api: Api) -> None:
    answer = api.score(request_id="r-1", applicant=SOUND)
    assert answer.status_code == 200
    engine = api.live.engine
    assert engine is not None
    expected = engine.score(SOUND)
    assert answer.json() == {
        "request_id": "r-1",
        "pd": expected.pd,
        "score": expected.points,
        "score_range": [300, 850],
        "model": {"name": "test-loans", "version": engine.sha256[:12], "alias": None, "sha256": engine.sha256},
    }
    assert answer.headers["cache-control"] == "no-store"


def test_makes_up_a_request_id(api: Api) -> None:
    first, second = (api.score(applicant=SOUND).json()["request_id"] for _ in range(2))
    assert first != second


def test_health(api: Api, tmp_path: Path) -> None:
    assert api("GET", "/healthz").json() == {"status": "ok"}
    assert api("GET", "/readyz").json()["model"]["name"] == "test-loans"
    waiting = Api(tmp_path)
    assert waiting("GET", "/healthz").status_code == 200
    for answer in (waiting("GET", "/readyz"), waiting.score(applicant=SOUND)):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"


def test_points_at_every_wrong_field(api: Api) -> None:
    answer = api.score(applicant={"balance/limit": 77, "late payments": "x", "region": None, "colour~": 1}, extra=1)
    assert {error["pointer"]: error["code"] for error in answer.json()["errors"]} == {"#/extra": "unknown"}
    answer = api.score(applicant={"balance/limit": 77, "late payments": "x", "region": None, "colour~": 1})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (422, "urn:riskfed:problem:invalid-applicant")
    assert {error["pointer"]: error["code"] for error in problem["errors"]} == {
        "#/applicant/colour~0": "unknown",
        "#/applicant/income": "missing",
        "#/applicant/balance~1limit": "out_of_range",
        "#/applicant/late%20payments": "unknown_level",
    }


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + SECRET.encode()}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + SECRET.encode() + b"x}}"}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": "\xff' + SECRET.encode() + b'"}}'}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": "\\ud800' + SECRET.encode() + b'"}}'}, 400),
        ("POST", "/v1/score", {"content": b"[" * 60_000 + SECRET.encode()}, 400),
        ("POST", "/v1/score", {"content": b""}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + SECRET.encode() * 200 + b"}}"}, 422),
        ("POST", "/v1/score", {"content": b'{"applicant": {"income": ' + SECRET.encode() * 2000 + b"}}"}, 400),
        ("POST", "/v1/score", {"content": b'{"applicant": {"free": NaN, "income": "' + SECRET.encode() + b'"}}'}, 422),
        ("POST", "/v1/score", {"json": SECRET}, 422),
        ("POST", "/v1/score", {"json": [SECRET]}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SECRET}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SOUND, "request_id": SECRET + "\n"}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": SOUND, "request_id": int(SECRET)}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "income": int(SECRET)}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "region": int(SECRET)}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "late payments": SECRET}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "free": {SECRET: [SECRET]}}}}, 422),
        ("POST", "/v1/score", {"json": {"applicant": {**SOUND, "income": None, "note": SECRET}}}, 422),
        ("POST", "/v1/score", {"content": SECRET.encode() * 10_000}, 413),
        ("POST", "/v1/score", {"content": f"income={SECRET}", "headers": {"content-type": "text/plain"}}, 415),
        ("POST", f"/v1/score/{SECRET}", {"json": {}}, 404),
        ("POST", f"/v1/score/?income={SECRET}", {"json": {}}, 404),
        ("GET", f"/v1/score?income={SECRET}", {}, 405),
        ("PUT", "/v1/score", {"json": {"applicant": {"income": SECRET}}}, 405),
        ("GET", f"/docs?{SECRET}", {}, 404),
    ],
)
def test_no_error_gives_a_value_back(
    api: Api, caplog: pytest.LogCaptureFixture, method: str, path: str, arguments: dict[str, Any], status: int
) -> None:
    with caplog.at_level(logging.DEBUG, logger="riskfed"):
        answer = api(method, path, **arguments)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert SECRET not in answer.text + str(answer.headers) + caplog.text
    assert status != 405 or answer.headers["allow"] == "POST"


def test_a_defect_is_told_by_its_kind_alone(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(f"could not convert {SECRET}")

    monkeypatch.setattr(ScoringEngine, "score", fail)
    with caplog.at_level(logging.DEBUG):
        answer = api.score(applicant=SOUND)
    assert answer.status_code == 500
    assert SECRET not in answer.text + caplog.text
    assert "ValueError" in caplog.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    body=json_values | st.fixed_dictionaries({"applicant": st.dictionaries(st.sampled_from(list(SOUND)), json_values)})
)
def test_any_json_gets_a_score_or_a_problem(tmp_path_factory: pytest.TempPathFactory, body: Any) -> None:
    folder = tmp_path_factory.mktemp("model")
    put(folder, make_release(3))
    api = Api(folder)
    api.live.refresh()
    answer = api("POST", "/v1/score", content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 422)
    assert answer.status_code == 200 or answer.headers["content-type"] == "application/problem+json"


def test_openapi_has_the_schema_and_an_example_that_scores(api: Api) -> None:
    document = api("GET", "/openapi.json").json()
    body = document["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["applicant"]["properties"]["late payments"]["enum"] == ["none", "one", "many"]
    assert api.score(**body["example"]).status_code == 200


def test_a_new_model_takes_over_and_a_broken_one_does_not(api: Api, tmp_path: Path) -> None:
    before = api.score(applicant=SOUND).json()
    assert not api.live.refresh()
    put(tmp_path, make_release(40))
    assert api.live.refresh()
    after = api.score(applicant=SOUND).json()
    assert after["model"]["sha256"] != before["model"]["sha256"]
    assert after["pd"] != before["pd"]
    (tmp_path / "release.json").write_text("{}")
    with pytest.raises(RegistryError):
        api.live.refresh()
    assert api.score(applicant=SOUND).json()["pd"] == after["pd"]


def test_following_survives_a_source_that_fails(tmp_path: Path) -> None:
    put(tmp_path, make_release())
    live = LiveModel(ModelFolder(tmp_path))
    live.refresh()
    sound = live.engine

    async def follow() -> None:
        following = asyncio.create_task(live.follow(0.01))
        (tmp_path / "release.json").unlink()
        await asyncio.sleep(0.1)
        assert live.engine is sound
        put(tmp_path, make_release(40))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if live.engine is not sound:
                break
        following.cancel()

    asyncio.run(follow())
    assert live.engine is not sound
