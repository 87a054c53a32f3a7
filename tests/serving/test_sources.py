"""Where models come from: what is asked of MLflow, and what is said when the answer is not a model."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.protocols.release import ModelRelease
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.mlflow_registry import MlflowRegistry
from riskfed.serving.models.source import NoModelError, SourceUnreachableError
from tests.reports.sample import scorecard_release
from tests.serving.models import SCHEMA, make_release
from tests.serving.registry_server import RegistryServer

RELEASE = make_release()
BOOSTER = RELEASE.model


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    made = RegistryServer()
    made.register(RELEASE, "3", verdict="green")
    made.aliases["credit", "champion"] = "3"
    made.start()
    yield made
    made.stop()


def fetch(server: RegistryServer, **given: Any) -> Any:
    source = MlflowRegistry(f"{server.address}/", "credit", timeout=10, **given)
    return source.download(source.resolve())


def said(server: RegistryServer, **changed: Any) -> None:
    server.versions["credit", "3"] |= changed


def test_resolves_the_alias_and_downloads_through_the_proxy(server: RegistryServer) -> None:
    files = fetch(server)
    assert (files.model, files.schema) == (BOOSTER, SCHEMA)
    assert (files.reference.name, files.reference.version, files.reference.alias) == ("credit", "3", "champion")
    assert server.requests[0].endswith("/registered-models/alias?name=credit&alias=champion")
    assert len(server.requests) == 6
    assert (files.facts["verdict"], files.facts["headline"], files.facts["description"]) == (
        "green",
        "version 3",
        "**version 3**",
    )


def test_a_fixed_version_needs_no_alias(server: RegistryServer) -> None:
    server.aliases.clear()
    reference = fetch(server, version="3").reference
    assert (reference.version, reference.alias) == ("3", None)
    with pytest.raises(NoModelError, match=r"version 4: Model Version"):
        fetch(server, version="4")


@pytest.mark.parametrize("make", [make_release, scorecard_release])
def test_the_signature_is_held_against_the_schema(server: RegistryServer, make: Callable[[], ModelRelease]) -> None:
    server.register(make(), "3")
    assert fetch(server).model == make().model
    path = "1/models/m-credit-3/artifacts/MLmodel"
    name = make().schema.features[0].name
    server.files[path] = server.files[path].replace(f'"name": "{name}"'.encode(), b'"name": "another"')
    with pytest.raises(RegistryError, match="signature names"):
        fetch(server)


BOMB = b"a: &a [x]\n" + b"".join(f"{c}: &{c} [{', '.join([f'*{p}'] * 99)}]\n".encode() for p, c in ("ab", "bc", "cd"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 5000,
        b"signature: null",
        b"signature: {inputs: '[{}]'}",
        b"\xff\xfe\x00",
        BOMB,
        b"!!python/object:os.x {}",
    ],
)
def test_an_mlmodel_file_without_a_signature(server: RegistryServer, content: bytes) -> None:
    server.files["1/models/m-credit-3/artifacts/MLmodel"] = content
    with pytest.raises(RegistryError, match="has no signature"):
        fetch(server)


@pytest.mark.parametrize(
    ("part", "answer", "kind", "message"),
    [
        ("alias", (502, b"<html>"), SourceUnreachableError, "answered 502"),
        ("alias", (404, b"<html>"), SourceUnreachableError, "answered 404"),
        ("alias", (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}'), SourceUnreachableError, "403.*no"),
        ("alias", (200, b"<html>"), SourceUnreachableError, "does not answer like an MLflow server"),
        ("alias", (200, b'{"model_version": {"name": "x"}}'), SourceUnreachableError, "no model version"),
        ("alias", (200, b'{"model_version": 3}'), SourceUnreachableError, "no model version"),
        ("alias", None, SourceUnreachableError, "cannot be reached"),
        ("get-download-uri", (200, b'{"artifact_uri": "/srv/1"}'), RegistryError, "--artifacts-destination"),
        ("model.json", (500, b""), SourceUnreachableError, "answered 500"),
        ("model.json", (200, BOOSTER + b" "), RegistryError, "sha256"),
        ("model.json", (200, b" " * (64 * 2**20 + 1)), RegistryError, "longer than 64 MiB"),
        ("schema.json", (200, b"[1]"), RegistryError, "no schema"),
        ("schema.json", (200, b"[" * 100_000), RegistryError, "no schema"),
        ("schema.json", (200, b'{"target": "y", "features": []}'), RegistryError, "no schema"),
        ("schema.json", (200, b'{"target": "y", "features": [{"name": "x"}]}'), RegistryError, "fingerprint"),
    ],
)
def test_says_what_is_wrong(
    server: RegistryServer, part: str, answer: tuple[int, bytes] | None, kind: type[Exception], message: str
) -> None:
    server.faults[part] = answer
    with pytest.raises(kind, match=message) as raised:
        fetch(server)
    # A fault that passes by itself is told apart from an unsound model, which does not.
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([], "no tag schema_fingerprint"),
        ([{"key": "schema_fingerprint", "value": SCHEMA.fingerprint}], "the registry's tag says nothing"),
        ([{"key": "schema_fingerprint", "value": "0" * 64}], "the registry's tag says"),
        ([{"key": "model_sha256"}], "no tag schema_fingerprint"),
        (None, "no tag schema_fingerprint"),
    ],
)
def test_a_version_must_state_what_it_is(server: RegistryServer, tags: Any, message: str) -> None:
    said(server, tags=tags)
    with pytest.raises(RegistryError, match=message):
        fetch(server)


def test_no_such_alias_model_or_file(server: RegistryServer) -> None:
    with pytest.raises(NoModelError, match="alias nope not found"):
        MlflowRegistry(server.address, "credit", "nope").resolve()
    with pytest.raises(NoModelError, match="name=nope not found"):
        MlflowRegistry(server.address, "nope").resolve()
    server.files.pop("1/models/m-credit-3/artifacts/model.json")
    with pytest.raises(NoModelError, match="No such artifact"):
        fetch(server)


def test_a_redirect_is_not_followed(server: RegistryServer) -> None:
    elsewhere = RegistryServer()
    elsewhere.start()
    try:
        said(server, source=f"mlflow-artifacts://127.0.0.1:{elsewhere.port}/1/models/m-credit-3/artifacts")
        assert fetch(server).model == BOOSTER
        server.faults["alias"] = (302, b"")
        with pytest.raises(SourceUnreachableError, match="answered 302"):
            fetch(server)
        assert not elsewhere.requests
    finally:
        elsewhere.stop()


def test_an_address_that_does_not_answer() -> None:
    with pytest.raises(SourceUnreachableError, match="cannot be reached"):
        MlflowRegistry("http://127.0.0.1:9", "credit", timeout=2).resolve()


def test_an_answer_that_trickles_ends_with_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b" ")
                        time.sleep(0.02)
                except OSError:
                    pass

        sender = threading.Thread(target=trickle)
        sender.start()
        source = MlflowRegistry(f"http://127.0.0.1:{listening.getsockname()[1]}", "credit", timeout=0.5)
        with pytest.raises(SourceUnreachableError, match="ReadTimeout"):
            source.resolve()
        sender.join(20)
        assert not sender.is_alive()


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
        return httpx.Response(200, json={"model_version": {"name": "credit", "version": "3", "source": "s"}})

    genuine = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: genuine(**given, transport=httpx.MockTransport(answer)))
    MlflowRegistry("https://mlflow", "credit").resolve()
    assert seen[0].headers.get("authorization") == header


def released(folder: Path) -> None:
    (folder / "release.json").write_bytes(RELEASE.to_bytes())


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
    assert files.facts.get("auc") == (repr(RELEASE.metrics["auc"]) if write is released else None)


def test_a_folder_that_changes_meanwhile_is_not_mixed_up(tmp_path: Path) -> None:
    released(tmp_path)
    source = ModelFolder(tmp_path)
    reference = replace(source.resolve(), version="another")
    with pytest.raises(SourceUnreachableError, match="changed while it was read"):
        source.download(reference)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(NoModelError, match="holds no model"):
        ModelFolder(tmp_path).resolve()
    (tmp_path / "release.json").write_text("[]")
    with pytest.raises(RegistryError, match="malformed"):
        ModelFolder(tmp_path).resolve()
