"""``riskfed monitor``: red, amber or green, as a word and as an exit code; and where the model's name comes from."""

from __future__ import annotations

import json
import signal
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from riskfed.cli import app
from riskfed.flower import control as control_module
from riskfed.flower.outcome import Outcome
from riskfed.jobs import HorizontalXgboost, ModelMonitoring
from riskfed.protocols.release import ModelRelease
from riskfed.simulation import simulate
from riskfed.tracking import champion
from tests.flower.federation import records, schema
from tests.operate.flower_double import FlowerDouble
from tests.operate.test_cli_operator import end_during_launch

DONE = Outcome("finished", run="r", transport="session", protection="masking")


@cache
def monitored() -> tuple[str, bytes]:
    """sha256 of a model, and the release of its monitoring."""
    job = HorizontalXgboost(n_estimators=5, max_depth=2, max_bin=8, validation_fraction=0.4)
    trained = simulate(records(), schema(), job).full
    watch = ModelMonitoring(model_sha256=trained.model_sha256)
    return trained.model_sha256, simulate(records(), schema(), watch, model=trained).release.to_bytes()


@pytest.fixture
def flower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowerDouble:
    double = FlowerDouble(tmp_path)
    monkeypatch.setattr(control_module, "_tool", lambda _: str(double.program))
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    end_during_launch(double, DONE)
    (tmp_path / "release.json").write_bytes(monitored()[1])
    return double


def run_file(flower: FlowerDouble, **fields: object) -> Path:
    """The double's run file with another job and other limits."""
    stated = json.loads(flower.run_file.read_text())
    path = flower.folder / "monitor.json"
    path.write_text(json.dumps({**stated, **fields}))
    return path


def call(path: Path) -> tuple[int, str]:
    before = signal.getsignal(signal.SIGTERM)
    try:
        result = CliRunner().invoke(app, ["monitor", "--job", str(path)])
    finally:
        signal.signal(signal.SIGTERM, before)
    return result.exit_code, result.output


WIDE = {name: {} for name in ("auc", "ks", "jeffreys_p", "calibration_slope", "calibration_gap", "psi", "csi", "hhi")}


@pytest.mark.parametrize(
    ("auc", "code", "word"),
    [({}, 0, "GREEN"), ({"amber": 0.999}, 10, "AMBER"), ({"amber": 0.999, "red": 0.99}, 20, "RED")],
)
def test_the_worst_limit_is_the_word_and_the_exit_code(flower: FlowerDouble, auc: dict, code: int, word: str) -> None:
    job = {"kind": "model_monitoring", "model_sha256": monitored()[0]}
    found, said = call(run_file(flower, job=job, acceptance={**WIDE, "auc": auc}))
    assert found == code, said
    assert f"{word}: model {monitored()[0]}" in said
    assert ("AUC" in said.split(word)[1]) == (word != "GREEN")


def test_without_a_name_it_is_the_registrys_champion(flower: FlowerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        champion, "champion_sha256", lambda uri, name, alias: {("u", "m", "champion"): monitored()[0]}[uri, name, alias]
    )
    tracking = {"uri": "u", "experiment": "e", "model": "m"}
    code, said = call(run_file(flower, job={"kind": "model_monitoring"}, tracking=tracking, acceptance=WIDE))
    assert (code, monitored()[0] in said) == (0, True), said
    named = json.loads((flower.folder / "monitor.with-champion.json").read_text())
    assert named["job"]["model_sha256"] == monitored()[0]


def test_a_training_job_is_refused_before_flower_is_asked(flower: FlowerDouble) -> None:
    path = run_file(flower, job={"kind": "horizontal_xgboost", "champion_sha256": "0" * 64})
    code, said = call(path)
    assert (code, flower.asked) == (2, [])
    assert "expected model_monitoring" in said


def test_without_registry_and_name_it_says_what_is_missing(flower: FlowerDouble) -> None:
    code, said = call(run_file(flower, job={"kind": "model_monitoring"}))
    assert code == 2
    assert "no tracking table" in said


def test_the_release_is_read_back_as_monitoring() -> None:
    release = ModelRelease.from_bytes(monitored()[1])
    assert (release.kind, release.model, release.model_sha256) == ("model_monitoring", b"", monitored()[0])
