"""A registry on loopback that answers as MLflow 3.17 does: the same paths, fields, codes and words, over real connections.

`test_mlflow_registry.py` holds it against MLflow's own server.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from riskfed.protocols.release import ModelRelease
from riskfed.scoring import is_scorecard
from riskfed.serving.models.live import LiveModels
from riskfed.serving.models.mlflow_registry import MlflowRegistry
from riskfed.tracking.joint import part_tags, write_parts
from tests.serving.models import make_release

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"


def mlmodel(release: ModelRelease) -> bytes:
    """The MLmodel file as MLflow writes it, shortened to what is read."""
    card = is_scorecard(release.model)
    names = [feature.name for feature in release.schema.features] if card else list(release.schema.columns)
    inputs = json.dumps([{"type": "any" if card else "double", "name": name, "required": True} for name in names])
    quoted = inputs.replace("'", "''")
    lines = ["flavors:", "  python_function:", "    python_version: 3.11.7", "mlflow_version: 3.17.2", "signature:"]
    return "\n".join([*lines, f"  inputs: '{quoted}'", "  params: null", "utc_time_created: '2026-11-22'", ""]).encode()


@dataclass
class RegistryServer:
    """The server; stop and start it as often as you like, it keeps its port.

    Attributes:
        versions: (name, version) -> what the registry says of it.
        aliases: (name, alias) -> version.
        files: path of an artifact -> content.
        requests: paths that were asked for, with their queries.
        faults: a part of a path -> (status, body) to answer with, or None to close the connection without an answer.
    """

    versions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: dict[str, tuple[int, bytes] | None] = field(default_factory=dict)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.requests.append(self.path)
                fault = next((fault for part, fault in registry.faults.items() if part in self.path), ...)
                if fault is None:
                    self.close_connection = True
                    return
                status, body = registry.answer(self.path) if fault is ... else fault
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def register(self, release: ModelRelease, version: str, name: str = "credit", **tags: str) -> None:
        """Register a release as a version, with the tags that `riskfed.tracking.registry` gives it."""
        place = f"1/models/m-{name}-{version}/artifacts"
        stated = {
            "auc": repr(release.metrics.get("auc", 0.5)),
            "headline": f"version {version}",
            "model_sha256": hashlib.sha256(release.model).hexdigest(),
            "schema_fingerprint": release.schema.fingerprint,
            **part_tags(release),
            **tags,
        }
        self.versions[name, version] = {
            "name": name,
            "version": version,
            "description": f"**version {version}**",
            "source": f"mlflow-artifacts:/{place}",
            "tags": [{"key": key, "value": value} for key, value in stated.items()],
        }
        self.files[f"{place}/model.json"] = release.model
        self.files[f"{place}/extra_files/schema.json"] = json.dumps(release.schema.model_dump(mode="json")).encode()
        self.files[f"{place}/MLmodel"] = mlmodel(release)
        with tempfile.TemporaryDirectory() as folder:
            write_parts(release, Path(folder))
            self.files |= {f"{place}/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}

    def spoil(self, version: str, name: str = "credit", file: str = "model.json") -> None:
        """Cut a file short, as a full disk does."""
        path = f"1/models/m-{name}-{version}/artifacts/{file}"
        self.files[path] = self.files[path][:-100]

    def answer(self, path: str) -> tuple[int, bytes]:
        asked = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        if asked.path.startswith(ARTIFACTS):
            wanted = unquote(asked.path.removeprefix(ARTIFACTS))
            return (200, self.files[wanted]) if wanted in self.files else _absent(f"No such artifact: '{wanted}'")
        if asked.path.endswith("/registered-models/alias"):
            return self._aliased(query)
        found = self.versions.get((query["name"], query["version"]))
        if found is None:
            return _absent(f"Model Version (name={query['name']}, version={query['version']}) not found")
        if asked.path.endswith("/get-download-uri"):
            return 200, json.dumps({"artifact_uri": found["source"]}).encode()
        return 200, json.dumps({"model_version": found}).encode()

    def _aliased(self, query: Mapping[str, str]) -> tuple[int, bytes]:
        name, alias = query["name"], query["alias"]
        if not any(known == name for known, _ in self.versions):
            return _absent(f"Registered Model with name={name} not found")
        version = self.aliases.get((name, alias))
        if version is None:
            message = f"Registered model alias {alias} not found."
            return 400, json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": message}).encode()
        return 200, json.dumps({"model_version": self.versions[name, version]}).encode()


def _absent(message: str) -> tuple[int, bytes]:
    return 404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": message}).encode()


def running_registry() -> Iterator[RegistryServer]:
    """Versions 1 to 4 of "credit", all sound and different; 1 is the champion."""
    made = RegistryServer()
    for version, trees in enumerate((10, 11, 12, 13), 1):
        made.register(make_release(trees), str(version))
    made.aliases["credit", "champion"] = "1"
    made.start()
    yield made
    made.stop()


def source(server: RegistryServer, alias: str = "champion") -> MlflowRegistry:
    return MlflowRegistry(server.address, "credit", alias, timeout=10)


def live_models(server: RegistryServer, **given: Any) -> LiveModels:
    live = LiveModels(source(server), **given)
    live.start()
    return live


def promote(server: RegistryServer, version: str, live: LiveModels | None = None, alias: str = "champion") -> None:
    """Move an alias, and let the service look."""
    server.aliases["credit", alias] = version
    if live is not None:
        live.refresh()


def champion(live: LiveModels) -> str:
    """The version in use."""
    assert live.champion is not None
    return live.champion.model.version
