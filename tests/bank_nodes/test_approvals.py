"""Manual approval: nothing opens that nobody has looked at, and the log tells who has."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bank_nodes.approvals import Approvals, plan_digest
from riskfed.cli import app
from riskfed.errors import ConfigurationError
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.rounds import most_rounds
from tests.bank_nodes.approving_bank import RUNNER, Bank
from tests.bank_nodes.banks import JOB, plan_for


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    bank = Bank(tmp_path)
    yield bank
    bank.stop()


def id_of(plan: Plan) -> str:
    return plan_digest(plan)[:12]


def test_a_plan_waits_until_somebody_approves_it(bank: Bank) -> None:
    plan = plan_for("one")
    reason = bank.ask(plan)
    assert reason is not None
    assert f"riskfed node approve {id_of(plan)}" in reason
    assert id_of(plan) in bank.command("pending")
    shown = " ".join(bank.command("approve", id_of(plan)).split())
    for words in (
        "3 trees of depth 2",
        "ash, birch, cedar",
        "the whole model",
        f"at most {most_rounds(JOB)}",
        "least_cell 20",
    ):
        assert words in shown
    assert bank.ask(plan_for("two")) is None
    assert "no plan waits" in bank.command("pending")


def test_the_log_tells_every_decision(bank: Bank) -> None:
    plan = plan_for("one")
    bank.ask(plan)
    bank.command("approve", id_of(plan))
    bank.ask(plan_for("two"))
    told = bank.events("waiting", "refused", "approved", "opened")
    assert [entry["event"] for entry in told] == ["waiting", "refused", "approved", "opened"]
    waiting, refused, approved, opened = told
    assert waiting["plan"] == approved["plan"] == id_of(plan)
    assert refused["rule"] == "approval"
    assert (approved["run"], approved["digest"], approved["until"]) == ("two/1", plan_digest(plan), None)
    assert approved["by"]
    assert datetime.now(UTC) - datetime.fromisoformat(approved["at"]) < timedelta(minutes=5)
    assert opened["parameters"] == JOB.model_dump(mode="json", exclude={"kind"})


def test_an_approval_for_one_run_is_used_up_by_it_even_over_a_restart(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    bank.command("approve", id_of(plan_for("one")), "--once")
    assert bank.ask(plan_for("one", attempt=2)) is None
    assert bank.ask(plan_for("one", attempt=3)) is None, "another attempt of the same run"
    bank.restart()
    assert bank.ask(plan_for("one", attempt=4)) is None
    assert "nobody at bank ash has approved" in str(bank.ask(plan_for("two")))
    assert "waits again" in bank.command("pending")
    bank.command("approve", id_of(plan_for("one")))
    assert bank.ask(plan_for("two", attempt=2)) is None


def test_a_later_attempt_that_asks_for_something_else_waits(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    bank.command("approve", id_of(plan_for("one")))
    assert bank.ask(plan_for("one", attempt=2)) is None
    other = HorizontalXgboost(**{**JOB.model_dump(), "n_estimators": 4})
    assert "approve" in str(bank.ask(plan_for("one", attempt=3, job=other)))


def test_an_approval_until_a_day_is_good_for_every_such_run_until_then(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    day = datetime.now(UTC).date() + timedelta(days=2)
    bank.command("approve", id_of(plan_for("one")), "--until", day.isoformat())
    assert [bank.ask(plan_for(run)) for run in ("two", "three", "four")] == [None] * 3
    assert {entry["until"][:10] for entry in bank.events("approved")} == {(day + timedelta(days=1)).isoformat()}
    (decided,) = bank.approvals.folder.glob("*.decision.json")
    past = json.loads(decided.read_text()) | {"until": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}
    decided.write_text(json.dumps(past))
    assert "nobody at bank ash has approved" in str(bank.ask(plan_for("five")))


def test_a_day_that_has_passed_approves_nothing(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    arguments = ["node", "approve", id_of(plan_for("one")), "--until", "2020-01-01", "--yes", "-c", str(bank.config)]
    result = RUNNER.invoke(app, arguments)
    assert (result.exit_code, "has passed" in result.stderr) == (2, True)
    assert bank.ask(plan_for("one", attempt=2)) is not None


def test_a_rejected_plan_is_refused_and_an_approval_can_be_withdrawn(bank: Bank) -> None:
    plan = plan_for("one")
    bank.ask(plan)
    bank.command("approve", id_of(plan), "--until", (datetime.now(UTC) + timedelta(days=9)).date().isoformat())
    assert bank.ask(plan_for("two")) is None
    bank.command("reject", id_of(plan), "--yes")
    assert "does not want it" in str(bank.ask(plan_for("three")))
    (rejected,) = bank.events("rejected")
    assert rejected["by"]
    assert bank.events("refused")[-1]["rule"] == "approval"


def test_who_says_no_approves_nothing(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    result = RUNNER.invoke(app, ["node", "approve", id_of(plan_for("one")), "-c", str(bank.config)], input="n\n")
    assert result.exit_code == 1
    assert bank.ask(plan_for("two")) is not None


def test_what_the_policy_refuses_does_not_wait(bank: Bank) -> None:
    assert "rule max_trees" in str(bank.ask(plan_for("one", job=HorizontalXgboost(n_estimators=5000))))
    assert not bank.approvals.folder.exists()


def test_an_approval_of_another_plan_with_the_same_first_digits_is_worth_nothing(bank: Bank) -> None:
    mine, other = plan_for("one"), plan_for("one", job=HorizontalXgboost(**{**JOB.model_dump(), "gamma": 1.0}))
    bank.ask(mine)
    bank.ask(other)
    bank.command("approve", id_of(other))
    (decided,) = bank.approvals.folder.glob("*.decision.json")
    decided.rename(bank.approvals.folder / f"{plan_digest(mine)}.decision.json")
    reason = bank.ask(plan_for("two"))
    assert "cannot go on for a reason of its own" in str(reason), (
        "what is wrong with its files is the bank's own affair"
    )


def test_a_plan_that_was_swapped_while_it_waited_is_not_shown(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    (kept,) = bank.approvals.folder.glob("*.plan.json")
    fields = json.loads(kept.read_text())
    fields["plan"]["roster"] = ["ash", "birch", "mallory"]
    kept.write_text(json.dumps(fields))
    with pytest.raises(ConfigurationError, match="holds another plan than its name says"):
        bank.approvals.find(id_of(plan_for("one")))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722])
def test_a_folder_that_others_can_write_approves_nothing(bank: Bank, mode: int) -> None:
    plan = plan_for("one")
    bank.ask(plan)
    bank.command("approve", id_of(plan))
    bank.approvals.folder.chmod(mode)
    assert "for a reason of its own" in str(bank.ask(plan_for("two")))
    with pytest.raises(ConfigurationError, match="nobody else may write"):
        bank.approvals.decision(plan_digest(plan))


def test_the_folder_is_its_owners_alone_and_a_link_is_no_folder(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    assert bank.approvals.folder.stat().st_mode & 0o777 == 0o700
    moved = bank.approvals.folder.with_name("elsewhere")
    bank.approvals.folder.rename(moved)
    os.symlink(moved, bank.approvals.folder)
    with pytest.raises(ConfigurationError, match="must be a folder"):
        bank.approvals.decision("0" * 64)


def test_the_server_cannot_fill_the_disk(bank: Bank) -> None:
    def plan(number: int) -> Plan:
        return plan_for("one", job=HorizontalXgboost(validation_seed=number))

    for number in range(100):
        bank.approvals.keep(plan(number))
    with pytest.raises(ConfigurationError, match="100 undecided plans"):
        bank.approvals.keep(plan(100))
    bank.approvals.keep(plan(7))
    bank.approvals.decide(bank.approvals.find(plan_digest(plan(5))), "rejected", "somebody")
    bank.approvals.keep(plan(100))
    names = {f"column {number}" + "x" * 200: 1 for number in range(500)}
    with pytest.raises(ConfigurationError, match="too long"):
        Approvals(bank.approvals.folder.with_name("b")).keep(
            plan_for("one", job=HorizontalXgboost(monotone_constraints=names))
        )


@pytest.mark.parametrize("digits", ["", "0123456", "no-such-plan", "../../etc"])
def test_a_plan_is_named_by_enough_of_its_digits(bank: Bank, digits: str) -> None:
    bank.ask(plan_for("one"))
    with pytest.raises(ConfigurationError, match="0 plans"):
        bank.approvals.find(digits)


def test_texts_of_the_server_cannot_act_on_the_terminal(bank: Bank) -> None:
    plan = plan_for("one", job=HorizontalXgboost(monotone_constraints={"\x1b[2Jdti": 1}))
    bank.approvals.keep(plan)
    shown = bank.command("approve", id_of(plan))
    assert "\x1b" not in shown
    assert "u001b" in shown


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"run": "other"}, True),
        ({"attempt": 2}, True),
        ({"job": HorizontalXgboost(**{**JOB.model_dump(), "release": "withheld"})}, False),
        ({"protection": "paillier"}, False),
        ({"key_bits": 3072}, False),
        ({"roster": ("ash", "birch", "cedar", "dogwood")}, False),
        ({"schema_fingerprint": "0" * 64}, False),
    ],
)
def test_a_digest_stands_for_all_but_run_and_attempt(change: dict[str, Any], same: bool) -> None:
    assert (plan_digest(plan_for(**{"run": "one", **change})) == plan_digest(plan_for("one"))) == same


def test_another_attempt_needs_something_left_of_the_days_allowance(tmp_path: Path) -> None:
    """A run that was begun may go on with what is left, and no further."""
    bank = Bank(tmp_path, f"max_rounds_per_day = {most_rounds(JOB)}")
    assert bank.ask(plan_for("one")) is None
    for step in range(most_rounds(JOB)):
        bank.log.record("left", run="one/1", step=step, frame="COMBINE", bytes=1, sha256="0" * 64)
    reason = bank.ask(plan_for("one", attempt=2))
    assert "rule max_rounds_per_day: got one more round" in str(reason)
    assert bank.events("refused")[-1]["rule"] == "max_rounds_per_day"
    bank.stop()


def test_the_policy_and_what_is_used_of_it_can_be_seen(bank: Bank) -> None:
    shown = bank.command("policy")
    assert "manual" in shown
    assert "20000 (0 in the last 24 hours)" in " ".join(shown.split())


def test_the_log_is_shown_line_by_line(bank: Bank) -> None:
    bank.ask(plan_for("one"))
    bank.command("approve", id_of(plan_for("one")))
    bank.ask(plan_for("two"))
    lines = RUNNER.invoke(app, ["node", "log", "show", str(bank.log_path)]).output.splitlines()
    assert [line.split()[3] for line in lines] == [
        "waiting",
        "refused",
        "left",
        "approved",
        "opened",
        "left",
        "dropped",
    ]
    only = RUNNER.invoke(app, ["node", "log", "show", str(bank.log_path), "--run", "two", "--frames"]).output
    assert "one/1" not in only
    assert "frame: EXCHANGE" in only
    bank.log.record("dropped", run="two/1", reason="the server ended the run: \x1b[2J")
    assert "\x1b" not in RUNNER.invoke(app, ["node", "log", "show", str(bank.log_path)]).output
