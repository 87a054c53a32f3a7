"""A model in a folder, without a registry."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from riskfed.errors import RegistryError, RemoteProtocolError
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
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


class _Contents(NamedTuple):
    """Fields of `ModelFiles`."""

    model: bytes
    schema: Schema
    facts: dict[str, str]
    partners: tuple[PartnerReference, ...]
    fallback: bytes


class ModelFolder:
    """A model in a folder: ``release.json`` as a bank writes it, or ``model.json`` with ``schema.json`` as MLflow exports it.

    A vertical model's ``partners.json`` and ``fallback.json`` lie beside its ``model.json``.

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
            read = self._contents()
        except OSError as error:
            raise NoModelError(
                f"{self._folder} holds no model ({type(error).__name__}): expected release.json, or model.json and schema.json"
            ) from None
        digest = hashlib.sha256(read.model).hexdigest()
        reference = ModelReference(read.schema.name, digest[:12], None, str(self._folder), digest)
        return ModelFiles(reference, **read._asdict())

    def _contents(self) -> _Contents:
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
            facts |= {name: repr(value) for name, value in read.metrics.items()}
            return _Contents(read.model, read.schema, facts, read.partners, read.fallback)
        schema = self._folder / "extra_files" / "schema.json"
        if not schema.exists():
            schema = self._folder / "schema.json"
        model, partners = (self._folder / "model.json").read_bytes(), self._folder / PARTNERS
        parts = read_partners(partners.read_bytes(), self._folder) if partners.exists() else ()
        fallback = (self._folder / FALLBACK).read_bytes() if parts else b""
        return _Contents(model, read_schema(schema.read_bytes(), self._folder), {}, parts, fallback)
