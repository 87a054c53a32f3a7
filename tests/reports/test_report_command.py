"""``riskfed report``: from a file, from MLflow's record of a run, as HTML or PDF."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from riskfed.cli.report import report
from riskfed.errors import ConfigurationError
from riskfed.tracking import release_artifact
from tests.reports.sample import FACTS, scorecard_release


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, arguments)


def test_command_writes_the_report_of_a_release_file(tmp_path: Path):
    source, target = tmp_path / "release.json", tmp_path / "out.html"
    source.write_bytes(scorecard_release().to_bytes())
    assert run(str(source), "--output", str(target)).exit_code == 0
    assert '<section id="verdict">' in target.read_text()


def test_command_takes_limits_and_banks_from_the_run_file(tmp_path: Path):
    (tmp_path / "release.json").write_bytes(scorecard_release().to_bytes())
    (tmp_path / "run.toml").write_text(
        'schema_file = "schema.json"\nroster = {oak = 1, elm = 2, fir = 3}\n'
        '[job]\nkind = "horizontal_scorecard"\nmax_bins = 6\n[acceptance.auc]\namber = 0.99\nred = 0.98\n'
    )
    target = tmp_path / "out.html"
    files = str(tmp_path / "release.json"), "--run-file", str(tmp_path / "run.toml")
    assert run(*files, "-o", str(target)).exit_code == 0
    text = target.read_text()
    assert "<b>RED</b> Not acceptable" in text
    assert "The loans are those of elm, fir and oak" in text


def test_command_says_what_is_wrong(tmp_path: Path):
    for arguments, words in (
        (["no-such-file.json"], "name MLflow by --tracking"),
        ([str(tmp_path / "other.json")], "is not a release"),
    ):
        (tmp_path / "other.json").write_text("{}")
        failed = run(*arguments)
        assert isinstance(failed.exception, ConfigurationError)
        assert words in str(failed.exception)


def test_command_takes_limits_and_facts_from_the_run_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, str]] = []

    def load(tracking_uri: str, run_id: str) -> object:
        asked.append((tracking_uri, run_id))
        return scorecard_release(), {**FACTS, "acceptance": '{"auc": {"amber": 0.99, "red": 0.98}}'}

    monkeypatch.setattr(release_artifact, "load", load)
    target = tmp_path / "out.html"
    assert run("0a1b2c", "--tracking", "http://mlflow:5000", "-o", str(target)).exit_code == 0
    assert asked == [("http://mlflow:5000", "0a1b2c")]
    assert "<b>RED</b> Not acceptable" in target.read_text()
    assert "community, digital, premier, specialty and universal" in target.read_text()
    assert "acceptance" not in target.read_text()


def test_command_without_a_browser_says_what_to_do(tmp_path: Path):
    (tmp_path / "release.json").write_bytes(scorecard_release().to_bytes())
    failed = run(str(tmp_path / "release.json"), "--pdf", "--chromium", str(tmp_path / "none"))
    assert isinstance(failed.exception, ConfigurationError)
    assert "print the HTML by hand" in str(failed.exception)
