"""/healthz, /readyz, /metrics; what-if; and what the app does at its beginning and end."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from riskfed.errors import AuditError, RegistryError
from riskfed.serving.api.messages import Readiness, WhatIfAnswer
from riskfed.serving.api.metrics import ServiceMetrics
from riskfed.serving.api.service import change_recorder
from riskfed.serving.engine.what_if import alternatives
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.live import LiveModels
from riskfed.serving.models.shadow import Shadow
from riskfed.serving.records.audit import AuditLog, read_audit
from tests.serving.api.client import OTHER, SOUND, Api, put
from tests.serving.models import make_release


def test_alive_before_ready(tmp_path: Path) -> None:
    api = Api(tmp_path, start=False)
    assert api("GET", "/healthz").json() == {"status": "ok"}
    assert api("GET", "/v2/health/live").json() == {"live": True}
    for path in ("/readyz", "/v2/health/ready"):
        assert api("GET", path).status_code == 503
    api.close()


def test_ready_and_ready_with_problems(api: Api) -> None:
    ready = api("GET", "/readyz").json()
    Readiness.model_validate(ready)
    assert (ready["status"], ready["problem"], ready["model"]["version"]) == ("ready", None, api.engine.model.version)
    (api.model_folder / "release.json").write_text("{}")
    with pytest.raises(RegistryError):
        api.live.refresh()
    troubled = api("GET", "/readyz")
    assert (troubled.status_code, troubled.json()["status"]) == (200, "ready_with_problems")
    assert "release.json" in troubled.json()["problem"]
    assert "riskfed_registry_up 0.0" in api("GET", "/metrics").text


def value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_metrics_count_what_was_answered(api: Api) -> None:
    api.score(applicant=SOUND)
    api("POST", "/v1/score:batch", json=[{"applicant": SOUND}, {"applicant": {}}])
    api.score(applicant={})
    api("GET", "/no/such/path")
    text = api("GET", "/metrics").text
    version = api.engine.model.version
    assert value(text, 'riskfed_requests_total{route="/v1/score",status="2xx"}') == 1
    assert value(text, 'riskfed_requests_total{route="/v1/score",status="4xx"}') == 1
    assert value(text, 'riskfed_requests_total{route="none",status="4xx"}') == 1
    assert value(text, f'riskfed_applicants_total{{model="test-loans",version="{version}"}}') == 2
    assert value(text, 'riskfed_problems_total{problem="invalid-applicant",status="422"}') == 2
    assert value(text, "riskfed_audit_lines_total") == 2
    assert value(text, 'riskfed_request_seconds_count{route="/v1/score"}') == 2
    assert f'role="champion",sha256="{api.engine.sha256}",version="{version}"' in text
    assert value(text, "riskfed_ready") == 1
    assert "no/such" not in text


class Fixed:
    """A source that always names the same model, under its own alias."""

    def __init__(self, folder: Path, alias: str) -> None:
        self._folder = ModelFolder(folder)
        self.identity = f"{alias} of {folder}"

    def resolve(self) -> Any:
        return self._folder.resolve()

    def download(self, reference: Any) -> Any:
        return self._folder.download(reference)


def test_a_challenger_scores_in_the_shadow_and_is_never_answered_with(tmp_path: Path) -> None:
    for name, trees in (("champion", 20), ("challenger", 40)):
        put(tmp_path / name, make_release(trees))
    audit, metrics = AuditLog(tmp_path / "audit"), ServiceMetrics()
    live = LiveModels(
        ModelFolder(tmp_path / "champion"),
        challenger=Fixed(tmp_path / "challenger", "challenger"),
        on_change=change_recorder(audit, metrics),
    )
    live.start()
    api = Api(tmp_path / "api", start=False, audit=audit, metrics=metrics)
    object.__setattr__(api.service, "live", live)
    shadow = Shadow(live, audit.record_many)
    object.__setattr__(api.service, "shadow", shadow)
    metrics.watch(live, shadow)

    async def both() -> None:
        running = asyncio.create_task(shadow.run())
        async with asyncio.timeout(20):
            while shadow.comparison().scored < 3:
                await asyncio.sleep(0.01)
        running.cancel()

    answers = [api.score(applicant=SOUND).json()]
    answers += api("POST", "/v1/score:batch", json=[{"applicant": OTHER}] * 2).json()
    asyncio.run(both())
    assert live.champion is not None
    assert {answer["model"]["sha256"] for answer in answers} == {live.champion.sha256}
    audit.close()
    lines = [line for line in read_audit(tmp_path / "audit") if line["event"] == "shadow"]
    assert live.challenger is not None
    assert {line["sha256"] for line in lines} == {live.challenger.sha256}
    assert [line["request_id"] for line in lines] == [answer["request_id"] for answer in answers]
    changes = [line["kind"] for line in read_audit(tmp_path / "audit") if line["event"] == "model"]
    assert changes == ["champion", "challenger"]
    assert value(metrics.text().decode(), "riskfed_shadow_scored") == 3


def test_what_if_tells_what_the_engine_finds(api: Api) -> None:
    body = {"applicant": SOUND, "features": ["late payments", "income", "late payments"]}
    answer = api("POST", "/v1/score:what-if", json=body)
    assert answer.status_code == 200
    told = answer.json()
    WhatIfAnswer.model_validate(told)
    expected = alternatives(api.engine, SOUND, ["late payments", "income"])
    assert [(one["feature"], one["best"], one["best_points"], one["nearest"]) for one in told["alternatives"]] == [
        (one.feature, one.best, one.best_points, one.nearest) for one in expected
    ]
    assert told["alternatives"][0]["curve"] == [list(point) for point in expected[0].curve]
    assert told["score"] == api.engine.score(SOUND).points
    best = {**SOUND, "late payments": told["alternatives"][0]["best"]}
    assert api.score(applicant=best).json()["score"] == told["alternatives"][0]["best_points"]
    by_default = api("POST", "/v1/score:what-if", json={"applicant": SOUND}).json()["alternatives"]
    assert {one["feature"] for one in by_default} <= {reason.feature for reason in api.engine.score(SOUND).reasons}
    (line, _) = api.audited("what_if")
    assert (line["request_id"], line["score"], line["pd"]) == (told["request_id"], told["score"], told["pd"])
    assert "late payments" not in json.dumps(line)


def test_a_life_is_audited_from_start_to_stop_and_leaves_everything_closed(api: Api) -> None:
    async def live() -> None:
        async with api.app.router.lifespan_context(api.app):
            await asyncio.sleep(0)

    asyncio.run(live())
    assert [line["event"] for line in read_audit(api.audit_folder)] == ["started", "stopped"]
    assert api.service.audit is not None
    with pytest.raises(AuditError, match="closed"):
        api.service.audit.record("score")
