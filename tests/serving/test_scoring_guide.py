"""docs/scoring.md tells all of what there is: every setting with its default, every route, metric and kind of problem."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from riskfed.serving.access.gate import Gate
from riskfed.serving.api.app import create_app
from riskfed.serving.api.metrics import ServiceMetrics
from riskfed.serving.api.problems import KINDS
from riskfed.serving.api.service import Service
from riskfed.serving.configuration import ServingSettings
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.live import LiveModels
from riskfed.serving.models.shadow import Shadow
from tests.serving.models import make_release

GUIDE = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text()
(FILE,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
EXAMPLES = {("model", "tracking_uri"), ("model", "name")}


def nested(kind: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section that a key is, if it is one; one that may be left out too."""
    annotation = kind.model_fields[key].annotation
    kinds = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, BaseModel)]
    return kinds[0] if kinds else None


def settings(kind: type[BaseModel], *section: str) -> dict[tuple[str, ...], Any]:
    """Place of every setting -> its default."""
    found: dict[tuple[str, ...], Any] = {}
    for key, field in kind.model_fields.items():
        inner = nested(kind, key)
        if inner is not None:
            found.update(settings(inner, *section, key))
        elif (*section, key) not in ServingSettings.secrets:
            found[*section, key] = None if field.is_required() else field.get_default(call_default_factory=True)
    return found


def values(table: dict[str, Any], *section: str) -> dict[tuple[str, ...], Any]:
    """Place of every key of a TOML table -> its value."""
    found: dict[tuple[str, ...], Any] = {}
    for key, listed in table.items():
        value = listed[0] if isinstance(listed, list) and isinstance(listed[0], dict) else listed
        found.update(values(value, *section, key) if isinstance(value, dict) else {(*section, key): value})
    return found


def test_the_service_file_of_the_guide_has_every_key_and_its_default() -> None:
    told = values(tomllib.loads(re.sub(r"(?m)^# (?=\w+ = |\[)", "", FILE)))
    defaults = settings(ServingSettings)
    assert set(told) == set(defaults)
    for place, default in defaults.items():
        if default is not None and place not in EXAMPLES:
            assert default == (Path(told[place]) if isinstance(default, Path) else told[place]), place
    for section, key in ServingSettings.secrets:
        assert f"`RISKFED_SERVING__{section.upper()}__{key.upper()}`" in GUIDE


def test_it_can_be_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "scoring.toml").write_text(FILE)
    assert ServingSettings.read(tmp_path / "scoring.toml").access.is_open
    for place, value in values(tomllib.loads(FILE)).items():
        assert settings(ServingSettings)[place] is not None or place in EXAMPLES, (
            f"{place} is {value} only if set: put # before it"
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("model")
    (folder / "release.json").write_bytes(make_release().to_bytes())
    live = LiveModels(ModelFolder(folder))
    live.start()
    return Service(live=live, gate=Gate(), shadow=Shadow(live, lambda *_: None))


def test_every_metric_is_told(service: Service) -> None:
    metrics = ServiceMetrics()
    metrics.watch(service.live, service.shadow)
    names = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in metrics.registry.collect()
        if metric.name.startswith("riskfed_")
    }
    assert len(names) > 15
    told = set(re.findall(r"riskfed_[a-z_]+[a-z]", GUIDE))
    assert names - told == set()
    assert {name.removesuffix("_bucket") for name in told if name != "riskfed_request_seconds_bucket"} <= names


def test_every_route_and_kind_of_problem_is_told(service: Service) -> None:
    for path in create_app(service, poll_seconds=None).openapi()["paths"]:
        told = "/v2/models/" if path.startswith("/v2/models/") else path
        assert told in GUIDE or path == "/v2", path
    for kind in KINDS:
        assert f":{kind}`" in GUIDE, kind
