"""``riskfed train``, ``status``, ``logs``, ``stop``: what is printed on a terminal and elsewhere, and exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from riskfed.cli import app
from riskfed.flower import control as control_module
from riskfed.flower.outcome import Outcome
from riskfed.protocols import events
from riskfed.reports.progress import ProgressBar, show_outcome, show_standing
from tests.operate.flower_double import FlowerDouble, a_round, started

DONE = Outcome(
    "finished",
    run="r",
    transport="session",
    protection="masking",
    trees=2,
    rounds=9,
    seconds=12.0,
    received={"ash": 1_000_000},
    sent={"ash": 500_000},
    tracking={"run_id": "abc", "model_version": "3"},
)
LOST = Outcome("failed", reason="bank birch is lost; its operator must look at the node", run="r")


@pytest.fixture
def flower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowerDouble:
    double = FlowerDouble(tmp_path)
    monkeypatch.setattr(control_module, "_tool", lambda _: str(double.program))
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    return double


def call(flower: FlowerDouble, *arguments: str) -> tuple[int, list[str]]:
    before = signal.getsignal(signal.SIGTERM)
    try:
        result = CliRunner().invoke(app, [*arguments, "--job", str(flower.run_file)])
    finally:
        signal.signal(signal.SIGTERM, before)
    return result.exit_code, result.output.splitlines()


def end_during_launch(flower: FlowerDouble, outcome: Outcome) -> None:
    """The run is over before the first look: its outcome appears while ``flwr run`` is asked."""
    script = flower.program.read_text()
    play = "if arguments[0] == 'run':\n    (home / 'outcome.json').write_text((home / 'prepared').read_text())\n"
    flower.program.write_text(script.replace("key = ", play + "key = ", 1))
    outcome.save(flower.folder / "prepared")
    (flower.folder / "over").touch()


def test_train_prints_json_lines_and_ends_with_the_outcome(flower: FlowerDouble) -> None:
    end_during_launch(flower, DONE)
    code, lines = call(flower, "train")
    last = json.loads(lines[-1])
    assert code == 0
    assert (last["event"], last["status"], last["tracking"]["run_id"]) == ("Outcome", "finished", "abc")
    assert last["release_file"] == str(flower.folder / "release.json")


def test_a_failed_run_is_exit_code_1_with_the_reason(flower: FlowerDouble) -> None:
    end_during_launch(flower, LOST)
    code, lines = call(flower, "train", "--resume")
    assert code == 1
    assert json.loads(lines[-1])["reason"] == LOST.reason
    assert "resume=true" in flower.asked[0][4]


def test_attach_starts_nothing_and_tells_the_run_from_its_beginning(flower: FlowerDouble) -> None:
    end_during_launch(flower, DONE)
    call(flower, "train")
    flower.tell(started(), a_round())
    before = len(flower.asked)
    code, lines = call(flower, "train", "--attach")
    assert code == 0
    assert [json.loads(line)["event"] for line in lines] == ["RunStarted", "RoundFinished", "Outcome"]
    assert [asked[0] for asked in flower.asked[before:]] == ["log"]


@pytest.mark.parametrize("command", [("train", "--attach"), ("logs",), ("stop",)])
def test_what_needs_a_run_says_that_there_was_none(flower: FlowerDouble, command: tuple[str, ...]) -> None:
    code, lines = call(flower, *command)
    assert code == 2
    assert "no run of run.json was started by `riskfed train`" in " ".join(lines)


def test_status_is_one_json_object(flower: FlowerDouble) -> None:
    code, lines = call(flower, "status")
    assert code == 0
    assert json.loads("".join(lines))["state"] == "never started"


def test_stop_asks_flower_and_says_how_to_go_on(flower: FlowerDouble) -> None:
    end_during_launch(flower, LOST)
    call(flower, "train")
    code, lines = call(flower, "stop")
    assert code == 0
    assert flower.asked[-1] == ["stop", "4711", "consortium", "--format", "json"]
    assert "riskfed train --resume" in lines[-1]


def test_a_wrong_run_file_is_exit_code_2_before_flower_is_asked(flower: FlowerDouble) -> None:
    flower.run_file.write_text('{"jobb": 1}')
    code, lines = call(flower, "train")
    assert code == 2
    assert "jobb" in " ".join(lines)
    assert flower.asked == []


def test_ctrl_c_leaves_the_run_and_says_how_to_see_and_end_it(flower: FlowerDouble) -> None:
    # Who runs the tests in the background may have SIGINT ignored, which is inherited.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = f"from riskfed.flower import control; control._tool = lambda _: {str(flower.program)!r}; from riskfed.cli import app; app()"
    command = [sys.executable, "-c", heard + code, "train", "--job", str(flower.run_file)]
    with subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(asked[0] == "log" for asked in flower.asked) and time.monotonic() < deadline:
            time.sleep(0.05)
        told = interrupted(process)
    assert process.returncode == 130
    assert "the run goes on" in told
    assert "riskfed stop --job" in told
    assert not any(asked[0] == "stop" for asked in flower.asked)


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, again where it was lost (Python drops what is raised inside a finalizer); what the process said."""
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=10)[1]
    process.kill()
    pytest.fail("Ctrl-C does not end it")


def terminal() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=True, width=120, color_system=None), text


def test_the_bar_tells_trees_loss_attempt_and_whom_it_waits_for() -> None:
    console, text = terminal()
    lines = [
        {"event": "RunStarted", "banks": ["ash", "birch", "cedar"], "attempt": 1, "most_trees": 5},
        {"event": "ProgressMade", "step": 2, "metrics": {"logloss": 0.4321}},
        {"event": "AttemptFailed", "reason": "bank birch [is] lost"},
        {"event": "RunStarted", "banks": ["ash", "birch", "cedar"], "attempt": 2, "most_trees": 5},
        {"event": "ProgressMade", "step": 3, "metrics": {}},
    ]
    with ProgressBar(console) as bar:
        for line in lines[:3]:
            bar(line)
        bar._bar.refresh()
        shown = text.getvalue()
        assert "2/5" in shown
        assert "waiting: bank birch [is] lost" in shown
        for line in lines[3:]:
            bar(line)
        bar._bar.refresh()
    assert "3 banks, attempt 2: trees" in text.getvalue()
    assert "3/5" in text.getvalue()


def test_the_bar_of_a_vertical_run_tells_of_the_search_for_common_customers() -> None:
    console, text = terminal()
    parties = {"banks": ["lender", "payments"], "protection": "sealed", "job": "vertical_xgboost"}
    with ProgressBar(console) as bar:
        bar({"event": "RunStarted", "attempt": 1, "most_trees": 5, **parties})
        for line, shown in (
            ({"event": "ProtectionProven"}, "2 parties: protection proven; common customers"),
            ({"event": "ProgressMade", "step": 0, "metrics": {"aligned": 0.25}}, "common customers, 25% of the search"),
            ({"event": "ProgressMade", "step": 0, "metrics": {"aligned": 1.0}}, "2 parties: first tree"),
            ({"event": "ProgressMade", "step": 1, "metrics": {"logloss": 0.5}}, "held-out log-loss 0.5000"),
        ):
            bar(line)
            bar._bar.refresh()
            assert shown in text.getvalue()
    assert "1/5" in text.getvalue()


def test_the_outcome_in_words(tmp_path: Path) -> None:
    from dataclasses import asdict

    (tmp_path / "release.json").write_text('{"metrics": {"auc": 0.77123, "ks": 0.41}}')
    console, text = terminal()
    show_outcome(console, asdict(DONE), tmp_path / "release.json")
    for part in ("finished after 12 s", "2 trees, 9 rounds, 1.5 MB", "AUC 0.7712", "release.json", "run_id abc"):
        assert part in text.getvalue()

    console, text = terminal()
    show_outcome(console, asdict(LOST), tmp_path / "release.json")
    assert "failed" in text.getvalue()
    assert LOST.reason in text.getvalue()
    assert "AUC" not in text.getvalue()


def test_the_standing_as_a_table(flower: FlowerDouble) -> None:
    from riskfed.flower.control import Control
    from riskfed.flower.standing import standing
    from riskfed.flower.watch import launch

    control = Control(None, flower.environment)
    launch(control, flower.run_file)
    flower.tell(started(), a_round(), events.AttemptFailed(1, "bank birch is lost"))
    console, text = terminal()
    show_standing(console, standing(control, flower.run_file).as_fields())
    for part in ("waiting", "bank birch is lost", "r, attempt 1", "run 4711 running", "offline", "not registered"):
        assert part in text.getvalue()
