"""A joint model behind the API: a partner's part where it comes in time, else the stated fallback, one by one and in a batch."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from riskfed.serving.api.messages import ScoreAnswer
from riskfed.serving.engine.joint import JointEngine, PartnerError, UnknownCustomerError
from riskfed.serving.models.live import LiveModels
from tests.serving.api.client import SOUND, Api, lines_of
from tests.serving.engines import engine_for
from tests.serving.models import SCHEMA, make_release
from tests.serving.test_joint import joint_model

KNOWN, STRANGE, SLOW, BROKEN = "customer-1", "customer-2", "customer-3", "customer-4"
EXPECTED = {
    KNOWN: None,
    STRANGE: "unknown_customer",
    SLOW: "deadline",
    BROKEN: "partner_unavailable",
    None: "no_customer",
}


class Partner:
    async def columns(self, model_sha256: str, customer_id: str) -> np.ndarray:
        if customer_id == STRANGE:
            raise UnknownCustomerError("unknown")
        if customer_id == BROKEN:
            raise PartnerError("refused")
        if customer_id == SLOW:
            await asyncio.sleep(60)
        return np.array([1, 0, 1], dtype=np.float32)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    engine = JointEngine(joint_model(), engine_for(make_release().model, SCHEMA), Partner())
    monkeypatch.setattr(LiveModels, "champion", property(lambda _: engine))
    api = Api(tmp_path, joint_deadline=0.3)
    yield api
    api.close()


def body(customer: str | None) -> dict[str, Any]:
    return {"applicant": SOUND, **({"customer_id": customer} if customer else {})}


def test_the_answer_says_what_is_missing_and_so_does_its_line(api: Api) -> None:
    answers = {customer: api.score(**body(customer)).json() for customer in EXPECTED}
    assert {customer: answer.get("fallback") for customer, answer in answers.items()} == EXPECTED
    assert "fallback" not in answers[KNOWN]
    for answer in answers.values():
        ScoreAnswer.model_validate(answer)
    fallbacks = {answer["pd"] for customer, answer in answers.items() if customer != KNOWN}
    assert len(fallbacks) == 1
    assert answers[KNOWN]["pd"] not in fallbacks
    lines = api.audited()
    assert [line.get("fallback") for line in lines] == list(EXPECTED.values())
    assert "customer-" not in json.dumps(lines)
    assert 'riskfed_fallbacks_total{reason="deadline"} 1.0' in api("GET", "/metrics").text


def test_in_a_batch_all_customers_are_asked_for_at_once(api: Api) -> None:
    requests = [body(customer) for customer in EXPECTED] + [body(SLOW)] * 20
    expected = [*EXPECTED.values(), *["deadline"] * 20]
    array = api("POST", "/v1/score:batch", json=requests).json()
    assert [one.get("fallback") for one in array] == expected
    stream = lines_of(api.stream(b"\n".join(json.dumps(request).encode() for request in requests)))
    assert [one.get("fallback") for one in stream] == expected
    assert [one["pd"] for one in stream] == [one["pd"] for one in array]
