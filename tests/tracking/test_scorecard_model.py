"""A registered scorecard scores raw records as the scoring engine does, wherever it is loaded, and says what is wrong without values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from riskfed.protocols.release_verdict import scorecard_of
from riskfed.scoring import read_model, scale_of
from riskfed.tracking.flavours import save_model
from riskfed.tracking.model_check import edge_records, model_faults
from riskfed.tracking.verdict import form_facts
from tests.reports.sample import SCHEMA, loans, scorecard_release

ALONE = """
import sys
sys.modules["riskfed"] = None  # whoever imports it fails
import mlflow.pyfunc, pandas
records = pandas.read_csv(sys.argv[2])
mlflow.pyfunc.load_model(sys.argv[1]).predict(records).to_csv(sys.argv[3], index=False)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's folder of a scorecard."""
    folder = tmp_path_factory.mktemp("scorecard")
    save_model(scorecard_release(), folder, "m-1", "run")
    return folder / "model"


def expected(records: pd.DataFrame) -> np.ndarray:
    release = scorecard_release()
    return read_model(release.model, release.schema).pd(SCHEMA.encode(records))


def test_it_scores_raw_records_without_riskfed(saved: Path, tmp_path: Path) -> None:
    records = loans()[1].head(200)
    # A file as an analyst has it: whole amounts come back as 64-bit integers, levels as texts.
    records.to_csv(tmp_path / "records.csv", index=False)
    command = [sys.executable, "-c", ALONE, str(saved), str(tmp_path / "records.csv"), str(tmp_path / "out.csv")]
    subprocess.run(command, check=True, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, cwd=tmp_path)
    scored = pd.read_csv(tmp_path / "out.csv", float_precision="round_trip")
    assert list(scored.columns) == ["pd", "points"]
    records = pd.read_csv(tmp_path / "records.csv")
    np.testing.assert_allclose(scored["pd"], expected(records), rtol=0, atol=1e-14)


def test_points_are_those_of_the_scoring_engine(saved: Path) -> None:
    release = scorecard_release()
    card, scale = scorecard_of(release), scale_of(release.model)
    assert card is not None
    assert scale is not None
    records = edge_records(card, release.schema)
    scored = mlflow.pyfunc.load_model(str(saved)).predict(records)
    margins = read_model(release.model, release.schema).margins(release.schema.encode(records))
    np.testing.assert_array_equal(scored["points"], scale.points_of_log_odds(margins))
    np.testing.assert_allclose(scored["pd"], expected(records), rtol=0, atol=1e-14)


def test_edge_records_meet_the_schema_and_visit_every_bin() -> None:
    card = scorecard_of(scorecard_release())
    assert card is not None
    records = edge_records(card, SCHEMA)
    matrix = SCHEMA.encode(records)
    for variable in card.variables:
        feature = next(f for f in SCHEMA.features if f.name == variable.feature)
        reachable = len(variable.bins) - (0 if feature.nullable else 1)
        codes = variable.feature_bins.codes(lambda at: matrix[:, at])
        assert len(set(codes.tolist())) >= reachable


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("purpose", "secret-17", "column purpose: 3 values are no level of the schema"),
        ("bureau_score", "secret-17", "column bureau_score holds values that are no numbers"),
        ("bureau_score", 1e30, "column bureau_score: 3 values are outside of the schema's range"),
    ],
)
def test_records_that_do_not_meet_the_schema_are_refused(saved: Path, column: str, value: object, told: str) -> None:
    records = loans()[1].head(3).assign(**{column: value})
    with pytest.raises(ValueError, match=told) as refused:
        mlflow.pyfunc.load_model(str(saved)).predict(records)
    assert "secret" not in str(refused.value)


def test_the_files_are_the_released_ones_and_name_no_place(saved: Path) -> None:
    release = scorecard_release()
    assert (saved / "model.json").read_bytes() == release.model
    assert model_faults(saved, form_facts(release)) == ()
    described = (saved / "MLmodel").read_text()
    assert str(Path(__file__).parents[2]) not in described
    requirements = {line.partition("==")[0] for line in (saved / "requirements.txt").read_text().split()}
    assert requirements == {"mlflow", "numpy", "pandas"}


def test_a_scorecard_that_scores_differently_is_noticed(tmp_path: Path) -> None:
    release = scorecard_release()
    save_model(release, tmp_path, "m-2", "run")
    scorer = tmp_path / "model" / "scorecard_scorer.py"
    scorer.write_text(scorer.read_text().replace('side="right"', 'side="left"'))
    (fault,) = model_faults(tmp_path / "model", form_facts(release))
    assert "disagree on" in fault


def test_a_spoilt_card_is_noticed(tmp_path: Path) -> None:
    release = scorecard_release()
    save_model(release, tmp_path, "m-3", "run")
    path = tmp_path / "model" / "model.json"
    card = json.loads(path.read_text())
    card["fit"]["intercept"] += 1.0
    path.write_text(json.dumps(card))
    assert "the model is not the one that the banks released (sha256)" in model_faults(
        tmp_path / "model", form_facts(release)
    )
