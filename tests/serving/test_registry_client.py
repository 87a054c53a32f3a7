"""Where models come from: what is asked of MLflow, and what is said when the answer is not a model."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.serving.registry_client import MlflowRegistry, ModelFolder
from tests.serving.models import SCHEMA, make_release

BOOSTER = make_release().model
VERSION = {
    "name": "credit",
    "version": "3",
    "source": "mlflow-artifacts:/1/models/m-1/artifacts",
    "tags": [{"key": "model_sha256", "value": hashlib.sha256(BOOSTER).hexdigest()}],
}


def answers(**changed: Any) -> dict[str, httpx.Response]:
    """What MLflow answers, by path."""
    model = "/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts"
    usual = {
        "/api/2.0/mlflow/registered-models/alias": httpx.Response(200, json={"model_version": VERSION}),
        "/api/2.0/mlflow/model-versions/get-download-uri": httpx.Response(
            200, json={"artifact_uri": VERSION["source"]}
        ),
        f"{model}/model.json": httpx.Response(200, content=BOOSTER),
        f"{model}/extra_files/schema.json": httpx.Response(200, json=SCHEMA.model_dump(mode="json")),
    }
    return {path: changed.get(path.rpartition("/")[2], answer) for path, answer in usual.items()}


def registry(table: dict[str, httpx.Response], seen: list[httpx.Request] | None = None) -> MlflowRegistry:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return table[request.url.path]

    made = MlflowRegistry("http://mlflow:5000/", "credit")
    made._client = httpx.Client(
        base_url="http://mlflow:5000", transport=httpx.MockTransport(answer), headers=made._client.headers
    )
    return made


def fetch(made: MlflowRegistry) -> None:
    made.download(made.resolve())


def test_resolves_the_alias_and_downloads_through_the_proxy() -> None:
    seen: list[httpx.Request] = []
    source = registry(answers(), seen)
    files = source.download(source.resolve())
    assert (files.model, files.schema) == (BOOSTER, SCHEMA)
    assert (files.reference.name, files.reference.version, files.reference.alias) == ("credit", "3", "champion")
    assert dict(seen[0].url.params) == {"name": "credit", "alias": "champion"}
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alias": httpx.Response(400, json={"message": "alias champion not found"})}, "alias champion not found"),
        ({"alias": httpx.Response(502, text="<html>")}, "answered 502"),
        ({"alias": httpx.Response(200, text="<html>")}, "does not answer like an MLflow server"),
        ({"alias": httpx.Response(200, json={"model_version": {"name": "credit"}})}, "no model version"),
        ({"alias": httpx.Response(302, headers={"location": "http://elsewhere"})}, "answered 302"),
        ({"get-download-uri": httpx.Response(200, json={"artifact_uri": "/srv/mlruns/1"})}, "--artifacts-destination"),
        ({"model.json": httpx.Response(404, json={"message": "No such artifact"})}, "No such artifact"),
        ({"model.json": httpx.Response(200, content=BOOSTER + b" ")}, "sha256"),
        (
            {"alias": httpx.Response(200, json={"model_version": {**VERSION, "tags": []}})},
            "the registry's tag says nothing",
        ),
        ({"schema.json": httpx.Response(200, json=[1])}, "no schema"),
        ({"schema.json": httpx.Response(200, json={"target": "y", "features": []})}, "no schema"),
    ],
)
def test_says_what_is_wrong(changed: dict[str, httpx.Response], message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        fetch(registry(answers(**changed)))


def test_an_address_that_does_not_answer() -> None:
    with pytest.raises(RegistryError, match="cannot be reached"):
        MlflowRegistry("http://127.0.0.1:9", "credit", timeout=2).resolve()


@pytest.mark.parametrize("address", ["sqlite:///mlflow.db", "mlruns", "http://user:secret@mlflow"])
def test_only_a_servers_address_without_credentials_will_do(address: str) -> None:
    with pytest.raises(ConfigurationError, match="without credentials") as refused:
        MlflowRegistry(address, "credit")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, "Basic dTpw"),
        ({}, None),
    ],
)
def test_credentials_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], header: str | None
) -> None:
    for name in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"model_version": VERSION})

    genuine = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: genuine(**given, transport=httpx.MockTransport(answer)))
    MlflowRegistry("https://mlflow", "credit").resolve()
    assert seen[0].headers.get("authorization") == header


def released(folder: Path) -> None:
    (folder / "release.json").write_bytes(make_release().to_bytes())


def exported(folder: Path) -> None:
    (folder / "model.json").write_bytes(BOOSTER)
    (folder / "schema.json").write_text(json.dumps(SCHEMA.model_dump(mode="json")))


def downloaded(folder: Path) -> None:
    (folder / "model.json").write_bytes(BOOSTER)
    (folder / "extra_files").mkdir()
    (folder / "extra_files" / "schema.json").write_text(json.dumps(SCHEMA.model_dump(mode="json")))


@pytest.mark.parametrize("write", [released, exported, downloaded])
def test_a_folder_is_a_source_too(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    source = ModelFolder(tmp_path)
    files = source.download(source.resolve())
    assert (files.model, files.schema) == (BOOSTER, SCHEMA)
    assert files.reference.version == hashlib.sha256(BOOSTER).hexdigest()[:12]


def test_a_folder_that_changes_meanwhile_is_not_mixed_up(tmp_path: Path) -> None:
    released(tmp_path)
    source = ModelFolder(tmp_path)
    reference = dataclasses.replace(source.resolve(), version="another")
    with pytest.raises(RegistryError, match="changed while it was read"):
        source.download(reference)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="holds no model"):
        ModelFolder(tmp_path).resolve()
    (tmp_path / "release.json").write_text("[]")
    with pytest.raises(RegistryError, match="malformed"):
        ModelFolder(tmp_path).resolve()
