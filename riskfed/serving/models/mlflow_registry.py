"""A model in MLflow's registry, over its REST API.

MLflow's own client would bring 620 MB and seven CPU seconds into every scoring process; plain requests do the same. Access:
https://mlflow.org/docs/latest/api_reference/rest-api.html, and the artifact proxy of `mlflow server --artifacts-destination`.

Whoever may write to the registry decides which model scores, so what it says is believed; what it sends is held to limits of size and
time all the same, and to what it said. Requests go to the one configured address: redirects are not followed, and an artifact's location
is looked up there whatever host it names.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.serving.models.signature import check_signature
from riskfed.serving.models.source import (
    FALLBACK,
    PARTNERS,
    ModelFiles,
    ModelReference,
    NoModelError,
    SourceUnreachableError,
    read_partners,
    read_schema,
)
from riskfed.vertical_model import PartnerReference

_PROXY_SCHEME = "mlflow-artifacts:"
_MODEL_BYTES = 64 * 2**20
_SMALL_BYTES = 4 * 2**20
"""Longest model.json, and longest of anything else."""
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
"""MLflow's codes for no such model, version, file; and for no such alias. Any other refusal (no rights, a proxy's page, a 5xx) says
nothing about a model."""


class MlflowRegistry:
    """A model in MLflow's registry, by alias or by a fixed version.

    Credentials, where the server asks for them, come from MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD, as with MLflow's own client; never from the address, which is shown in messages.

    Args:
        tracking_uri: address of an MLflow server.
        name: registered model.
        alias: that is followed.
        version: a fixed version instead of an alias.
        timeout: seconds for all of `resolve` or `download`; a server that is slow in every way can make it about twice that.

    Raises:
        ConfigurationError: the address is no MLflow server's, or has credentials in it.
    """

    def __init__(
        self,
        tracking_uri: str,
        name: str,
        alias: str = "champion",
        *,
        version: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        if not tracking_uri.startswith(("http://", "https://")) or "@" in tracking_uri:
            raise ConfigurationError(
                "the scoring API reads models from an MLflow server (http:// or https://, without credentials in the address); "
                "start one with `mlflow server --artifacts-destination`, or serve a model folder"
            )
        self.name = name
        self.alias = None if version is not None else alias
        self._version = version
        self._address = tracking_uri.rstrip("/")
        self._timeout = timeout
        # Certificate authorities take 2 MB of memory, and time. Without TLS none are loaded: this context would trust nobody.
        trusted = True if tracking_uri.startswith("https://") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx.Client(base_url=self._address, timeout=timeout, verify=trusted, **_credentials())

    @property
    def identity(self) -> str:
        """See `ModelSource`."""
        which = f"alias {self.alias}" if self._version is None else f"version {self._version}"
        return f"MLflow {self._address} model {self.name} {which}"

    def resolve(self) -> ModelReference:
        """See `ModelSource`. One request."""
        return self._reference(self._registered(self._version, self._deadline()))

    def download(self, reference: ModelReference) -> ModelFiles:
        """See `ModelSource`. Five requests, and two more for a vertical model's partners and fallback."""
        deadline = self._deadline()
        said = self._registered(reference.version, deadline)
        if not reference.schema_fingerprint:
            raise RegistryError(
                f"model {reference} has no tag schema_fingerprint; register it with riskfed, which states what it was trained on"
            )
        place = self._place(reference, deadline)
        model = self._get(f"{place}/model.json", deadline, _MODEL_BYTES)
        schema = self._get(f"{place}/extra_files/schema.json", deadline, _SMALL_BYTES)
        facts = {**_tags(said), "description": str(said.get("description", ""))}
        partners, fallback = self._parts(place, facts, reference, deadline)
        files = ModelFiles(reference, model, read_schema(schema, reference), facts, partners, fallback)
        check_signature(self._get(f"{place}/MLmodel", deadline, _SMALL_BYTES), files)
        return files

    def _parts(
        self, place: str, facts: Mapping[str, str], reference: ModelReference, deadline: float
    ) -> tuple[tuple[PartnerReference, ...], bytes]:
        """Partners and fallback of a model that has partners, by its tags; nothing of another.

        Raises:
            RegistryError: they are not the files that the tags state.
        """
        contents = []
        for name, most in ((PARTNERS, _SMALL_BYTES), (FALLBACK, _MODEL_BYTES)):
            stated = facts.get(f"{name.removesuffix('.json')}_sha256")
            if stated is None:
                return (), b""
            content = self._get(f"{place}/{name}", deadline, most)
            if hashlib.sha256(content).hexdigest() != stated:
                raise RegistryError(
                    f"model {reference}: the sha256 of {name} is not what the registry's tag says; register the model again"
                )
            contents.append(content)
        return read_partners(contents[0], reference), contents[1]

    def _registered(self, version: str | None, deadline: float) -> Mapping[str, Any]:
        """What the registry says of a version, or of the one that carries the alias."""
        if version is None:
            asked, query = "registered-models/alias", {"name": self.name, "alias": str(self.alias)}
        else:
            asked, query = "model-versions/get", {"name": self.name, "version": version}
        found = self._json(f"api/2.0/mlflow/{asked}", deadline, **query).get("model_version")
        if not isinstance(found, dict):
            raise SourceUnreachableError(f"{self._address} answered with something that is no model version")
        return found

    def _reference(self, said: Mapping[str, Any]) -> ModelReference:
        tags = _tags(said)
        try:
            name, version, source = str(said["name"]), str(said["version"]), str(said["source"])
        except KeyError:
            raise SourceUnreachableError(f"{self._address} answered with something that is no model version") from None
        stated = tags.get("model_sha256", ""), tags.get("schema_fingerprint", "")
        return ModelReference(name, version, self.alias, source, *stated)

    def _place(self, reference: ModelReference, deadline: float) -> str:
        """Path of the model's files at the server's artifact proxy."""
        asked = "api/2.0/mlflow/model-versions/get-download-uri"
        found = self._json(asked, deadline, name=reference.name, version=reference.version)
        location = str(found.get("artifact_uri", ""))
        if not location.startswith(_PROXY_SCHEME):
            raise RegistryError(
                f"model {reference} lies where only MLflow's server can read it; start the server with "
                "--artifacts-destination and register the model through it"
            )
        # mlflow-artifacts:/1/models/... and mlflow-artifacts://host/1/models/... are both in use.
        path = httpx.URL(location).path.strip("/")
        return f"api/2.0/mlflow-artifacts/artifacts/{quote(path)}"

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _json(self, path: str, deadline: float, **query: str) -> dict[str, Any]:
        try:
            answer = json.loads(self._get(path, deadline, _SMALL_BYTES, **query))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise SourceUnreachableError(f"{self._address} does not answer like an MLflow server; check the address")
        return answer

    def _get(self, path: str, deadline: float, most_bytes: int, **query: str) -> bytes:
        """The body of an answer that is a success; see `ModelSource` for what is raised otherwise."""
        try:
            left = max(deadline - time.monotonic(), 0.001)
            with self._client.stream("GET", path, params=query or None, timeout=left) as answer:
                body = bytearray()
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > most_bytes:
                        raise RegistryError(
                            f"MLflow at {self._address} sent a file of model {self.name} longer than {most_bytes >> 20} MiB, the limit"
                        )
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the whole took too long")
        except httpx.HTTPError as error:
            raise SourceUnreachableError(
                f"MLflow at {self._address} cannot be reached ({type(error).__name__})"
            ) from None
        if answer.status_code != httpx.codes.OK:
            raise self._refusal(answer.status_code, bytes(body))
        return bytes(body)

    def _refusal(self, status: int, body: bytes) -> RegistryError:
        which = f"version {self._version}" if self.alias is None else f"alias {self.alias}"
        code, message = _mlflow_error(body)
        told = f"MLflow at {self._address} answered {status} for model {self.name}, {which}: {message}"
        return NoModelError(told) if code in _ABSENT and 400 <= status < 500 else SourceUnreachableError(told)


def _tags(said: Mapping[str, Any]) -> dict[str, str]:
    """A version's tags; none where what is said of them cannot be read."""
    try:
        return {str(tag["key"]): str(tag["value"]) for tag in said.get("tags", [])}
    except (KeyError, TypeError):
        return {}


def _credentials() -> dict[str, Any]:
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"headers": {"Authorization": f"Bearer {token}"}}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return {"auth": (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))}
    return {}


def _mlflow_error(body: bytes) -> tuple[str, str]:
    """MLflow's code, and its own words cut short; neither where the answer is not MLflow's."""
    try:
        said = json.loads(body)
        return str(said.get("error_code", "")), str(said["message"])[:200]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", "no further reason"
