"""What is asked of Flower's command line, what is made of its answers, and what a watched run tells."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, RunFailedError
from riskfed.flower import control as control_module
from riskfed.flower import watch as watch_module
from riskfed.flower.control import FAB, Control
from riskfed.flower.outcome import Outcome
from riskfed.flower.progress import Follower, RunProgress
from riskfed.flower.standing import standing
from riskfed.flower.watch import Launch, launch, watch
from riskfed.protocols import events
from tests.flower.federation import NODES
from tests.operate.flower_double import FlowerDouble, a_round, started

DONE = Outcome("finished", run="r", transport="session", protection="masking", trees=2, received={"ash": 5})


@pytest.fixture
def flower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowerDouble:
    double = FlowerDouble(tmp_path)
    monkeypatch.setattr(control_module, "_tool", lambda _: str(double.program))
    return double


@pytest.fixture
def control(flower: FlowerDouble) -> Control:
    return Control(None, flower.environment)


def test_a_run_is_started_with_the_package_s_own_app_and_the_run_file(control: Control, flower: FlowerDouble) -> None:
    assert control.start(flower.run_file) == 4711
    assert control.start(flower.run_file, resume=True) == 4711
    plain, resumed = flower.asked
    assert plain[:5] == ["run", str(FAB), "consortium", "-c", f'run-file="{flower.run_file}"']
    assert resumed[4] == plain[4] + " resume=true"
    assert (FAB / "pyproject.toml").exists()


def test_answers_are_read_whatever_stands_before_them(control: Control, flower: FlowerDouble) -> None:
    assert control.nodes() == {NODES["ash"]: "online", NODES["birch"]: "offline"}
    assert control.status(4711).text == "running"
    assert not control.status(4711).finished
    flower.status("finished:failed")
    assert control.status(4711).finished


def test_what_flower_refuses_is_told_with_its_words(control: Control, flower: FlowerDouble) -> None:
    flower.answer(stop={"success": False, "error-message": "run 4711 is over"})
    with pytest.raises(ConfigurationError, match="flwr stop over connection consortium failed: run 4711 is over"):
        control.stop(4711)


@pytest.mark.parametrize(
    ("connection", "config", "complaint"),
    [
        ("other", None, "has no connection other with an address; it has: consortium, local"),
        ("local", None, "simulation on this machine"),
        (None, "[superlink]\n", r"has no connection \(no default\)"),
        (None, "[superlink", "not TOML"),
    ],
)
def test_a_connection_that_is_none_is_told(
    flower: FlowerDouble, connection: str | None, config: str | None, complaint: str
) -> None:
    if config is not None:
        (flower.folder / "config.toml").write_text(config)
    with pytest.raises(ConfigurationError, match=complaint):
        Control(connection, flower.environment)
    assert flower.asked == []


def test_without_any_configuration_flower_is_not_asked(tmp_path: Path) -> None:
    """Asked, it would write one, and start a simulation."""
    with pytest.raises(ConfigurationError, match="the operator must write it"):
        Control(None, {"FLWR_HOME": str(tmp_path)})


def test_nothing_calls_home(control: Control) -> None:
    assert control.environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert control.environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"


def follow(control: Control, flower: FlowerDouble, **options: Any) -> tuple[list[str], Outcome]:
    heard: list[str] = []
    outcome = watch(
        control,
        launch(control, flower.run_file),
        flower.run_file,
        progress=lambda line: heard.append(line["event"]),
        **options,
    )
    return heard, outcome


def test_a_watched_run_tells_its_own_lines_and_how_it_ended(control: Control, flower: FlowerDouble) -> None:
    flower.tell(started(run="earlier"), events.RunFailed("yesterday"))
    log = flower.folder / "run.log"

    def play() -> None:
        time.sleep(0.3)
        flower.tell(started(), a_round(), events.RunFinished(1.0))
        flower.end(DONE)

    threading.Timer(0.5, play).start()
    heard, outcome = follow(control, flower, log=log)

    assert heard == ["RunStarted", "RoundFinished", "RunFinished"]
    assert outcome == DONE
    assert log.read_text() == "a line of the ServerApp\n"


def test_an_outcome_of_an_earlier_run_is_not_taken_for_this_one(control: Control, flower: FlowerDouble) -> None:
    DONE.save(flower.folder / "outcome.json")
    flower.end(None)
    flower.status("finished:failed")
    with pytest.raises(ConfigurationError, match="without an outcome; Flower says finished:failed"):
        follow(control, flower)


def test_a_stopped_run_says_how_to_go_on(control: Control, flower: FlowerDouble) -> None:
    flower.end(None)
    flower.status("finished:stopped")
    with pytest.raises(RunFailedError, match="was stopped; `riskfed train --resume`"):
        follow(control, flower)


def test_watching_ends_in_time_and_leaves_the_run(control: Control, flower: FlowerDouble) -> None:
    with pytest.raises(RunFailedError, match="it goes on; the operator may end it by `riskfed stop"):
        follow(control, flower, timeout=0.5)
    assert not any(call[0] == "stop" for call in flower.asked)


def test_a_superlink_that_is_gone_is_told_after_a_while(
    control: Control, flower: FlowerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_UNREACHABLE", 0.3)
    monkeypatch.setattr(watch_module, "_RETRY_SECONDS", 0.1)
    flower.end(None)
    flower.answer(list={"success": False, "error-message": "connection refused"})
    with pytest.raises(RunFailedError, match=r"not reached any more .*connection refused.*riskfed train --resume"):
        follow(control, flower)


def test_a_log_that_breaks_off_is_asked_for_again(
    control: Control, flower: FlowerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SuperLink may be started anew while the ServerApp works on."""
    monkeypatch.setattr(watch_module, "_RETRY_SECONDS", 0.1)
    flower.end(None)  # logs end at once, but Flower says that the run goes on
    threading.Timer(2.0, lambda: flower.end(DONE)).start()
    assert follow(control, flower)[1] == DONE
    assert sum(call[0] == "log" for call in flower.asked) > 1


def test_one_run_of_a_run_file_at_a_time(control: Control, flower: FlowerDouble) -> None:
    launch(control, flower.run_file)
    with pytest.raises(ConfigurationError, match=r"run 4711 of run.json still goes on; `riskfed train --attach`"):
        launch(control, flower.run_file)
    flower.status("finished:stopped")
    launch(control, flower.run_file, resume=True)
    saved = Launch.load(flower.run_file)
    assert saved is not None
    assert saved.resumed


def test_how_a_run_stands(control: Control, flower: FlowerDouble) -> None:
    assert standing(control, flower.run_file).state == "never started"
    launch(control, flower.run_file)
    assert standing(control, flower.run_file).state == "starting"

    flower.tell(
        started(), events.ProtectionProven("masking", None), a_round(), events.ProgressMade(3, {"logloss": 0.4})
    )
    now = standing(control, flower.run_file)
    assert (now.state, now.flower_run, now.flower_status) == ("running", 4711, "running")
    assert now.nodes == {"ash": "online", "birch": "offline", "cedar": "not registered"}
    fields = now.as_fields()
    assert (fields["trees"], fields["rounds"], fields["received"]["ash"]) == (3, 1, 100)
    assert 0 <= fields["last_event_seconds"] < 60

    flower.tell(events.AttemptFailed(1, "bank birch is lost"))
    assert (standing(control, flower.run_file).state, standing(control, flower.run_file).reason) == (
        "waiting",
        "bank birch is lost",
    )
    flower.tell(started(attempt=2), a_round())
    assert standing(control, flower.run_file).progress.attempt == 2
    flower.status("finished:stopped")
    assert standing(control, flower.run_file).state == "stopped"
    flower.end(DONE)
    assert standing(control, flower.run_file).state == "finished"


def test_a_resumed_run_keeps_what_it_had_done(control: Control, flower: FlowerDouble) -> None:
    launch(control, flower.run_file)
    flower.tell(started(), a_round(), events.ProgressMade(3, {}), events.RunFailed("bank ash is lost"))
    flower.status("finished:failed")
    assert standing(control, flower.run_file).state == "ended"
    launch(control, flower.run_file, resume=True)
    flower.status("running")
    again = standing(control, flower.run_file)
    assert (again.state, again.progress.trees, again.progress.rounds) == ("starting", 3, 1)
    flower.tell(started(attempt=2), a_round())
    again = standing(control, flower.run_file)
    assert (again.state, again.progress.trees, again.progress.rounds) == ("opening", 3, 2)


def test_a_superlink_that_is_down_is_a_finding(control: Control, flower: FlowerDouble) -> None:
    flower.answer(**{"supernode list": {"success": False, "error-message": "connection refused"}})
    found = standing(control, flower.run_file)
    assert found.nodes == {}
    assert "connection refused" in found.flower_status


def test_an_unfinished_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path, heard = tmp_path / "p", []
    follower = Follower(path, heard.append)
    follower.follow()
    path.write_text('{"event": "A"}\n{"eve')
    follower.follow()
    assert heard == [{"event": "A"}]
    with path.open("a") as file:
        file.write('nt": "B"}\n')
    follower.follow()
    assert heard == [{"event": "A"}, {"event": "B"}]


@given(st.lists(st.sampled_from(["start", "again", "round", "lost", "tree"]), max_size=20))
def test_rounds_and_bytes_add_up_over_attempts_and_start_anew_with_another_run(steps: list[str]) -> None:
    progress, rounds, runs = RunProgress(), 0, 0
    common = {"at": "2026-01-01T00:00:00.000+00:00"}
    for step in ["start", *steps]:
        if step in ("start", "again"):
            runs += step == "start"
            rounds = 0 if step == "start" else rounds
            how = {"transport": "session", "protection": "masking", "most_trees": 5, "banks": ["ash"]}
            progress.take({**common, "event": "RunStarted", "run": str(runs), "attempt": 1, **how})
        elif step == "round":
            rounds += 1
            progress.take({**common, "event": "RoundFinished", "received": {"ash": 7}, "sent": {"ash": 1}})
        elif step == "lost":
            progress.take({**common, "event": "AttemptFailed", "reason": "why"})
        else:
            progress.take({**common, "event": "ProgressMade", "step": 1, "metrics": {}})
    assert progress.rounds == rounds
    assert progress.received == ({"ash": 7 * rounds} if rounds else {})
    assert not progress.over
