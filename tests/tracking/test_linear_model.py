"""A linear model in parts in the registry: it scores raw records and partial scores without riskfed, and a changed one is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from riskfed.jobs import VerticalLogistic
from riskfed.linear_model import LinearScore, StandardTerm, VerticalLogisticModel
from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import linear_model_of
from riskfed.reports.pictures import run_pictures
from riskfed.reports.validation_report import validation_report
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.schema import Schema
from riskfed.scoring import read_model
from riskfed.serving.models.signature import check_signature
from riskfed.tracking.flavours import save_model
from riskfed.tracking.model_check import model_faults
from riskfed.tracking.run import MlflowRun
from riskfed.tracking.verdict import form_facts
from tests.joint.linear_models import linear_parts
from tests.joint.models import SCHEMA, customers
from tests.serving.runs import whole_run

RELEASE = linear_parts().release()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's folder of the model."""
    folder = tmp_path_factory.mktemp("linear")
    save_model(RELEASE, folder, "m-1", "run")
    return folder / "model"


def records(rows: int = 200) -> pd.DataFrame:
    """The label holder's columns as they come, and a score of each partner."""
    frame = customers(rows, seed=3)
    for name, part in linear_parts().parts.items():
        frame[name] = part.score.partial(SCHEMA.part_of(name).encode(frame)).astype(np.float32)
    frame.loc[0, "payments"] = np.nan
    return frame


def test_it_scores_records_with_partial_scores(saved: Path) -> None:
    frame = records()
    scored = mlflow.pyfunc.load_model(str(saved)).predict(frame[["income", "late payments", "payments", "shop"]])
    model = read_model(RELEASE.model, RELEASE.schema)
    encoded = RELEASE.schema.encode(frame)
    np.testing.assert_allclose(scored["pd"], model.pd(encoded), rtol=0, atol=1e-14)
    linear = linear_model_of(RELEASE)
    assert linear is not None
    np.testing.assert_array_equal(scored["points"], linear.scale.points_of_log_odds(model.margins(encoded)))


def test_standardised_columns_score_alike_one_hot_ones_too(tmp_path: Path) -> None:
    fields = {name: getattr(SCHEMA, name) for name in ("name", "target")}
    features = SCHEMA.part_of("payments").features
    plain = Schema(**fields, features=tuple(each.model_copy(update={"holder": ""}) for each in features))
    shape = {"mean": 0.4, "scale": 0.5, "coefficient": -0.6}
    own = LinearScore(
        columns=plain.columns,
        terms=tuple(
            StandardTerm(feature=name, column=place, **shape)
            for name, place in (("turnover", 0), ("region", 1), ("region", 2))
        ),
    )
    scale = {"base_score": 600.0, "base_odds": 50.0, "pdo": 20.0, "rows": 10, "defaults": 3}
    model = VerticalLogisticModel(columns=plain.columns, intercept=0.2, own=own, **scale)
    save_model(ModelRelease(model.to_bytes(), plain, {}, [], [], 0, kind="vertical_logistic"), tmp_path, "m-2", "run")
    frame = customers(100, seed=4)
    scored = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(frame[["turnover", "region"]])
    expected = read_model(model.to_bytes(), plain).pd(plain.encode(frame))
    assert frame["region"].isna().any()
    np.testing.assert_allclose(scored["pd"], expected, rtol=0, atol=1e-14)


def test_its_files_are_sound_and_a_changed_one_is_noticed(saved: Path, tmp_path: Path) -> None:
    tags = form_facts(RELEASE)
    assert model_faults(saved, tags) == ()
    check_signature((saved / "MLmodel").read_bytes(), linear_parts().files())
    scorer, partners = "scorecard_scorer.py", "partners.json"
    changes = {
        scorer: ('term["coefficient"]', '(1.01 * term["coefficient"])', "disagree on"),
        partners: ('"shop"', '"market"', "are not the partners' splits"),
        "fallback.json": ("-0.2", "-0.3", "fallback.json is not what was released"),
        "model.json": ('"intercept":-0.3', '"intercept":-0.4', "not the one that the banks released"),
    }
    for name, (old, new, told) in changes.items():
        folder = tmp_path / name
        shutil.copytree(saved, folder)
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
        assert any(told in fault for fault in model_faults(folder, tags)), name


def test_the_run_registers_it_and_tells_who_holds_the_rest(
    tracked: Callable[..., MlflowRun], store: str, tmp_path: Path
) -> None:
    job = VerticalLogistic(label_holder="lender", coordinator="arbiter", validation_fraction=0.2)
    plan = Plan(
        run="run-1",
        roster=("arbiter", "lender", "payments", "shop"),
        job=job,
        schema_fingerprint="0" * 64,
        protection="sealed",
    )
    client = mlflow.MlflowClient(store, store)
    with tracked("linear", "linear", release_path=tmp_path / "release.json", pictures=run_pictures) as tracking:
        for event in whole_run(RELEASE, plan):
            tracking(event)
    version = client.get_model_version("linear", tracking.version)
    assert version.tags["feature_holders"] == "payments, shop"
    assert [one["answers"] for one in json.loads(Path(version.source, "partners.json").read_text())] == [
        "partial_score"
    ] * 2
    assert tracking.gate_result is not None
    assert tracking.gate_result.passed, tracking.gate_result.reasons
    card = Path(client.download_artifacts(tracking.run_id, "model_card.md", str(tmp_path))).read_text()
    assert "held by shop, in its vault only: terms and weights" in card
    assert "it answers with partial score" in card
    points = Path(client.download_artifacts(tracking.run_id, "points_card.md", str(tmp_path))).read_text()
    assert points == VerticalLogisticModel.from_bytes(RELEASE.model).as_text(RELEASE.schema)
    run = client.get_run(tracking.run_id).data
    assert not {"riskfed.report", "riskfed.pictures"} & set(run.tags)  # where they say what could not be made
    assert not [name for name in run.metrics if name.startswith("joint/splits")]


def test_the_report_shows_the_own_card_and_says_who_saw_what() -> None:
    page = validation_report(ReportInput(RELEASE, facts={"label_holder": "lender", "protection": "sealed"}))
    assert "logistic regression in parts: 2 terms of the label holder, and the partial score of payments" in page
    assert "late payments" in page
    assert "gradients of their own coefficients" in page
    assert "turnover" not in page
    withheld = validation_report(ReportInput(RELEASE.withheld()))
    assert "The banks withheld the model" in withheld
