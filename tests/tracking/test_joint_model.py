"""A vertical model in the registry: the label holder's part whole, of the partners a reference; and it meets champions of other kinds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from riskfed.errors import RegistryError
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.reports.pictures import run_pictures
from riskfed.scoring import read_model
from riskfed.tracking.champion import champion_sha256
from riskfed.tracking.gate import gate
from riskfed.tracking.promotion import promote
from riskfed.tracking.run import MlflowRun
from tests.serving.models import make_release
from tests.serving.runs import whole_run
from tests.tracking.joint_models import PART, SPLITS, joint_release, people, vertical_plan

Tracked = Callable[..., MlflowRun]


@pytest.fixture
def client(store: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(store, store)


def record(tracked: Tracked, name: str, release: ModelRelease, folder: Path, plan: Plan | None = None) -> MlflowRun:
    with tracked(name, name, release_path=folder / "release.json", pictures=run_pictures) as tracking:
        for event in whole_run(release, plan):
            tracking(event)
    return tracking


def test_the_label_holders_part_is_registered_and_the_partners_is_not(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    release = joint_release()
    tracking = record(tracked, "joint", release, tmp_path, vertical_plan())
    version = client.get_model_version("joint", tracking.version)
    folder = Path(version.source)
    assert (folder / "model.json").read_bytes() == release.model
    assert (folder / "fallback.json").read_bytes() == release.fallback
    (partner,) = json.loads((folder / "partners.json").read_bytes())
    assert partner == {
        "party": "payments",
        "part_id": "run-1",
        "sha256": PART,
        "splits": SPLITS,
        "answers": "decisions",
    }
    assert version.tags["feature_holders"] == "payments"
    assert version.tags["fallback_sha256"] == hashlib.sha256(release.fallback).hexdigest()
    assert version.tags["parties"] == "2"
    assert "banks" not in version.tags
    assert tracking.gate_result is not None
    assert tracking.gate_result.passed, tracking.gate_result.reasons


def test_the_run_says_what_the_partner_adds(tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path) -> None:
    run = client.get_run(record(tracked, "joint-run", joint_release(), tmp_path, vertical_plan()).run_id)
    assert run.data.metrics["joint/auc_label_holder_alone"] == 0.7
    assert run.data.metrics["joint/auc_gain"] == pytest.approx(0.08)
    assert run.data.metrics["joint/splits payments"] == SPLITS
    assert run.data.metrics["progress/logloss"] == 0.5
    assert run.data.params["label_holder"] == "lender"
    assert (run.data.params["protection"], run.data.params["key_bits"]) == ("sealed", "2048")
    assert "2 parties, sealed" in run.info.run_name
    card = client.download_artifacts(run.info.run_id, "model_card.md", str(tmp_path))
    text = Path(card).read_text()
    assert "this model is joint" in text
    assert f"held by payments, in its vault only: columns and thresholds of {SPLITS} splits" in text
    assert "sums over the banks" not in text


def test_what_comes_before_the_first_tree_is_no_tree(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    with tracked("aligning", None, release_path=tmp_path / "release.json", pictures=run_pictures) as tracking:
        for event in whole_run(joint_release(), vertical_plan()):
            if event == events.ProgressMade(1, {"logloss": 0.5}):
                tracking(events.ProgressMade(0, {"aligned": 0.5}))
            tracking(event)
    metrics = client.get_run(tracking.run_id).data.metrics
    assert "progress/aligned" not in metrics
    assert [point.step for point in client.get_metric_history(tracking.run_id, "time/rounds")] == [0, 1, 2, 3, 4, 5]


def test_anyone_can_score_own_columns_and_decisions_with_it(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    release = joint_release()
    tracking = record(tracked, "joint-scored", release, tmp_path, vertical_plan())
    matrix, _ = people(1, 50)
    frame = pd.DataFrame(matrix.astype(float), columns=list(release.schema.columns))
    loaded = mlflow.pyfunc.load_model(client.get_model_version("joint-scored", tracking.version).source)
    expected = read_model(release.model, release.schema).pd(matrix)
    np.testing.assert_allclose(loaded.predict(frame), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("fallback.json", "fallback.json is not what was released"),
        ("partners.json", "partners.json is not what was released"),
    ],
)
def test_a_changed_file_beside_the_model_is_noticed(
    tracked: Tracked, client: mlflow.MlflowClient, store: str, tmp_path: Path, file: str, told: str
) -> None:
    name = f"changed-{file}"
    version = record(tracked, name, joint_release(), tmp_path, vertical_plan()).version
    path = Path(client.get_model_version(name, version).source, file)
    path.write_text(path.read_text().replace('"payments"', '"somebody"') + " ")
    result = gate(store, name, str(version))
    assert not result.sound
    assert any(told in reason for reason in result.reasons)


def test_a_partner_with_another_number_of_splits_is_noticed(
    tracked: Tracked, store: str, tmp_path: Path, client: mlflow.MlflowClient
) -> None:
    (partner,) = joint_release().partners
    fewer = partner.model_copy(update={"splits": SPLITS - 1})
    release = dataclasses.replace(joint_release(), partners=(fewer,))
    tracking = record(tracked, "fewer", release, tmp_path, vertical_plan())
    assert tracking.gate_result is not None
    assert "the model's columns are not the partners' splits" in tracking.gate_result.reasons


def test_a_joint_model_does_not_take_an_ordinary_champions_place_by_itself(
    tracked: Tracked, client: mlflow.MlflowClient, store: str, tmp_path: Path
) -> None:
    record(tracked, "mixed", make_release(), tmp_path)
    joint = record(tracked, "mixed", joint_release(auc=0.99), tmp_path, vertical_plan())
    assert joint.gate_result is not None
    assert not joint.gate_result.passed
    assert joint.gate_result.sound
    assert "it needs columns of payments besides the label holder's" in joint.gate_result.reasons[-1]
    assert str(client.get_model_version_by_alias("mixed", "challenger").version) == str(joint.version)
    with pytest.raises(RegistryError, match="only a person can promote it"):
        promote(store, "mixed", str(joint.version), by="ann")
    decided = promote(store, "mixed", str(joint.version), by="ann", despite_the_gate=True, reason="the partner signed")
    assert decided.alias == "champion"
    assert str(client.get_model_version_by_alias("mixed", "champion").version) == str(joint.version)


def test_joint_models_with_the_same_partners_compete(tracked: Tracked, tmp_path: Path) -> None:
    record(tracked, "series", joint_release(), tmp_path, vertical_plan())
    better = record(tracked, "series", joint_release(6, 0.8), tmp_path, vertical_plan())
    worse = record(tracked, "series", joint_release(4, 0.75), tmp_path, vertical_plan())
    assert better.gate_result is not None
    assert worse.gate_result is not None
    assert better.gate_result.passed
    assert not worse.gate_result.passed


def test_no_job_can_name_a_joint_champion(tracked: Tracked, store: str, tmp_path: Path) -> None:
    record(tracked, "named", joint_release(), tmp_path, vertical_plan())
    with pytest.raises(RegistryError, match="joint model with columns of payments"):
        champion_sha256(store, "named")
