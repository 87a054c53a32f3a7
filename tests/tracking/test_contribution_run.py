"""A contribution run in MLflow: the split is read first, and nothing is registered or judged."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from riskfed.errors import RemoteProtocolError
from riskfed.evaluation.contribution import BankShare, ContributionRecord
from riskfed.jobs import BankContribution, HorizontalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.reports.contribution_plots import shapley_bars
from riskfed.reports.pictures import run_pictures
from riskfed.tracking.contribution import headline
from riskfed.tracking.run import MlflowRun
from tests.serving.models import SCHEMA
from tests.serving.runs import make_plan, whole_run


def record(method: str = "exact", banks: int = 3) -> ContributionRecord:
    names = ["alder", "birch", "cedar/2", *(f"dogwood {number}" for number in range(banks - 3))]
    values = [0.21, 0.06, -0.02, *([0.001] * (banks - 3))]
    whiskers = 0.01 if method == "sampled" else None
    return ContributionRecord(
        utility="auc",
        base=0.5,
        start=0.5,
        total=sum(values),
        least_coalition=1,
        method="sampled" if whiskers else "exact",
        orders=8 if whiskers else None,
        coalitions=7,
        untrained=0,
        rows=9000,
        defaults=2000,
        banks=tuple(
            BankShare(
                bank=name,
                shapley=value,
                lower=value - whiskers if whiskers else None,
                upper=value + whiskers if whiskers else None,
                leave_one_out=value / 10,
                reward_share=max(value, 0.0) / 0.27,
                copies=900 if name == "birch" else None,
                repeats=0,
                has_records=True,
            )
            for name, value in zip(names, values, strict=True)
        ),
        warnings=("cedar/2: its records make the model worse",),
    )


def release(found: ContributionRecord | None = None) -> ModelRelease:
    return ModelRelease(
        model=b"",
        schema=SCHEMA,
        metrics={"rows": 9000.0, "defaults": 2000.0},
        history=[],
        score_cells=[],
        fixed_point_bits=0,
        form="withheld",
        model_sha256="0" * 64,
        kind="contribution",
        contribution=found or record(),
    )


def test_the_split_is_what_is_read_first(store: str, tracked: Callable[..., MlflowRun], tmp_path: Path) -> None:
    def report(*_: object) -> str:
        raise AssertionError("there is no model to report on")

    job = BankContribution(model=HorizontalXgboost(n_estimators=2), least_coalition=1)
    plan = make_plan().model_copy(update={"job": job})
    path = tmp_path / "release.json"
    with tracked("rewards", "rewards", release_path=path, report=report, pictures=run_pictures) as tracking:
        for event in whole_run(release(), plan):
            tracking(event)
    assert (tracking.version, tracking.verdict) == (None, None)
    client = mlflow.MlflowClient(store, store)
    assert tracking.run_id is not None
    run = client.get_run(tracking.run_id)
    assert run.info.run_name == "contribution: alder 78%, birch 22%, cedar/2 0%, AUC +0.2500 shared, 3 banks, masking"
    note = run.data.tags["mlflow.note.content"]
    assert note.index("cedar/2: its records make the model worse") < note.index("| alder | 0.7778 | 0.21 |")
    assert run.data.metrics["contribution/cedar_2"] == -0.02
    assert run.data.metrics["reward/alder"] == pytest.approx(0.21 / 0.27)
    assert run.data.metrics["contribution/total of all"] == pytest.approx(0.25)
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"release.json", "tables", "schema.json"} <= names
    assert not {"model_card.md", "report", "verdict.json"} & names
    local = client.download_artifacts(run.info.run_id, "tables/reward_split.json", str(tmp_path))
    table = json.loads(Path(local).read_text())
    assert [row[0] for row in table["data"]] == ["alder", "birch", "cedar/2"]
    assert table["columns"][6] == "rows left out as copies"
    assert [row[6] for row in table["data"]] == ["", 900, ""]
    assert "riskfed.pictures" not in run.data.tags
    assert ModelRelease.from_bytes(path.read_bytes()) == release()


def test_pictures_show_banks_intervals_and_not_too_many() -> None:
    (name,) = run_pictures(release(), [])
    assert name.endswith("1 contribution")
    axes = shapley_bars(record("sampled", banks=20)).axes[0]
    assert len(axes.get_yticklabels()) == 12
    assert "of 20 banks" in axes.get_xlabel()
    _, told = axes.get_legend_handles_labels()
    assert told == ["Shapley value", "leave one out", "95 %"]
    exact = shapley_bars(record()).axes[0]
    widths = sorted(bar.get_bbox().width for bar in exact.patches)  # type: ignore[attr-defined]
    assert widths == pytest.approx(sorted([0.21, 0.06, -0.02, 0.021, 0.006, -0.002]))


def test_headline_names_three_banks() -> None:
    assert ", ..., AUC" in headline(record(banks=4), "paillier")


@pytest.mark.parametrize("field", ["utility", "total", "banks"])
def test_a_malformed_record_is_no_release(field: str) -> None:
    said = json.loads(release().to_bytes())
    assert ModelRelease.from_bytes(json.dumps(said).encode()) == release()
    said["contribution"][field] = "nonsense"
    with pytest.raises(RemoteProtocolError):
        ModelRelease.from_bytes(json.dumps(said).encode())
    assert b'contribution":' not in dataclasses.replace(release(), contribution=None).to_bytes()
