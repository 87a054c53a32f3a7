"""What the operator writes: run files in both formats, their mistakes, and what the tracking table may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from riskfed.errors import ConfigurationError, JobError, PlanError, RiskfedError
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import RunFile
from riskfed.operator_app import tracking_listeners
from tests.flower.federation import NODES, schema

MINIMAL: dict[str, Any] = {
    "job": {"kind": "horizontal_xgboost", "n_estimators": 3},
    "roster": dict(NODES),
    "schema_file": "schema.json",
}


def _load(folder: Path, **changes: Any) -> RunFile:
    (folder / "run.json").write_text(json.dumps({**MINIMAL, **changes}))
    return RunFile.load(folder / "run.json")


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'schema_file = "schema.json"\n[job]\nkind = "horizontal_xgboost"\nn_estimators = 3\n'
        f'[roster]\nash = "{NODES["ash"]}"\nbirch = 12\ncedar = 13\n'  # TOML has no integers above 2^63: ids may be texts
    )
    assert RunFile.load(tmp_path / "run.toml") == _load(tmp_path)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    run = _load(
        tmp_path, transport="message", progress_file="p.jsonl", limits={"round_timeout": 5}, tracking={"uri": "u"}
    )
    run.save(tmp_path / "copy.json")
    assert RunFile.load(tmp_path / "copy.json") == run


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    run = _load(tmp_path, outcome_file="out/outcome.json", release_file="/srv/release.json")
    assert run.schema_file == tmp_path / "schema.json"
    assert run.outcome_file == tmp_path / "out" / "outcome.json"
    assert run.release_file == Path("/srv/release.json")
    assert run.progress_file == tmp_path / "progress.jsonl"


def test_the_plan_is_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(schema().model_dump_json())
    plan = _load(tmp_path, protection="paillier", key_bits=3072).plan("run-7")
    assert (plan.run, plan.attempt, plan.roster) == ("run-7", 1, ("ash", "birch", "cedar"))
    assert (plan.protection, plan.key_bits, plan.job.n_estimators) == ("paillier", 3072, 3)
    assert plan.schema_fingerprint == schema().fingerprint


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"transprot": "session"}, ConfigurationError, "run.json: transprot: Extra inputs"),
        ({"transport": "pigeon"}, ConfigurationError, "transport: Input should be 'session' or 'message'"),
        ({"protection": "none"}, ConfigurationError, "protection: Input should be 'masking', 'paillier'"),
        ({"roster": {"ash": 1, "birch": 1, "cedar": 2}}, ConfigurationError, "two banks have the same node"),
        ({"limits": {"round_timeout": 0}}, ConfigurationError, "limits.round_timeout: Input should be greater than 0"),
        ({"session": {"port": 70000}}, ConfigurationError, "session.port"),
        ({"job": {"kind": "horizontal_xgboost", "max_deep": 3}}, JobError, "unsupported parameter max_deep"),
        ({"job": {"kind": "alchemy"}}, JobError, "unknown job kind"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], error: type[RiskfedError], says: str) -> None:
    with pytest.raises(error, match=says):
        _load(tmp_path, **changes)


def test_an_impossible_roster_is_a_plan_error(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(schema().model_dump_json())
    with pytest.raises(PlanError, match="2 banks, at least 3 are needed"):
        _load(tmp_path, roster={"ash": 1, "birch": 2}).plan("run-7")


@pytest.mark.parametrize("content", [None, "no schema", "[]"])
def test_an_unusable_schema_file_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "schema.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"schema file schema\.json"):
        _load(tmp_path).plan("run-7")


@pytest.mark.parametrize(("name", "content"), [("run.json", "{"), ("run.toml", "= 3"), ("run.json", "[1]")])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=name):
        RunFile.load(tmp_path / name)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"run file nowhere\.toml cannot be read"):
        RunFile.load(tmp_path / "nowhere.toml")


def test_no_tracking_table_means_no_tracking(tmp_path: Path) -> None:
    assert tracking_listeners(_load(tmp_path), "run-7") == ()


@pytest.mark.parametrize(
    "table", [{}, {"uri": "u"}, {"uri": "u", "experiment": "e", "expriment": "x"}, {"uri": 3, "experiment": "e"}]
)
def test_a_wrong_tracking_table_is_refused_before_the_run(tmp_path: Path, table: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="tracking table"):
        tracking_listeners(_load(tmp_path, tracking=table), "run-7")


def test_an_outcome_survives_its_file(tmp_path: Path) -> None:
    outcome = Outcome("failed", "bank ash ended the run", rounds=3, received={"ash": 5}, unconfirmed={"ash": "disk"})
    outcome.save(tmp_path / "outcome.json")
    assert Outcome.load(tmp_path / "outcome.json") == outcome
    with pytest.raises(ConfigurationError):
        Outcome.load(tmp_path / "nowhere.json")


EXAMPLE = Path(__file__).parents[2] / "deploy" / "run.example.toml"


def test_the_example_is_a_valid_run_file():
    run = RunFile.load(EXAMPLE)
    assert run.job.early_stopping_rounds == 20
    assert dict(run.roster) == {"north": 1, "south": 2, "west": 3}
    assert run.outcome_file == EXAMPLE.parent / "outcome.json"
