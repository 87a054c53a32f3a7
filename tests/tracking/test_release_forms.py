"""A model that banks reduced is registered as such; one that they withheld leaves its figures, and nothing breaks."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost

from riskfed.errors import RegistryError
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.reports.pictures import run_pictures
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.models.folder import ModelFolder
from riskfed.tracking.registry import register
from riskfed.tracking.run import MlflowRun
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.reduced import reduced
from tests.serving.models import SCHEMA, make_release
from tests.serving.runs import whole_run

Tracked = Callable[..., MlflowRun]


def reduced_release() -> ModelRelease:
    full = make_release()
    trees, base_score, names = parse_booster(full.model)
    job = HorizontalXgboost(eta=0.1)
    return full.reduced_to(booster_json([reduced(tree) for tree in trees], names, job, base_score))


@pytest.fixture
def client(store: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(store, store)


def record(tracked: Tracked, name: str, release: ModelRelease, folder: Path) -> MlflowRun:
    with tracked(name, name, release_path=folder / "release.json", pictures=run_pictures) as tracking:
        for event in whole_run(release):
            tracking(event)
    return tracking


def test_a_reduced_model_is_registered_with_tag_and_note(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    release = reduced_release()
    tracking = record(tracked, "reduced", release, tmp_path)
    version = client.get_model_version("reduced", tracking.version)
    assert version.tags["release_form"] == "reduced"
    assert version.tags["model_sha256"] == hashlib.sha256(release.model).hexdigest()
    assert version.tags["bank_model_sha256"] == hashlib.sha256(make_release().model).hexdigest()
    assert "release: reduced: predicts as the banks' model does" in version.description
    assert tracking.gate_result is not None
    assert tracking.gate_result.passed
    assert Path(version.source, "model.json").read_bytes() == release.model
    images = {Path(file.path).name.split("+")[0] for file in client.list_artifacts(tracking.run_id, "images")}
    assert "at a glance~1 roc" in images
    assert "at a glance~7 feature gain" not in images, "a reduced model states no gain"


def test_a_reduced_model_is_served_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_bytes(reduced_release().to_bytes())
    source = ModelFolder(tmp_path)
    engine = ScoringEngine(source.download(source.resolve()))
    row = SCHEMA.encode(pd.DataFrame([engine.form.example()]))
    full = xgboost.Booster(model_file=bytearray(make_release().model))
    expected = full.predict(xgboost.DMatrix(row, feature_names=list(SCHEMA.columns)))[0]
    assert np.isclose(engine.score(engine.form.example()).pd, expected, atol=1e-6)


def test_a_withheld_model_leaves_its_figures_and_registers_nothing(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    release = make_release().withheld()
    tracking = record(tracked, "withheld", release, tmp_path)
    run = client.get_run(tracking.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["valid/auc"] == release.metrics["auc"]
    assert "valid/trees" not in run.data.metrics
    assert run.data.tags["release_form"] == "withheld"
    assert run.data.tags["bank_model_sha256"] == release.model_sha256
    assert "model_sha256" not in run.data.tags
    assert run.data.tags["riskfed.verdict"].startswith("AUC ")
    assert "the banks keep the model, nobody else has it" in run.data.tags["mlflow.note.content"]
    assert (tracking.version, tracking.gate_result) == (None, None)
    assert not client.search_registered_models("name = 'withheld'")
    images = {Path(file.path).name.split("+")[0] for file in client.list_artifacts(tracking.run_id, "images")}
    assert {f"at a glance~{card}" for card in ("1 roc", "3 calibration", "5 learning curve logloss")} <= images
    assert ModelRelease.from_bytes((tmp_path / "release.json").read_bytes()) == release


def test_a_withheld_model_cannot_be_registered_by_hand(store: str) -> None:
    with pytest.raises(RegistryError, match="the banks withheld the model"):
        register(make_release().withheld(), tracking_uri=store, run_id="r", name="m", line="v", facts={})


def test_a_withheld_model_cannot_be_served(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_bytes(make_release().withheld().to_bytes())
    with pytest.raises(RegistryError, match="the banks withheld it; each of them scores with its own copy"):
        ModelFolder(tmp_path).resolve()


def test_a_full_release_says_so(tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path) -> None:
    release = dataclasses.replace(make_release(3), score_cells=[])
    tracking = record(tracked, "full", release, tmp_path)
    tags = client.get_run(tracking.run_id).data.tags
    assert tags["release_form"] == "full"
    assert tags["model_sha256"] == tags["bank_model_sha256"]
