"""Scoring with the bank's own model: what xgboost gives, without it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost
from typer.testing import CliRunner

from bank_nodes.compact import write_compact
from bank_nodes.config import NodeConfig, load_config
from bank_nodes.connectors import ROWS_AT_ONCE
from bank_nodes.models import store_release
from bank_nodes.score import score_file, score_file_compact
from riskfed.cli import app
from riskfed.errors import ConfigurationError, ContractError, RegistryError
from riskfed.protocols.release import ModelRelease
from riskfed.scorecard.points import ScoreScale
from tests.bank_nodes.banks import SCHEMA, loans, plan_for
from tests.bank_nodes.conftest import Trained
from tests.joint.linear_models import linear_parts


@pytest.fixture
def bank(trained: Trained) -> NodeConfig:
    return load_config(trained.configs["birch"])


@pytest.fixture
def applicants() -> pd.DataFrame:
    return loans(77, rows=300).drop(columns="default")


@pytest.mark.parametrize(("source", "target"), [("csv", "parquet"), ("parquet", "csv")])
def test_scores_are_xgboosts(
    bank: NodeConfig, trained: Trained, applicants: pd.DataFrame, tmp_path: Path, source: str, target: str
) -> None:
    given, wanted = tmp_path / f"new.{source}", tmp_path / f"scores.{target}"
    applicants.to_csv(given, index=False) if source == "csv" else applicants.to_parquet(given)
    assert score_file(bank, given, wanted).rows == 300
    scores = pd.read_csv(wanted) if target == "csv" else pd.read_parquet(wanted)
    booster = xgboost.Booster()
    booster.load_model(bytearray(trained.release.model))
    matrix = xgboost.DMatrix(SCHEMA.encode(applicants), feature_names=list(SCHEMA.columns))
    assert scores.columns.tolist() == ["id", "pd", "points"]
    assert scores["id"].tolist() == applicants["id"].tolist()
    assert np.allclose(scores["pd"], booster.predict(matrix), rtol=2e-7, atol=0)
    margins = booster.predict(matrix, output_margin=True)
    assert np.array_equal(scores["points"], ScoreScale().points_of_log_odds(margins))


def test_applicants_without_an_id(bank: NodeConfig, applicants: pd.DataFrame, tmp_path: Path) -> None:
    applicants.drop(columns="id").to_csv(tmp_path / "new.csv", index=False)
    score_file(bank, tmp_path / "new.csv", tmp_path / "scores.csv", "first")
    assert pd.read_csv(tmp_path / "scores.csv").columns.tolist() == ["pd", "points"]


def test_applicants_that_do_not_meet_the_schema_are_not_scored(
    bank: NodeConfig, applicants: pd.DataFrame, tmp_path: Path
) -> None:
    applicants.assign(amount=987_654).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ContractError, match="above the schema's maximum 50000: column amount, 300 rows") as caught:
        score_file(bank, tmp_path / "new.csv", tmp_path / "scores.csv")
    assert "987" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv"]


@pytest.mark.parametrize(
    ("given", "wanted", "model", "reason"),
    [
        ("absent.csv", "scores.csv", None, "cannot read"),
        ("new.csv", "scores.xlsx", None, "suffix tells neither"),
        ("new.csv", "no/folder/scores.csv", None, "cannot write"),
        ("new.csv", "scores.csv", "other", "no model of run other"),
        ("new.csv", "scores.csv", "../first", "cannot be stored"),
    ],
)
def test_files_that_do_not_work(
    bank: NodeConfig, applicants: pd.DataFrame, tmp_path: Path, given: str, wanted: str, model: str | None, reason: str
) -> None:
    applicants.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ConfigurationError, match=reason):
        score_file(bank, tmp_path / given, tmp_path / wanted, model)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_large_file_is_scored_piece_by_piece(
    bank: NodeConfig, applicants: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    small, large = tmp_path / "small.parquet", tmp_path / f"large.{kind}"
    applicants = applicants.assign(id=pd.array([None] * 150 + list(range(150)), dtype="Int64"))
    applicants.to_parquet(small)
    many = pd.concat([applicants] * (2 * ROWS_AT_ONCE // 300 + 1), ignore_index=True)
    many.to_csv(large, index=False) if kind == "csv" else many.to_parquet(large)
    score_file(bank, small, tmp_path / "expected.parquet")
    output = tmp_path / f"scores.{kind}"
    assert score_file(bank, large, output).rows == len(many)
    scores = pd.read_csv(output) if kind == "csv" else pd.read_parquet(output)
    expected = pd.concat([pd.read_parquet(tmp_path / "expected.parquet")] * (len(many) // 300), ignore_index=True)
    assert np.array_equal(scores["points"], expected["points"])
    assert np.array_equal(scores["id"].astype(float), expected["id"].astype(float), equal_nan=True)
    many.loc[len(many) - 1, "amount"] = -5
    many.to_csv(large, index=False) if kind == "csv" else many.to_parquet(large)
    before = output.read_bytes()
    with pytest.raises(ContractError, match="column amount, 1 rows"):
        score_file(bank, large, output)
    assert output.read_bytes() == before, "whole or not at all"
    assert not list(tmp_path.glob(".*"))


def test_scoring_imports_neither_xgboost_nor_flower_nor_mlflow() -> None:
    code = "import sys, bank_nodes.score, bank_nodes.vault; print({'xgboost', 'flwr', 'mlflow', 'sklearn'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def compact(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compact") / "model.rfc"
    config = str(trained.configs["birch"])
    told = CliRunner().invoke(app, ["node", "compact", str(path), "--config", config, "--model", "first"])
    assert told.exit_code == 0, told.output
    assert hashlib.sha256(trained.release.model).hexdigest() in told.output
    assert path.stat().st_size < len(trained.release.model)
    return path


def test_a_compact_model_scores_alike_on_a_machine_with_little_else(
    bank: NodeConfig, compact: Path, applicants: pd.DataFrame, tmp_path: Path
) -> None:
    """No node file, no keys, and of a node's packages only pandas, pyarrow and typer."""
    applicants.to_csv(tmp_path / "new.csv", index=False, sep=";")
    applicants.to_parquet(tmp_path / "new.parquet")
    score_file(bank, tmp_path / "new.parquet", tmp_path / "expected.csv")
    code = (
        "import sys; sys.modules |= dict.fromkeys("
        "'numba xgboost flwr mlflow grpc structlog cryptography phe gmpy2 prometheus_client sqlalchemy sklearn'.split()); "
        "from riskfed.cli import app; app()"
    )
    command = ["node", "score", "new.csv", "scores.csv", "--compact", str(compact), "--delimiter", ";"]
    told = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert told.stdout.startswith("300 applicants scored by the model of sha256 "), told.stderr
    assert (tmp_path / "scores.csv").read_text().replace(";", ",") == (tmp_path / "expected.csv").read_text()


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--compact", "absent.rfc"], 2, "cannot read the model absent.rfc"),
        (["--compact", "new.csv"], 1, "not a compact model"),
        (["--compact", "model.rfc", "--model", "first"], 2, "give one of them"),
        (["--delimiter", ";"], 2, "--delimiter goes with --compact"),
    ],
)
def test_what_is_wrong_with_a_compact_model_is_said(
    applicants: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    reason: str,
) -> None:
    applicants.to_csv(tmp_path / "new.csv", index=False)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["node", "score", "new.csv", "scores.csv", *options])
    assert told.exit_code == code
    assert reason in told.output
    assert not (tmp_path / "scores.csv").exists()


def test_applicants_who_do_not_meet_a_compact_models_schema(
    compact: Path, applicants: pd.DataFrame, tmp_path: Path
) -> None:
    applicants.assign(amount=987_654).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(ContractError, match="above the schema's maximum 50000: column amount, 300 rows"):
        score_file_compact(compact, tmp_path / "new.csv", tmp_path / "scores.csv")


@pytest.mark.parametrize(
    ("joint", "error", "reason"),
    [(False, ConfigurationError, "has no trees"), (True, RegistryError, "needs answers of payments, shop")],
    ids=["no trees", "a vertical model"],
)
def test_models_that_have_no_compact_form(
    bank: NodeConfig, tmp_path: Path, joint: bool, error: type[Exception], reason: str
) -> None:
    linear = linear_parts()
    own = ModelRelease(linear.fallback, linear.label_schema.part_of("lender"), {}, [], [], 0, kind="vertical_logistic")
    store_release(tmp_path / "models", plan_for("linear"), linear.release() if joint else own)
    config = bank.model_copy(update={"vault": bank.vault.model_copy(update={"models": tmp_path / "models"})})
    with pytest.raises(error, match=reason):
        write_compact(config, tmp_path / "model.rfc")
    assert not (tmp_path / "model.rfc").exists()
