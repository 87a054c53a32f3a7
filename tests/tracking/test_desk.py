"""What a finished run leaves: verdict, figures, tables, model card, report; and what the gate and a person make of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.evaluation.limits import Limit, Limits
from riskfed.evaluation.record import Evaluation, Interval
from riskfed.jobs import ModelMonitoring
from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import judge_release, scorecard_of
from riskfed.tracking import monitoring, release_artifact
from riskfed.tracking.promotion import promote
from riskfed.tracking.run import MlflowRun
from riskfed.tracking.tables import tables_of
from tests.reports.sample import SCHEMA, scorecard_release, xgboost_release
from tests.serving.runs import BANKS, make_plan, whole_run

Tracked = Callable[..., MlflowRun]
LENIENT = Limits(**{name: Limit() for name in Limits.model_fields})
STRICT = Limits(**{**{name: Limit() for name in Limits.model_fields}, "auc": Limit(amber=0.99, red=0.98)})


@pytest.fixture
def client(store: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(store, store)


def record(
    tracked: Tracked, name: str, release: ModelRelease, folder: Path, acceptance: Limits, plan: Plan | None = None
) -> MlflowRun:
    def report(_release: ModelRelease, verdict: object, facts: object) -> str:
        return f"<html>{type(verdict).__name__} {sorted(dict(facts))}</html>"  # type: ignore[call-overload]

    with tracked(name, name, release_path=folder / "release.json", report=report, acceptance=acceptance) as tracking:
        for event in whole_run(release, plan):
            tracking(event)
    return tracking


@pytest.fixture(scope="module")
def card_run(tracked: Tracked, tmp_path_factory: pytest.TempPathFactory) -> MlflowRun:
    """A scorecard's run, within all limits."""
    return record(tracked, "card", scorecard_release(), tmp_path_factory.mktemp("card"), LENIENT)


def test_the_colour_comes_first(client: mlflow.MlflowClient, card_run: MlflowRun) -> None:
    run, auc = client.get_run(card_run.run_id), scorecard_release().metrics["auc"]
    assert run.info.run_name.startswith(f"GREEN: AUC {auc:.4f}, KS ")
    assert run.info.run_name.endswith("(champion v1)")
    assert run.data.tags["verdict"] == "green"
    assert run.data.tags["mlflow.note.content"].startswith(f"**GREEN: AUC {auc:.4f}")
    banner = client.get_experiment(run.info.experiment_id).tags["mlflow.note.content"]
    assert banner.startswith(f"**champion of card: version 1, AUC {auc:.4f} (95 % ")
    assert "\n" not in banner


def test_figures_have_sections_and_are_bars(client: mlflow.MlflowClient, card_run: MlflowRun) -> None:
    evaluation, metrics = scorecard_release().evaluation, client.get_run(card_run.run_id).data.metrics
    assert evaluation is not None
    assert metrics["calibration/slope"] == evaluation.calibration.slope.value
    assert metrics["stability/psi"] == evaluation.score_shift.index
    assert metrics["champion/auc_difference"] == evaluation.swap.auc_difference.value
    assert any(name.startswith("fairness/air ") for name in metrics)
    assert "valid/psi" not in metrics, "a figure is shown twice"
    (point,) = client.get_metric_history(card_run.run_id, "calibration/slope")
    assert point.step == 0, "one figure at a later step is drawn as a line"


def test_files_can_be_read_back(store: str, client: mlflow.MlflowClient, card_run: MlflowRun) -> None:
    names = {file.path for file in client.list_artifacts(card_run.run_id)}
    assert {"model_card.md", "points_card.md", "evaluation.json", "verdict.json", "release.json", "tables"} <= names
    release, facts = release_artifact.load(store, card_run.run_id)
    assert release == scorecard_release()
    assert facts["registered"] == "card version 1"
    assert facts["roster"] == ", ".join(BANKS)
    assert facts["n_estimators"] == "20"
    assert Limits(**json.loads(facts["acceptance"])) == LENIENT
    assert release_artifact.load_verdict(store, card_run.run_id) == judge_release(release, LENIENT)
    assert [file.path for file in client.list_artifacts(card_run.run_id, "report")] == ["report/validation_report.html"]


def test_a_run_without_release_says_so(store: str, client: mlflow.MlflowClient) -> None:
    experiment = client.create_experiment("empty")
    run = client.create_run(experiment).info.run_id
    with pytest.raises(RegistryError, match=r"has no release\.json"):
        release_artifact.load(store, run)


def test_tables_add_up() -> None:
    release = scorecard_release()
    evaluation = release.evaluation
    assert evaluation is not None
    tables = tables_of(evaluation, None, scorecard_of(release))
    gains = tables["gains"].rows[-1]
    assert gains[1] == sum(grade.goods + grade.bads for grade in evaluation.grades)
    assert (gains[2], gains[4]) == (1.0, 1.0)
    shifts = [row[1] for row in tables["feature_stability"].rows]
    assert shifts == sorted(shifts, reverse=True)
    assert json.loads(tables["points_card"].to_json())["columns"][0] == "variable"
    assert "null" not in tables["points_card"].to_json()


def test_the_model_card_has_mitchells_sections(client: mlflow.MlflowClient, card_run: MlflowRun) -> None:
    description = client.get_model_version("card", card_run.version).description
    order = ["Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"]
    order += ["Quantitative analyses", "Ethical considerations", "Caveats and recommendations"]
    places = [description.index(f"## {heading}") for heading in order]
    assert places == sorted(places)
    assert SCHEMA.description in description


def test_a_red_model_is_promoted_by_a_person_only(
    store: str, tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    tracking = record(tracked, "red", xgboost_release(), tmp_path, STRICT)
    assert tracking.gate_result is not None
    assert not tracking.gate_result.passed
    assert "beyond a red limit" in "; ".join(tracking.gate_result.reasons)
    assert set(client.get_registered_model("red").aliases) == {"challenger"}
    with pytest.raises(RegistryError, match="does not pass the gate"):
        promote(store, "red", "1", by="ann")
    with pytest.raises(ConfigurationError, match="needs a reason"):
        promote(store, "red", "1", by="ann", despite_the_gate=True)
    decided = promote(store, "red", "1", by="ann", reason="the committee of 12 May", despite_the_gate=True)
    assert not decided.found.passed
    version = client.get_model_version("red", "1")
    assert set(client.get_registered_model("red").aliases) == {"champion"}
    assert version.tags["promoted_by"] == "ann"
    assert version.tags["promoted_despite_the_gate"] == "true"
    assert version.description.startswith("**champion by decision of ann, ")
    assert client.get_run(tracking.run_id).info.run_name.startswith("RED: AUC")
    assert client.get_run(tracking.run_id).info.run_name.endswith("(champion v1)")


def test_a_model_that_cannot_be_loaded_is_never_promoted(
    store: str, tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    record(tracked, "broken", xgboost_release(), tmp_path, STRICT)
    (Path(client.get_model_version("broken", "1").source) / "MLmodel").write_text("flavors: {}")
    with pytest.raises(RegistryError, match="cannot be loaded back"):
        promote(store, "broken", "1", by="ann", reason="at any price", despite_the_gate=True)
    assert "champion" not in client.get_registered_model("broken").aliases


@pytest.mark.parametrize(("gain", "passes"), [(0.01, True), (-0.01, False)])
def test_the_same_loans_decide_where_the_banks_compared(
    tracked: Tracked, tmp_path: Path, gain: float, passes: bool
) -> None:
    name, champion = f"same-loans-{passes}", scorecard_release()
    record(tracked, name, champion, tmp_path, LENIENT)
    evaluation = xgboost_release().evaluation
    assert evaluation is not None
    assert evaluation.swap is not None
    auc = evaluation.discrimination.auc.value
    swap = evaluation.swap.model_copy(
        update={
            "champion_sha256": champion.model_sha256,
            "champion_auc": auc - gain,
            "auc_difference": Interval(value=gain, low=gain - 0.005, high=gain + 0.005),
        }
    )
    challenger = dataclasses.replace(xgboost_release(), evaluation=evaluation.model_copy(update={"swap": swap}))
    result = record(tracked, name, challenger, tmp_path, LENIENT).gate_result
    assert result is not None
    assert result.passed is passes
    assert f"on the same loans AUC {auc:.6f} against the champion's {auc - gain:.6f}" in "; ".join(result.reasons)


def monitored(model: ModelRelease) -> ModelRelease:
    evaluation: Evaluation | None = model.evaluation
    return dataclasses.replace(model, model=b"", form="withheld", kind="model_monitoring", evaluation=evaluation)


def test_monitoring_is_told_at_the_version(
    store: str, tracked: Tracked, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    model = xgboost_release()
    registered = record(tracked, "watched", model, tmp_path, LENIENT)
    job = ModelMonitoring(model_sha256=model.model_sha256)
    plan = make_plan().model_copy(update={"job": job})
    watching = record(tracked, "watched", monitored(model), tmp_path, STRICT, plan)
    run = client.get_run(watching.run_id)
    assert run.info.run_name.startswith("RED: monitoring 20")
    assert "AUC 0." in run.info.run_name
    assert watching.version is None
    assert "- at development: AUC " in run.data.tags["mlflow.note.content"]
    version = client.get_model_version("watched", registered.version)
    assert version.tags["monitoring"].startswith("RED 20")
    assert ", monitoring RED 20" in client.get_experiment(run.info.experiment_id).tags["mlflow.note.content"]
    facts = {"banks": "3", "protection": "masking"}
    run_id, verdict = monitoring.record(store, "watched", monitored(model), facts=facts, acceptance=LENIENT)
    assert verdict is not None
    assert client.get_run(run_id).info.run_name.startswith("GREEN: monitoring 20")
    assert client.get_model_version("watched", registered.version).tags["monitoring"].startswith("GREEN")
