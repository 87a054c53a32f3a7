"""POST /v1/score: answers, languages, versions, swaps of the model."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import RegistryError
from riskfed.serving.api.messages import ScoreAnswer
from riskfed.serving.engine.reason_texts import ReasonOverlay
from tests.serving.api.client import OTHER, SOUND, Api, put
from tests.serving.models import make_release


def test_scores_with_reasons(api: Api) -> None:
    answer = api.score(request_id="r-1", applicant=SOUND)
    assert answer.status_code == 200
    expected = api.engine.score(SOUND)
    assert expected.reasons
    texts = {feature.name: feature.description or feature.name for feature in api.engine.schema.features}
    assert answer.json() == {
        "request_id": "r-1",
        "pd": expected.pd,
        "score": expected.points,
        "score_range": [300, 850],
        "reasons": [
            {
                "code": reason.code,
                "text": texts[reason.feature],
                "feature": reason.feature,
                "rank": rank,
                "points_lost": reason.points_lost,
            }
            for rank, reason in enumerate(expected.reasons, 1)
        ],
        "model": {
            "name": "test-loans",
            "version": api.engine.sha256[:12],
            "alias": None,
            "sha256": api.engine.sha256,
        },
    }
    ScoreAnswer.model_validate_json(answer.content, strict=False)


def test_every_answer_has_its_line_without_features(api: Api) -> None:
    answer = api.score(request_id="r-1", customer_id="customer-4711", applicant=SOUND).json()
    (line,) = api.audited()
    told = ("client", "request_id", "score", "pd", "reasons", "model", "version", "alias", "sha256")
    assert {name: line[name] for name in told} == {
        "client": "anonymous",
        "request_id": "r-1",
        "score": answer["score"],
        "pd": answer["pd"],
        "reasons": [reason["code"] for reason in answer["reasons"]],
        "model": "test-loans",
        "version": api.engine.sha256[:12],
        "alias": None,
        "sha256": api.engine.sha256,
    }
    assert "4711" not in str(line)
    assert api.score(applicant={}).status_code == 422
    assert len(api.audited()) == 1


def test_every_answer_carries_the_request_id_and_may_not_be_kept_or_framed(api: Api) -> None:
    named = api.score(request_id="r-1", applicant=SOUND)
    assert named.headers["x-request-id"] == "r-1"
    refused = api.score(request_id="r-2", applicant={})
    assert (refused.status_code, refused.headers["x-request-id"]) == (422, "r-2")
    first, second = (api.score(applicant=SOUND) for _ in range(2))
    assert first.json()["request_id"] == first.headers["x-request-id"] != second.json()["request_id"]
    for answer in (named, refused, api("GET", "/healthz"), api("GET", "/nowhere"), api("GET", "/v1/score")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", answer.headers["x-request-id"])
        assert "server" not in answer.headers


def test_strict_transport_security_over_tls_alone(api: Api) -> None:
    assert "strict-transport-security" not in api("GET", "/healthz").headers
    assert "strict-transport-security" in api("GET", "https://api/healthz").headers


def test_reasons_in_the_language_that_is_asked_for(tmp_path: Path) -> None:
    german = {"de": {"late payments": "Zahlungsverzug"}, "en": {"late payments": "Late payments"}}
    api = Api(tmp_path, texts=ReasonOverlay(german))
    told = {}
    for asked in ("de-AT,en;q=0.5", "en", "fr"):
        answer = api("POST", "/v1/score", json={"applicant": SOUND}, headers={"Accept-Language": asked})
        text = next(one["text"] for one in answer.json()["reasons"] if one["feature"] == "late payments")
        told[asked] = (answer.headers["content-language"], text)
        assert answer.headers["vary"] == "Accept-Language"
    assert told == {
        "de-AT,en;q=0.5": ("de", "Zahlungsverzug"),
        "en": ("en", "Late payments"),
        "fr": ("en", "Late payments"),
    }
    api.close()


def test_a_former_version_can_be_asked_for_and_an_unknown_one_is_not_served(api: Api) -> None:
    before = api.score(applicant=SOUND).json()
    put(api.model_folder, make_release(40))
    assert api.live.refresh()
    pinned = api.score(applicant=SOUND, model_version=before["model"]["version"]).json()
    assert {**pinned, "request_id": ""} == {**before, "request_id": ""}
    assert api.score(applicant=SOUND).json()["pd"] != before["pd"]
    answer = api.score(applicant=SOUND, model_version="31415926")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:riskfed:problem:version-not-served")
    assert before["model"]["version"] in answer.json()["detail"]
    assert "31415926" not in answer.text


def test_no_model_yet(tmp_path: Path) -> None:
    api = Api(tmp_path, start=False)
    for path, arguments in (
        ("/v1/score", {"json": {"applicant": SOUND}}),
        ("/v1/score", {"json": {"applicant": SOUND, "model_version": "1"}}),
        ("/v1/score:batch", {"json": [{"applicant": SOUND}]}),
        ("/v1/score:batch", {"content": b"{}", "headers": {"content-type": "application/x-ndjson"}}),
        ("/v1/score:what-if", {"json": {"applicant": SOUND}}),
    ):
        answer = api("POST", path, **arguments)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert answer.headers["retry-after"] == "15"
    api.close()


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return Api(tmp_path_factory.mktemp("api"))


@given(
    path=st.sampled_from(["/v1/score", "/v1/score:what-if", "/v1/score:batch", "/v2/models/test-loans/infer"]),
    body=json_values | st.fixed_dictionaries({"applicant": st.dictionaries(st.sampled_from(list(SOUND)), json_values)}),
)
def test_any_json_gets_an_answer_or_a_problem(shared: Api, path: str, body: Any) -> None:
    answer = shared("POST", path, content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 422)
    assert answer.status_code == 200 or path.startswith("/v2") or "problem" in answer.headers["content-type"]


def test_a_new_model_takes_over_and_a_broken_one_does_not(api: Api) -> None:
    before = api.score(applicant=SOUND).json()
    assert not api.live.refresh()
    put(api.model_folder, make_release(40))
    assert api.live.refresh()
    after = api.score(applicant=SOUND).json()
    assert after["model"]["sha256"] != before["model"]["sha256"]
    assert after["pd"] != before["pd"]
    (api.model_folder / "release.json").write_text("{}")
    with pytest.raises(RegistryError):
        api.live.refresh()
    assert api.score(applicant=SOUND).json()["pd"] == after["pd"]
    assert api.score(applicant=OTHER).json()["pd"] < after["pd"]
