"""Whole runs over both transports: strategy, session server and courier are real, and so are the vaults' sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Strategy

from riskfed.errors import RunFailedError
from riskfed.flower.client_app import app
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import Limits
from riskfed.flower.server_app import serve_run
from riskfed.flower.strategy import BlindAggregation
from riskfed.protocols import events
from riskfed.protocols.frames import Kind
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from tests.flower.federation import (
    JOB,
    NODES,
    QUICK,
    InProcessGrid,
    PartyVault,
    context_for,
    local_booster,
    vaults,
    write_run_file,
)

TRANSPORTS = pytest.mark.parametrize("transport", ["session", "message"])
SHORT = Limits(connect_timeout=3, round_timeout=2, farewell_timeout=2).model_dump()


class Federation:
    def __init__(self, folder: Path, opened: dict[str, PartyVault]) -> None:
        self.folder, self.vaults = folder, opened
        self.grid = InProcessGrid(app, {NODES[bank]: context_for(vault) for bank, vault in opened.items()})
        self.events: list[events.Event] = []

    def run(self, transport: str, run: str | None = "run-1", **changes: Any) -> Outcome:
        run_file = write_run_file(self.folder, transport=transport, **changes)
        outcome = serve_run(self.grid, run_file, run, lambda *_: [self.events.append])
        assert Outcome.load(run_file.outcome_file) == outcome
        return outcome


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with vaults() as opened:
        yield Federation(tmp_path, opened)


@TRANSPORTS
def test_the_model_is_the_one_that_is_trained_in_one_process(federation: Federation, transport: str) -> None:
    outcome = federation.run(transport)

    assert (outcome.status, outcome.reason, outcome.unconfirmed) == ("finished", "", {})
    release = ModelRelease.from_bytes((federation.folder / "release.json").read_bytes())
    assert release.model == local_booster()
    assert all(vault.party.finished for vault in federation.vaults.values())
    assert outcome.trees == JOB.n_estimators
    assert min(outcome.received[bank] for bank in NODES) > 0


@TRANSPORTS
def test_flower_carries_one_message_a_session_but_one_a_step(federation: Federation, transport: str) -> None:
    outcome = federation.run(transport)

    each = 1 if transport == "session" else outcome.rounds + 1  # the plan, and the answers of every round
    assert len(federation.grid.pushed) == 3 * each


def test_progress_file_tells_the_run_line_by_line(federation: Federation) -> None:
    outcome = federation.run("session")

    lines = [json.loads(line) for line in (federation.folder / "progress.jsonl").read_text().splitlines()]
    expected = {
        "event": "RunStarted",
        "run": "run-1",
        "attempt": 1,
        "banks": sorted(NODES),
        "most_trees": JOB.n_estimators,
    }
    assert lines[0].items() >= expected.items()
    assert all(datetime.fromisoformat(line["at"]).tzinfo is not None for line in lines)
    assert sum(line["event"] == "RoundFinished" for line in lines) == outcome.rounds
    assert [line["step"] for line in lines if line["event"] == "ProgressMade"] == [1, 2]
    assert lines[-1]["event"] == "RunFinished"


@TRANSPORTS
def test_a_bank_that_refuses_ends_the_run_for_all_with_its_reason(federation: Federation, transport: str) -> None:
    federation.vaults["birch"].refuse = "policy of birch: 100 rows, at least 1000 wanted"

    outcome = federation.run(transport)

    assert outcome.status == "failed"
    assert outcome.reason == "bank birch ended the run: policy of birch: 100 rows, at least 1000 wanted"
    for bank in ("ash", "cedar"):
        assert federation.vaults[bank].reasons == [outcome.reason]
    assert isinstance(federation.events[-1], events.RunFailed)


@TRANSPORTS
def test_silence_is_a_lost_bank_and_named(federation: Federation, transport: str) -> None:
    federation.vaults["cedar"].delay = 30

    outcome = federation.run(transport, limits=SHORT)

    assert outcome.status == "failed"
    assert "cedar" in outcome.reason
    assert "ash" not in outcome.reason
    assert federation.vaults["ash"].reasons == [outcome.reason]


@TRANSPORTS
def test_a_vault_that_is_down_is_named(federation: Federation, transport: str) -> None:
    federation.vaults["ash"].close()

    outcome = federation.run(transport, limits=QUICK.model_dump() | {"connect_timeout": 2})

    assert outcome.reason.startswith("bank ash is lost: the vault does not answer its courier")
    assert federation.vaults["birch"].reasons == [outcome.reason]


@TRANSPORTS
def test_a_node_that_flower_gives_up_is_a_lost_bank(federation: Federation, transport: str) -> None:
    federation.grid.gone = {NODES["birch"]}

    outcome = federation.run(transport)

    assert outcome.reason.startswith("bank birch is lost: Flower reports error 5")


@TRANSPORTS
def test_a_node_that_is_not_connected_is_named(federation: Federation, transport: str) -> None:
    federation.grid.online.remove(NODES["cedar"])

    outcome = federation.run(transport, limits={**SHORT, "connect_timeout": 0.5})

    assert outcome.reason.startswith("the nodes of cedar are not connected after 0.5 s")
    assert federation.grid.pushed == []


def test_a_courier_that_never_dials_is_named(federation: Federation) -> None:
    federation.grid.silent = {NODES["cedar"]}

    outcome = federation.run("session", limits={**SHORT, "connect_timeout": 2})

    assert outcome.reason.startswith("no session from cedar within 2 s")


@TRANSPORTS
def test_banks_out_of_step_end_the_run(federation: Federation, transport: str) -> None:
    ash = federation.vaults["ash"]
    ash.fault = lambda answer: answer[:1] + b"\0\0\0\7" + answer[5:] if answer[:1] == bytes([Kind.EXCHANGE]) else answer

    outcome = federation.run(transport)

    assert outcome.reason == "bank ash is at step 7, the run at step 0"


@TRANSPORTS
def test_a_bank_that_fails_after_the_release_does_not_take_the_model_back(
    federation: Federation, transport: str
) -> None:
    federation.vaults["ash"].fault = lambda answer: answer or bytes([Kind.FAILED]) + b"\0\0\0\1" + b"\0" * 7 + b"\4disk"

    outcome = federation.run(transport)

    assert outcome.status == "finished"
    assert outcome.unconfirmed == {"ash": "disk"}


def test_a_listener_that_fails_does_not_end_the_run(federation: Federation) -> None:
    def broken(event: events.Event) -> None:
        raise ValueError("listener")

    run_file = write_run_file(federation.folder)
    assert serve_run(federation.grid, run_file, "run-1", lambda *_: [broken]).status == "finished"


def test_a_tracker_that_could_not_record_all_is_told_though_the_model_is_out(federation: Federation) -> None:
    class Tracker:
        def __call__(self, event: events.Event) -> None:
            pass

        def finish(self) -> dict[str, str]:
            raise RunFailedError("MLflow is down")

    outcome = serve_run(federation.grid, write_run_file(federation.folder), "run-1", lambda *_: [Tracker()])

    assert (outcome.status, outcome.reason) == ("unrecorded", "MLflow is down")
    assert ModelRelease.from_bytes((federation.folder / "release.json").read_bytes()).model == local_booster()


def test_a_release_that_cannot_be_written_is_told(federation: Federation) -> None:
    (federation.folder / "taken").write_text("a file, not a folder")

    outcome = federation.run("session", release_file="taken/release.json")

    assert outcome.status == "unrecorded"
    assert outcome.reason.startswith("the released model could not be written to release.json")
    assert all(vault.party.finished for vault in federation.vaults.values())


def test_a_defect_in_the_server_leaves_its_text_in_the_log(federation: Federation) -> None:
    def defect(*_: object) -> list[events.Listener]:
        raise KeyError("salary 48211")

    outcome = serve_run(federation.grid, write_run_file(federation.folder), "run-1", defect)

    assert outcome.reason == "internal error of the server (KeyError); its operator must read its log"


def test_the_stock_loop_of_flowers_strategies_can_drive_it_too(federation: Federation) -> None:
    plan = write_run_file(federation.folder).plan("run-1")
    strategy = BlindAggregation(Switchboard(plan, transport="message"), NODES, QUICK)

    result = Strategy.start(strategy, federation.grid, ArrayRecord(), num_rounds=40)

    release = ModelRelease.from_bytes(result.arrays["release"].data)
    assert release.model == local_booster()
    assert len(result.train_metrics_clientapp) < 40
