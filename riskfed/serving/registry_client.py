"""Where the scoring API gets its model: MLflow's registry over its REST API, or a folder.

MLflow's own client would bring 620 MB and seven CPU seconds into every scoring process; four plain requests do the same. Access:
https://mlflow.org/docs/latest/api_reference/rest-api.html, and the artifact proxy of `mlflow server --artifacts-destination`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from riskfed.errors import ConfigurationError, RegistryError, RemoteProtocolError, SchemaError
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema

_PROXY_SCHEME = "mlflow-artifacts:"


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Which model it is. Two references are equal exactly when they mean the same files.

    Attributes:
        name: registered name.
        version: registered version.
        alias: what it was resolved from; None for a folder.
        source: the registry's id of the files, which a re-created version of the same number does not share.
        model_sha256: sha256 (hex) that the registry states for the booster.
    """

    name: str
    version: str
    alias: str | None
    source: str
    model_sha256: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's files: XGBoost's JSON and the schema that its rows are encoded by."""

    reference: ModelReference
    model: bytes = field(repr=False)
    schema: Schema

    def __post_init__(self) -> None:
        if self.sha256 != self.reference.model_sha256:
            raise RegistryError(
                f"model {self.reference}: the booster's sha256 is {self.sha256[:12]}..., the registry's tag says "
                f"{self.reference.model_sha256[:12] or 'nothing'}...; register the model again"
            )

    @property
    def sha256(self) -> str:
        """sha256 (hex) of the booster's bytes; equals that of the booster which the banks released."""
        return hashlib.sha256(self.model).hexdigest()


class ModelSource(Protocol):
    """A place that a model comes from. Calls block; both raise RegistryError."""

    def resolve(self) -> ModelReference:
        """Say which model is current; cheap, called at every poll."""
        ...

    def download(self, reference: ModelReference) -> ModelFiles:
        """Fetch its files."""
        ...


class MlflowRegistry:
    """A model in MLflow's registry, by alias.

    Credentials, where the server asks for them, come from MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD, as with MLflow's own client; never from the address, which is shown in messages.
    """

    def __init__(self, tracking_uri: str, name: str, alias: str = "champion", *, timeout: float = 30.0) -> None:
        if not tracking_uri.startswith(("http://", "https://")) or "@" in tracking_uri:
            raise ConfigurationError(
                "the scoring API reads models from an MLflow server (http:// or https://, without credentials in the address); "
                "start one with `mlflow server --artifacts-destination`, or serve a model folder"
            )
        self.name = name
        self.alias = alias
        self._address = tracking_uri.rstrip("/")
        self._client = httpx.Client(base_url=self._address, timeout=timeout, **_credentials())

    def resolve(self) -> ModelReference:
        found = self._json("api/2.0/mlflow/registered-models/alias", name=self.name, alias=self.alias)
        try:
            version = found["model_version"]
            tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
            return ModelReference(
                name=version["name"],
                version=str(version["version"]),
                alias=self.alias,
                source=version["source"],
                model_sha256=tags.get("model_sha256", ""),
            )
        except (KeyError, TypeError):
            raise RegistryError(f"{self._address} answered with something that is no model version") from None

    def download(self, reference: ModelReference) -> ModelFiles:
        found = self._json(
            "api/2.0/mlflow/model-versions/get-download-uri", name=reference.name, version=reference.version
        )
        location = str(found.get("artifact_uri", ""))
        if not location.startswith(_PROXY_SCHEME):
            raise RegistryError(
                f"model {reference} lies where only MLflow's server can read it; start the server with "
                "--artifacts-destination and register the model through it"
            )
        # mlflow-artifacts:/1/models/... and mlflow-artifacts://host/1/models/... are both in use.
        path = httpx.URL(location).path.strip("/")
        booster = self._get(f"api/2.0/mlflow-artifacts/artifacts/{quote(path)}/model.json").content
        schema = self._get(f"api/2.0/mlflow-artifacts/artifacts/{quote(path)}/extra_files/schema.json").content
        return ModelFiles(reference, booster, _schema(schema, reference))

    def _json(self, path: str, **query: str) -> dict[str, Any]:
        try:
            answer = self._get(path, **query).json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RegistryError(f"{self._address} does not answer like an MLflow server; check the address")
        return answer

    def _get(self, path: str, **query: str) -> httpx.Response:
        try:
            answer = self._client.get(path, params=query or None)
        except httpx.HTTPError as error:
            raise RegistryError(f"MLflow at {self._address} cannot be reached ({type(error).__name__})") from None
        if answer.status_code != httpx.codes.OK:
            raise RegistryError(
                f"MLflow at {self._address} answered {answer.status_code} for model {self.name}, alias {self.alias}: "
                f"{_message(answer)}"
            )
        return answer


class ModelFolder:
    """A model in a folder: ``release.json`` as a bank writes it, or ``model.json`` with ``schema.json`` as MLflow exports it.

    The version is the start of the booster's sha256, so a changed file is a new version.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def resolve(self) -> ModelReference:
        return self._read().reference

    def download(self, reference: ModelReference) -> ModelFiles:
        files = self._read()
        if files.reference != reference:
            raise RegistryError(
                f"{self._folder}: the model changed while it was read; it is tried again at the next poll"
            )
        return files

    def _read(self) -> ModelFiles:
        try:
            booster, schema = self._contents()
        except OSError as error:
            raise RegistryError(
                f"{self._folder} holds no model ({type(error).__name__}): expected release.json, or model.json and schema.json"
            ) from None
        digest = hashlib.sha256(booster).hexdigest()
        reference = ModelReference(schema.name, digest[:12], None, str(self._folder), digest)
        return ModelFiles(reference, booster, schema)

    def _contents(self) -> tuple[bytes, Schema]:
        release = self._folder / "release.json"
        if release.exists():
            try:
                read = ModelRelease.from_bytes(release.read_bytes())
            except RemoteProtocolError as error:
                raise RegistryError(f"{release}: {error}") from None
            if read.form == "withheld":
                raise RegistryError(
                    f"{release} holds no model: the banks withheld it; each of them scores with its own copy (riskfed node score)"
                )
            return read.model, read.schema
        schema = self._folder / "extra_files" / "schema.json"
        if not schema.exists():
            schema = self._folder / "schema.json"
        return (self._folder / "model.json").read_bytes(), _schema(schema.read_bytes(), self._folder)


def _schema(content: bytes, where: object) -> Schema:
    try:
        return Schema(**json.loads(content))
    except (ValueError, TypeError, SchemaError):
        raise RegistryError(f"model {where}: schema.json is no schema; register the model again") from None


def _credentials() -> dict[str, Any]:
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"headers": {"Authorization": f"Bearer {token}"}}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return {"auth": (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))}
    return {}


def _message(answer: httpx.Response) -> str:
    """MLflow's own words, cut short; nothing where the answer is not MLflow's."""
    try:
        return str(answer.json()["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return "no further reason"
