"""A lost bank is waited for, and the run goes on from its last common tree; or it ends with a clear error, and is resumed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from riskfed.errors import BankLostError
from riskfed.flower.attempts import Patience
from riskfed.flower.run_file import Limits
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from tests.flower.federation import NODES, local_booster
from tests.flower.test_runs import TRANSPORTS, Federation, federation  # noqa: F401  the fixture

LATE = 15
"""Requests after which the first tree is done."""
PATIENT = Limits(connect_timeout=20, round_timeout=20, farewell_timeout=5, loss_timeout=60).model_dump()


def released(folder: Path) -> bytes:
    return ModelRelease.from_bytes((folder / "release.json").read_bytes()).model


def state(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run-state.json").read_text()))


@TRANSPORTS
def test_a_vault_that_dies_twice_does_not_change_the_model(federation: Federation, transport: str) -> None:  # noqa: F811
    federation.vaults["birch"].crashes = [5, LATE]

    outcome = federation.run(transport, on_loss="wait", limits=PATIENT)

    assert (outcome.status, outcome.reason, outcome.attempts) == ("finished", "", 3)
    assert released(federation.folder) == local_booster()
    assert state(federation.folder)["attempt"] == 3
    told = [event for event in federation.events if isinstance(event, events.AttemptFailed)]
    assert [event.attempt for event in told] == [1, 2]
    assert all("birch" in event.reason for event in told)


def test_what_was_grown_is_not_grown_again(federation: Federation) -> None:  # noqa: F811
    federation.vaults["birch"].crashes = [LATE]

    federation.run("session", on_loss="wait", limits=PATIENT)

    steps = [event.step for event in federation.events if isinstance(event, events.ProgressMade)]
    assert steps == [1, 2]


@TRANSPORTS
def test_a_run_that_failed_is_resumed_by_hand(federation: Federation, transport: str) -> None:  # noqa: F811
    federation.vaults["cedar"].crashes = [LATE]
    first = federation.run(transport)
    assert (first.status, state(federation.folder)["status"]) == ("failed", "unfinished")
    assert "bank cedar" in first.reason

    second = federation.run(transport, run=None)

    assert (second.status, second.run, second.attempts) == ("finished", first.run, 1)
    assert state(federation.folder) | {"plan": ""} == {"run": "run-1", "attempt": 2, "plan": "", "status": "finished"}
    assert released(federation.folder) == local_booster()
    assert [event.step for event in federation.events if isinstance(event, events.ProgressMade)] == [1, 2]


def test_what_has_finished_is_not_resumed(federation: Federation) -> None:  # noqa: F811
    federation.run("session")
    assert "run run-1 has finished; start a new run" in federation.run("session", run=None).reason


def test_another_job_is_not_resumed(federation: Federation) -> None:  # noqa: F811
    federation.vaults["cedar"].crashes = [LATE]
    federation.run("session")
    outcome = federation.run("session", run=None, protection="paillier")
    assert "the run file is not what run run-1 was started with" in outcome.reason


def test_without_a_run_there_is_nothing_to_resume(federation: Federation) -> None:  # noqa: F811
    assert "there is no run to resume" in federation.run("session", run=None).reason


def test_a_bank_that_stays_away_ends_the_run_within_the_limit(federation: Federation) -> None:  # noqa: F811
    federation.vaults["ash"].crashes = [LATE]

    class Leaving(list[events.Event]):
        def append(self, event: events.Event) -> None:
            if isinstance(event, events.AttemptFailed):
                federation.grid.online.discard(NODES["ash"])

    federation.events = Leaving()
    limits = PATIENT | {"connect_timeout": 1, "loss_timeout": 3}
    outcome = federation.run("session", on_loss="wait", limits=limits)

    assert outcome.status == "failed"
    assert "the nodes of ash are not connected" in outcome.reason
    assert (
        "did not get on for 3 s; once the bank is back, the operator can go on from the last tree by riskfed train --resume"
        in (outcome.reason)
    )
    assert outcome.seconds < 30


def test_a_bank_that_never_was_there_is_not_waited_for(federation: Federation) -> None:  # noqa: F811
    federation.grid.online.discard(NODES["ash"])
    limits = PATIENT | {"connect_timeout": 1}
    outcome = federation.run("session", on_loss="wait", limits=limits)
    assert (outcome.status, outcome.attempts) == ("failed", 1)
    assert outcome.seconds < 15


def test_patience_starts_anew_with_every_tree() -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    patience = Patience(10, clock=lambda: now[0], sleep=sleep)
    loss = BankLostError("bank ash is lost")
    patience(events.RoundFinished(0, 0.1, {}, {}))
    for _ in range(3):
        patience.wait(loss)
    assert pauses == [1, 2, 4]
    patience(events.ProgressMade(1, {}))
    patience.wait(loss)
    assert pauses[-1] == 1
    now[0] += 11
    patience(events.ProgressMade(0, {"aligned": 0.5}))  # no tree: a run that fails after each alignment does not get on
    with pytest.raises(BankLostError, match="did not get on for 10 s"):
        patience.wait(loss)
