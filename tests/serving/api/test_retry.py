"""Idempotency-Key: a retry gets the first answer, byte by byte, and leaves its own audit line."""

import json
from typing import Any

import httpx
import pytest

from riskfed.serving.access.client import Client
from riskfed.serving.access.gate import Gate
from tests.serving.api.client import OTHER, SOUND, Api, put
from tests.serving.models import make_release

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
BATCH = "/v1/score:batch"


def send(api: Api, body: Any, key: str = KEY, path: str = "/v1/score", **headers: str) -> httpx.Response:
    return api("POST", path, json=body, headers={"Idempotency-Key": key, **headers})


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/score", {"applicant": SOUND}), (BATCH, [{"applicant": SOUND}, {"applicant": {}}, {"applicant": OTHER}])],
)
def test_a_retry_gets_the_first_answer_even_of_a_model_that_was_replaced(api: Api, path: str, body: Any) -> None:
    first = send(api, body, path=path)
    assert first.status_code == 200
    assert "idempotency-replayed" not in first.headers
    lines = len(api.audited())
    put(api.model_folder, make_release(40))
    api.live.refresh()
    again = send(api, body, path=path)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    for name in ("x-request-id", "content-language", "vary", "content-type"):
        assert again.headers[name] == first.headers[name]
    told = [{**line, "sequence": 0, "previous": "", "hash": "", "at": "", "time": ""} for line in api.audited()]
    before, after = told[:lines], told[lines:]
    assert [line.pop("replayed") for line in after] == [True] * lines
    assert after == before
    assert "riskfed_idempotent_replays_total 1.0" in api("GET", "/metrics").text


def test_a_key_is_good_for_one_body(api: Api) -> None:
    assert send(api, {"applicant": SOUND}).status_code == 200
    reused = send(api, {"applicant": OTHER})
    assert (reused.status_code, reused.json()["type"]) == (422, "urn:riskfed:problem:idempotency-key-reused")
    # Another route, or another key, has its own answers.
    assert send(api, [{"applicant": OTHER}], path=BATCH).status_code == 200
    assert send(api, {"applicant": OTHER}, key="another").status_code == 200


def test_a_refused_request_may_be_mended_under_its_key(api: Api) -> None:
    assert send(api, {"applicant": {}}).status_code == 422
    assert send(api, {"applicant": SOUND}).status_code == 200


def test_requests_at_once_get_one_answer(api: Api) -> None:
    request = ("POST", "/v1/score", {"json": {"applicant": SOUND}, "headers": {"Idempotency-Key": KEY}})
    answers = api.together(*[request] * 8)
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 1
    assert len(api.audited()) == 8


class Named(Gate):
    """Takes the client's word for its name."""

    async def admit(self, scope: Any, needed: Any, cost: int = 1) -> Client:
        names = [value for name, value in scope["headers"] if name == b"x-name"]
        return Client(names[0].decode(), frozenset(["score"]), "api_key")


def test_clients_do_not_reach_each_others_answers(tmp_path: Any) -> None:
    api = Api(tmp_path, gate=Named())
    ours, theirs = (send(api, {"applicant": SOUND}, **{"X-Name": name}) for name in ("ours", "theirs"))
    assert ours.json()["request_id"] != theirs.json()["request_id"]
    assert "idempotency-replayed" not in theirs.headers
    assert [line["client"] for line in api.audited()] == ["ours", "theirs"]
    api.close()


def test_a_stream_takes_no_key_and_a_service_without_a_store_none_at_all(api: Api, tmp_path: Any) -> None:
    headers = {"Idempotency-Key": KEY, "Content-Type": "application/x-ndjson"}
    assert api("POST", BATCH, content=json.dumps({"applicant": SOUND}), headers=headers).status_code == 400
    without = Api(tmp_path / "without", idempotency=None)
    assert send(without, {"applicant": SOUND}).status_code == 400
    assert without.score(applicant=SOUND).status_code == 200
    without.close()


def test_the_store_holds_neither_key_nor_applicant(api: Api, tmp_path: Any) -> None:
    assert send(api, {"applicant": {**SOUND, "free": 31415.926}}).status_code == 200
    held = b"".join(path.read_bytes() for path in tmp_path.glob("answers.db*"))
    assert b"points_lost" in held
    assert KEY.encode() not in held
    assert b"31415.926" not in held
