"""A run's events become one MLflow run; and whatever MLflow does, the training goes on and the model is kept."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from riskfed.errors import RegistryError
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.reports.pictures import run_pictures
from riskfed.tracking import run as run_module
from riskfed.tracking.recorder import Recorder
from riskfed.tracking.run import MlflowRun
from tests.serving.models import SCHEMA, make_release
from tests.serving.runs import BANKS, RECEIVED, make_plan, opening, whole_run

Tracked = Callable[..., MlflowRun]


@pytest.fixture(scope="module")
def recorded(tracked: Tracked, tmp_path_factory: pytest.TempPathFactory) -> MlflowRun:
    """A whole run, recorded."""
    path = tmp_path_factory.mktemp("release") / "new" / "release.json"
    with tracked("recorded", "recorded-model", release_path=path, pictures=run_pictures) as tracking:
        for event in whole_run(make_release()):
            tracking(event)
    return tracking


@pytest.fixture
def client(store: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(store, store)


def history_of(client: mlflow.MlflowClient, tracking: MlflowRun, metric: str) -> dict[int, float]:
    points = client.get_metric_history(tracking.run_id, metric)
    steps = [point.step for point in points]
    assert len(steps) == len(set(steps)), f"{metric} has two values at a step"
    return {point.step: point.value for point in points}


def test_parameters_and_tags(client: mlflow.MlflowClient, recorded: MlflowRun) -> None:
    run = client.get_run(recorded.run_id)
    assert run.info.status == "FINISHED"
    parameters = run.data.params
    assert parameters["n_estimators"] == "20"
    assert parameters["learning_rate"] == "0.1"
    assert parameters["protection"] == "masking"
    assert parameters["banks"] == "3"
    assert "max_depth" not in parameters, "a default crowds the cards"
    assert "key_bits" not in parameters
    assert run.data.tags["riskfed.roster"] == "alder, birch, cedar/2"
    assert run.data.tags["schema_fingerprint"] == SCHEMA.fingerprint
    assert run.data.tags["schema"] == "test-loans 3"
    assert run.data.tags["riskfed.attempt"] == "1"


def test_metrics_by_tree(client: mlflow.MlflowClient, recorded: MlflowRun) -> None:
    release = make_release()
    assert history_of(client, recorded, "progress/logloss") == {
        tree: figures["logloss"] for tree, figures in enumerate(release.history, 1)
    }
    received = history_of(client, recorded, "traffic/bytes_received")
    assert received == {0: 2 * 3 * RECEIVED, **{tree: 3 * 3 * RECEIVED for tree in range(1, 21)}}
    assert history_of(client, recorded, "time/seconds")[7] == pytest.approx(0.75)
    assert history_of(client, recorded, "traffic/total_bytes_received") == {0: (2 + 60 + 1) * 3 * RECEIVED}
    assert history_of(client, recorded, "valid/auc") == {0: release.metrics["auc"]}
    final = client.get_run(recorded.run_id).data.metrics
    assert final["time/run_seconds"] == 12.5
    assert final["exactness/banks_agree"] == 1
    assert final["exactness/fixed_point_bits"] == 40
    assert final["valid/trees"] == 20


def test_figures_of_one_bank_only_where_it_shows_them(client: mlflow.MlflowClient, recorded: MlflowRun) -> None:
    metrics = client.get_run(recorded.run_id).data.metrics
    assert metrics["bank.cedar_2/auc"] == 0.7
    assert not [name for name in metrics if any(bank in name for bank in BANKS[:2])]


def test_the_verdict_is_what_one_sees_first(client: mlflow.MlflowClient, recorded: MlflowRun) -> None:
    run, auc = client.get_run(recorded.run_id), make_release().metrics["auc"]
    assert run.info.run_name.startswith(f"AUC {auc:.4f}, KS ")
    assert run.info.run_name.endswith(", 3 banks, masking (champion v1)")
    assert f"AUC {auc:.4f}" in run.data.tags["mlflow.note.content"].splitlines()[0]
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.note.content"].startswith("**champion of recorded-model: version 1")


def test_the_schema_is_a_dataset_without_rows(client: mlflow.MlflowClient, recorded: MlflowRun) -> None:
    (given,) = client.get_run(recorded.run_id).inputs.dataset_inputs
    assert given.dataset.name == "test-loans-3"
    columns = json.loads(given.dataset.schema)["mlflow_colspec"]
    assert [column["name"] for column in columns] == [*(feature.name for feature in SCHEMA.features), "default"]
    assert given.dataset.profile is None


def test_pictures_are_cards(client: mlflow.MlflowClient, recorded: MlflowRun) -> None:
    names = {Path(file.path).name.split("+")[0] for file in client.list_artifacts(recorded.run_id, "images")}
    assert {
        f"at a glance~{card}" for card in ("1 roc", "3 calibration", "7 feature gain", "8 traffic", "9 time")
    } <= names


def test_the_release_is_on_disk(recorded: MlflowRun) -> None:
    assert ModelRelease.from_bytes(recorded._release_path.read_bytes()) == make_release()


def test_exactness_can_be_added_later(client: mlflow.MlflowClient, recorded: MlflowRun) -> None:
    assert recorded.run_id is not None
    recorded.log_exactness(recorded.run_id, 20, 20)
    run = client.get_run(recorded.run_id)
    assert run.data.metrics["exactness/identical_trees"] == 20
    assert run.data.tags["riskfed.identical_to_pooled"] == "20 of 20 trees"
    with pytest.raises(RegistryError, match="not recorded"):
        recorded.log_exactness("no-such-run", 1, 2)


def test_a_failed_run_says_why(tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path) -> None:
    with tracked("failing", "m", release_path=tmp_path / "release.json") as tracking:
        for event in [*opening(make_plan()), events.RunFailed("bank birch did not answer within 60 s")]:
            tracking(event)
    run = client.get_run(tracking.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["riskfed.failure"] == "bank birch did not answer within 60 s"
    assert run.info.run_name == "failed: bank birch did not answer within 60 s"
    assert tracking.version is None
    assert not (tmp_path / "release.json").exists()


def test_a_second_attempt_goes_on_in_the_same_run(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    ids = []
    for attempt in (1, 2):
        with tracked("resuming", None, release_path=tmp_path / "release.json") as tracking:
            for event in opening(make_plan("resumed", attempt)):
                tracking(event)
            tracking(events.AttemptFailed(attempt, "bank ash is lost"))
        ids.append(tracking.run_id)
    assert ids[0] == ids[1] is not None
    tags = client.get_run(ids[0]).data.tags
    assert (tags["riskfed.attempt"], tags["riskfed.attempt_1_lost"]) == ("2", "bank ash is lost")


class Outage:
    """Makes MLflow fail for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, calls: int) -> None:
        self.left = calls
        genuine = mlflow.MlflowClient.log_batch

        def log_batch(client: mlflow.MlflowClient, *arguments: object, **named: object) -> object:
            if self.left > 0:
                self.left -= 1
                raise MlflowException("the database is locked")
            return genuine(client, *arguments, **named)

        monkeypatch.setattr(mlflow.MlflowClient, "log_batch", log_batch)


def test_nothing_is_lost_in_an_outage(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_RETRY_SECONDS", 0.05)
    outage = Outage(monkeypatch, calls=3)
    tracking = tracked("outage", None, release_path=tmp_path / "release.json")
    started, *rest = whole_run(make_release())
    tracking(started)
    deadline = time.monotonic() + 60
    while outage.left and time.monotonic() < deadline:
        time.sleep(0.05)
    for event in rest:
        tracking(event)
    tracking.finish()
    assert len(history_of(client, tracking, "progress/logloss")) == 20
    assert sum(history_of(client, tracking, "time/rounds").values()) == 62
    assert client.get_run(tracking.run_id).info.status == "FINISHED"


def test_a_dead_mlflow_fails_at_the_end_and_the_model_is_kept(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_RETRY_SECONDS", 0.05)
    Outage(monkeypatch, calls=10**9)
    path = tmp_path / "release.json"
    tracking = tracked("dead", "dead-model", release_path=path)
    begun = time.monotonic()
    for event in whole_run(make_release()):
        tracking(event)
    assert time.monotonic() - begun < 1, "the training waited for MLflow"
    with pytest.raises(RegistryError, match=f"the model is safe in {path}"):
        tracking.finish()
    assert ModelRelease.from_bytes(path.read_bytes()) == make_release()
    assert client.get_run(tracking.run_id).info.status in ("FAILED", "RUNNING")


def test_the_runs_own_error_is_not_hidden(tracked: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Outage(monkeypatch, calls=10**9)

    def train() -> None:
        with tracked("dead", None, release_path=tmp_path / "release.json") as tracking:
            tracking(next(opening(make_plan())))
            raise KeyError("of the training")

    with pytest.raises(KeyError, match="of the training"):
        train()


def test_a_model_that_cannot_be_kept_is_reported(tracked: Tracked, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tracking = tracked("unwritable", None, release_path=tmp_path / "file" / "release.json")
    for event in whole_run(make_release(3)):
        tracking(event)
    with pytest.raises(RegistryError, match="could not be written"):
        tracking.finish()


def test_a_run_without_pictures_is_still_recorded(
    tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    def draw(*_: object) -> dict[str, bytes]:
        raise ValueError

    with tracked("plain", None, release_path=tmp_path / "release.json", pictures=draw) as tracking:
        for event in whole_run(make_release(3)):
            tracking(event)
    run = client.get_run(tracking.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["riskfed.pictures"] == "could not be drawn: ValueError"


def test_a_long_run_is_written_in_few_calls(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    genuine = mlflow.MlflowClient.log_batch

    def count(client: mlflow.MlflowClient, *arguments: object, **named: object) -> object:
        calls.append(1)
        return genuine(client, *arguments, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", count)
    release = make_release(3)
    release = dataclasses.replace(release, history=[{"logloss": 0.5}] * 500)
    recorder = Recorder(store, "long", artifact_location=str(tmp_path))
    now = int(time.time() * 1000)
    for event in whole_run(release):
        recorder.apply(event, now)
        recorder.flush(now=False)
    assert len(calls) < 30, f"{len(calls)} calls for 1,500 rounds"
