"""A model in a folder, without a registry."""

from __future__ import annotations

import hashlib
from pathlib import Path

from riskfed.errors import RegistryError, RemoteProtocolError
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.serving.models.source import ModelFiles, ModelReference, NoModelError, SourceUnreachableError, read_schema


class ModelFolder:
    """A model in a folder: ``release.json`` as a bank writes it, or ``model.json`` with ``schema.json`` as MLflow exports it.

    The version is the start of the model's sha256, so a changed file is a new version. Facts are the release's pooled figures.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    @property
    def identity(self) -> str:
        """See `ModelSource`."""
        return f"folder {self._folder.absolute()}"

    def resolve(self) -> ModelReference:
        """See `ModelSource`."""
        return self._read().reference

    def download(self, reference: ModelReference) -> ModelFiles:
        """See `ModelSource`."""
        files = self._read()
        if files.reference != reference:
            raise SourceUnreachableError(
                f"{self._folder}: the model changed while it was read; it is tried again at the next poll"
            )
        return files

    def _read(self) -> ModelFiles:
        try:
            model, schema, facts = self._contents()
        except OSError as error:
            raise NoModelError(
                f"{self._folder} holds no model ({type(error).__name__}): expected release.json, or model.json and schema.json"
            ) from None
        digest = hashlib.sha256(model).hexdigest()
        reference = ModelReference(schema.name, digest[:12], None, str(self._folder), digest)
        return ModelFiles(reference, model, schema, facts)

    def _contents(self) -> tuple[bytes, Schema, dict[str, str]]:
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
            facts = {"model_kind": read.kind, "release_form": read.form, "bank_model_sha256": read.model_sha256}
            return read.model, read.schema, {**facts, **{name: repr(value) for name, value in read.metrics.items()}}
        schema = self._folder / "extra_files" / "schema.json"
        if not schema.exists():
            schema = self._folder / "schema.json"
        return (self._folder / "model.json").read_bytes(), read_schema(schema.read_bytes(), self._folder), {}
