"""Run files of vertical jobs: the protection follows from the job, and who holds what has to agree before anybody is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from riskfed.datasets import taiwan_schema
from riskfed.datasets.vertical import taiwan_vertical_schema
from riskfed.errors import ConfigurationError, JobError, PlanError, RiskfedError
from riskfed.flower.run_file import RunFile

VERTICAL: dict[str, Any] = {
    "job": {"kind": "vertical_xgboost", "label_holder": "lender"},
    "roster": {"lender": 1, "payments": 2},
    "schema_file": "schema.json",
}


def run_file(folder: Path, partners: int | None = 1, **changes: Any) -> RunFile:
    """A run file with a schema beside it: the vertical one, or without `partners` the ordinary one."""
    schema = taiwan_schema() if partners is None else taiwan_vertical_schema(partners)
    (folder / "schema.json").write_text(schema.model_dump_json())
    (folder / "run.json").write_text(json.dumps({**VERTICAL, **changes}))
    return RunFile.load(folder / "run.json")


def test_a_vertical_job_is_sealed_without_a_word(tmp_path: Path) -> None:
    run = run_file(tmp_path)
    assert run.protection == "sealed"
    plan = run.plan("run-7")
    assert (plan.protection, plan.roster, plan.key_bits) == ("sealed", ("lender", "payments"), 2048)
    assert plan.schema_fingerprint == taiwan_vertical_schema().fingerprint


def test_two_feature_holders_make_three_parties(tmp_path: Path) -> None:
    plan = run_file(tmp_path, 2, roster={"lender": 1, "payments": 2, "bureau": 3}).plan("run-7")
    assert plan.roster == ("bureau", "lender", "payments")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        (
            {"protection": "masking", "partners": 2, "roster": {"lender": 1, "payments": 2, "bureau": 3}},
            PlanError,
            "protected by sealed, not by masking",
        ),
        ({"roster": {"lender": 1, "payments": 2, "else": 3}}, ConfigurationError, "all of them and nobody else"),
        ({"roster": {"lender": 1}}, ConfigurationError, "features are held by lender, payments"),
        (
            {"job": {"kind": "vertical_xgboost", "label_holder": "payments"}},
            ConfigurationError,
            "label_holder is payments, the schema's is lender",
        ),
        ({"partners": None}, ConfigurationError, "names no holders of features, which does not suit"),
        (
            {"job": {"kind": "horizontal_xgboost"}, "roster": {"a": 1, "b": 2, "c": 3}},
            ConfigurationError,
            "names the holder of each feature, which does not suit a horizontal_xgboost job",
        ),
    ],
)
def test_what_does_not_go_together_is_said(
    tmp_path: Path, changes: dict[str, Any], error: type[RiskfedError], says: str
) -> None:
    with pytest.raises(error, match=says):
        run_file(tmp_path, **changes).plan("run-7")


def test_no_champion_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no party has all columns that a champion needs"):
        run_file(tmp_path, job={**VERTICAL["job"], "champion_sha256": "0" * 64})


def test_a_horizontal_job_cannot_be_sealed(tmp_path: Path) -> None:
    horizontal = {"job": {"kind": "horizontal_xgboost"}, "roster": {"a": 1, "b": 2, "c": 3}}
    with pytest.raises(PlanError, match="protected by masking or paillier, not by sealed"):
        run_file(tmp_path, None, protection="sealed", **horizontal).plan("run-7")


def test_the_example_is_a_valid_run_file_whose_parties_suit_the_schema(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "deploy" / "run.vertical.example.toml").read_text()
    (tmp_path / "run.toml").write_text(text)
    (tmp_path / "schema.json").write_text(taiwan_vertical_schema().model_dump_json())
    plan = RunFile.load(tmp_path / "run.toml").plan("run-7")
    assert (plan.protection, plan.roster, plan.job.least_node) == ("sealed", ("lender", "payments"), 20)
