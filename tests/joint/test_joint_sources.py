"""A vertical model from a folder, from the registry and from the local copy: all of its files, or a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from riskfed.errors import RegistryError
from riskfed.serving.engine.vertical import build_engine, own_schema
from riskfed.serving.models.challenger import Challengers
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.follower import Follower
from riskfed.serving.models.live import LiveModels
from riskfed.serving.models.local_copy import LocalCopy
from riskfed.serving.models.source import ModelFiles, ModelSource
from tests.joint.models import vertical_model
from tests.serving.registry_server import RegistryServer, source

MODEL = vertical_model()


class Nobody:
    """A partner that no test asks."""

    async def columns(self, model_sha256: str, customer_id: str) -> None:
        raise AssertionError


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    made = RegistryServer()
    made.register(MODEL.release(), "1")
    made.aliases["credit", "champion"] = "1"
    made.start()
    yield made
    made.stop()


def parts_of(files: ModelFiles) -> tuple[object, ...]:
    return files.model, files.schema, files.partners, files.fallback


EXPECTED = MODEL.model, MODEL.label_schema, MODEL.references, MODEL.fallback


def test_the_registry_gives_partners_and_fallback(server: RegistryServer) -> None:
    found = source(server)
    files = found.download(found.resolve())
    assert parts_of(files) == EXPECTED
    assert len(server.requests) == 8


@pytest.mark.parametrize("file", ["partners.json", "fallback.json"])
def test_files_that_were_changed_in_the_registry_are_refused(server: RegistryServer, file: str) -> None:
    server.spoil("1", file=file)
    found = source(server)
    with pytest.raises(RegistryError, match=f"the sha256 of {file} is not what the registry's tag says"):
        found.download(found.resolve())


def test_a_folder_holds_a_release_or_single_files(tmp_path: Path) -> None:
    whole, single = tmp_path / "whole", tmp_path / "single"
    for folder in (whole, single):
        folder.mkdir()
    (whole / "release.json").write_bytes(MODEL.release().to_bytes())
    listed = [partner.to_dict() for partner in MODEL.references]
    (single / "model.json").write_bytes(MODEL.model)
    (single / "schema.json").write_text(MODEL.label_schema.model_dump_json())
    (single / "partners.json").write_text(json.dumps(listed))
    (single / "fallback.json").write_bytes(MODEL.fallback)
    for folder in (whole, single):
        assert parts_of(ModelFolder(folder).download(ModelFolder(folder).resolve())) == EXPECTED
    (single / "partners.json").write_text('[{"party": 7}]')
    with pytest.raises(RegistryError, match="no list of parts"):
        ModelFolder(single).resolve()


def test_the_local_copy_keeps_all_of_it_and_misses_what_is_gone(tmp_path: Path) -> None:
    copy = LocalCopy(tmp_path)
    copy.keep("here", MODEL.files())
    found = copy.last("here")
    assert found is not None
    assert found[0] == MODEL.files()
    (kept,) = tmp_path.glob("*/0*")
    for name in ("fallback.json", "partners.json"):
        content = (kept / name).read_bytes()
        (kept / name).unlink()
        with pytest.raises(RegistryError, match="damaged"):
            copy.last("here")
        (kept / name).write_bytes(content)
    assert copy.last("here") is not None


def test_a_champion_whose_partner_is_not_configured_is_refused_and_the_last_one_stays(server: RegistryServer) -> None:
    alone = MODEL.files()
    live = LiveModels(source(server), build=lambda files: build_engine(files, partner=lambda *_: Nobody()))
    live.start()
    assert live.champion is not None
    without = LiveModels(source(server), build=build_engine)
    with pytest.raises(RegistryError, match="payments has a part in it, and this service has no partners"):
        without.start()
    assert alone.sha256 == live.champion.sha256


class Fixed(ModelSource):
    """A source of one model."""

    identity = "fixed"

    def __init__(self, files: ModelFiles) -> None:
        self._files = files

    def resolve(self) -> object:
        return self._files.reference

    def download(self, reference: object) -> ModelFiles:
        return self._files


def challenger(files: ModelFiles) -> tuple[object, str | None]:
    """What may score beside the joint champion."""
    found = Challengers(Follower(Fixed(files), lambda one: build_engine(one, partner=lambda *_: Nobody())))  # type: ignore[arg-type]
    found.look()
    return found.beside(MODEL.files())


def test_a_model_of_the_own_columns_may_score_in_the_shadow_and_a_joint_one_may_not() -> None:
    files = MODEL.files()
    reference = replace(files.reference, version="2", source="models:/2", model_sha256="", schema_fingerprint="")
    import hashlib

    own = replace(reference, model_sha256=hashlib.sha256(MODEL.fallback).hexdigest())
    engine, problem = challenger(ModelFiles(own, MODEL.fallback, own_schema(files)))
    assert (engine is not None, problem) == (True, None)
    joint = replace(reference, model_sha256=files.sha256)
    engine, problem = challenger(replace(files, reference=joint))
    assert engine is None
    assert "partners, who are asked for the champion's scores only" in str(problem)
