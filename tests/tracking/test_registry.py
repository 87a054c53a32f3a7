"""What is registered is the banks' model to the byte; and only a sound and better one becomes the champion."""

import dataclasses
import itertools
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from riskfed.errors import RegistryError
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.tracking import model_check
from riskfed.tracking.gate import gate
from riskfed.tracking.model_check import threshold_rows
from riskfed.tracking.registry import register
from riskfed.trees.booster_json import parse_booster
from tests.serving.models import SCHEMA, booster_of, loans, make_release

FACTS = {"protection": "masking", "banks": "3"}
names = (f"model-{number}" for number in itertools.count())


class Registry:
    """A registered model of its own in the tests' store."""

    def __init__(self, store: str) -> None:
        self.store, self.name = store, next(names)
        self.client = mlflow.MlflowClient(store, store)
        files = Path(store.removeprefix("sqlite:///")).parent / "registered"
        self.experiment = self.client.create_experiment(self.name, str(files / self.name))

    def add(self, release: ModelRelease) -> str:
        run = self.client.create_run(self.experiment, tags={"riskfed.verdict": "verdict"})
        return register(
            release, tracking_uri=self.store, run_id=run.info.run_id, name=self.name, line="verdict", facts=FACTS
        )

    def files(self, version: str) -> Path:
        return Path(self.client.get_model_version(self.name, version).source)

    def gate(self, version: str):
        return gate(self.store, self.name, version)

    @property
    def aliases(self) -> dict[str, str]:
        # A store without a server gives versions as integers.
        return {alias: str(v) for alias, v in self.client.get_registered_model(self.name).aliases.items()}


@pytest.fixture
def registry(store: str) -> Registry:
    return Registry(store)


def with_auc(auc: float, trees: int = 20) -> ModelRelease:
    release = make_release(trees)
    return dataclasses.replace(release, metrics={**release.metrics, "auc": auc})


def test_the_registered_model_is_the_released_one(registry: Registry) -> None:
    release = make_release()
    version = registry.add(release)
    files = registry.files(version)
    assert (files / "model.json").read_bytes() == release.model
    assert Schema(**json.loads((files / "extra_files" / "schema.json").read_text())) == SCHEMA
    requirements = (files / "requirements.txt").read_text().split()
    assert sorted(line.partition("==")[0] for line in requirements) in (
        ["mlflow", "xgboost-cpu"],
        ["mlflow", "xgboost"],
    )
    tags = registry.client.get_model_version(registry.name, version).tags
    assert float(tags["auc"]) == release.metrics["auc"]
    assert (tags["protection"], tags["banks"]) == ("masking", "3")


def test_anyone_can_load_it_as_an_ordinary_model(registry: Registry) -> None:
    release, frame = make_release(), loans(50, 9)
    loaded = mlflow.pyfunc.load_model(str(registry.files(registry.add(release))))
    columns = loaded.metadata.signature.inputs
    assert [column.name for column in columns] == list(SCHEMA.columns)
    assert {column.type.name for column in columns} == {"double"}
    rows = pd.DataFrame(SCHEMA.encode(frame).astype(float), columns=list(SCHEMA.columns))
    expected = booster_of(release).inplace_predict(SCHEMA.encode(frame), validate_features=False)
    np.testing.assert_array_equal(loaded.predict(rows), expected)


def test_the_example_is_made_of_the_schema_alone(registry: Registry) -> None:
    example = json.loads((registry.files(registry.add(make_release())) / "input_example.json").read_text())
    assert example["data"] == [[0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0]]


def test_mlflows_global_addresses_are_left_alone(registry: Registry) -> None:
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    registry.gate(registry.add(make_release()))
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
    assert mlflow.active_run() is None


def test_the_first_sound_model_becomes_champion(registry: Registry) -> None:
    result = registry.gate(registry.add(make_release()))
    assert result.passed
    assert result.champion_version is None
    assert registry.aliases == {"champion": "1"}
    tags = registry.client.get_model_version(registry.name, "1").tags
    assert tags["gate"] == "passed"
    assert "loads back and scores as the scoring engine does" in tags["gate_reasons"]


@pytest.mark.parametrize("auc", [0.5, 0.31, float("nan")])
def test_a_first_model_no_better_than_a_coin_does_not(registry: Registry, auc: float) -> None:
    result = registry.gate(registry.add(with_auc(auc)))
    assert not result.passed
    assert registry.aliases == {"challenger": "1"}


def test_nothing_held_out_nothing_promoted(registry: Registry) -> None:
    result = registry.gate(registry.add(dataclasses.replace(make_release(), metrics={})))
    assert not result.passed
    assert "states no AUC" in "; ".join(result.reasons)


@pytest.mark.parametrize(("auc", "moves"), [(0.71, True), (0.70, False), (0.69, False)])
def test_only_a_better_challenger_takes_over(registry: Registry, auc: float, moves: bool) -> None:
    registry.gate(registry.add(with_auc(0.70)))
    result = registry.gate(registry.add(with_auc(auc, trees=25)))
    assert result.passed is moves
    assert (result.champion_version, result.champion_auc) == ("1", 0.70)
    assert registry.aliases == ({"champion": "2"} if moves else {"champion": "1", "challenger": "2"})
    run = registry.client.get_run(registry.client.get_model_version(registry.name, "2").run_id)
    assert run.info.run_name == ("verdict (champion v2)" if moves else "verdict (challenger v2)")


def test_other_held_out_loans_are_told(registry: Registry) -> None:
    registry.gate(registry.add(with_auc(0.70)))
    better = with_auc(0.75)
    other = dataclasses.replace(better, metrics={**better.metrics, "rows": 1999.0})
    assert "different held-out loans" in "; ".join(registry.gate(registry.add(other)).reasons)


def test_the_champion_may_be_judged_again(registry: Registry) -> None:
    registry.gate(registry.add(make_release()))
    assert registry.gate("1").passed
    assert registry.aliases == {"champion": "1"}


def spoil_leaf(files: Path) -> None:
    """Change one leaf: still a model, not the banks'."""
    model = json.loads((files / "model.json").read_text())
    tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["split_conditions"][tree["left_children"].index(-1)] += 0.5
    (files / "model.json").write_text(json.dumps(model))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda files: (files / "model.json").write_text('{"learner": '), "cannot be read"),
        (lambda files: (files / "model.json").unlink(), "cannot be read"),
        (lambda files: (files / "extra_files" / "schema.json").write_text("{}"), "cannot be read"),
        (lambda files: (files / "MLmodel").write_text("flavors: {}"), "cannot be loaded back"),
        (spoil_leaf, "sha256"),
    ],
)
def test_a_broken_model_is_refused(registry: Registry, spoil, reason: str) -> None:
    registry.gate(registry.add(with_auc(0.70)))
    version = registry.add(with_auc(0.90))
    spoil(registry.files(version))
    result = registry.gate(version)
    assert not result.passed
    assert reason in "; ".join(result.reasons)
    assert registry.aliases == {"champion": "1"}


def test_a_predictor_that_differs_is_noticed(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(model_check.Predictor):
        def pd(self, matrix):
            return super().pd(np.nan_to_num(matrix))

    monkeypatch.setattr(model_check, "Predictor", Wrong)
    result = registry.gate(registry.add(make_release()))
    assert not result.passed
    assert "disagree" in "; ".join(result.reasons)


def test_threshold_rows_visit_both_sides_of_every_split() -> None:
    parsed = parse_booster(make_release(3, depth=2).model)
    rows = threshold_rows(parsed[0], len(SCHEMA.columns))
    for tree in parsed[0]:
        for node in np.flatnonzero(~tree.is_leaf):
            values = rows[:, tree.split_indices[node]]
            assert {bool(v < tree.split_conditions[node]) for v in values if not np.isnan(v)} == {True, False}
            assert np.isnan(values).any()


def test_an_unloadable_booster_is_not_registered(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="cannot be loaded by xgboost"):
        registry.add(dataclasses.replace(make_release(), model=b'{"learner": {}}'))
    assert not registry.client.search_registered_models(f"name = '{registry.name}'")


def test_an_unknown_version_is_an_error(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="could not be judged"):
        registry.gate("7")
