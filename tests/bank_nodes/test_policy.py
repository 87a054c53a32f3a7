"""A bank's policy: every rule refuses on its own, and says what was got, what is wanted and who decides."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bank_nodes.history import History
from bank_nodes.policy import Policy
from riskfed.errors import PolicyError
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.records import Records
from riskfed.protocols.rounds import most_rounds
from tests.bank_nodes.banks import plan_for


def records(rows: int, defaults: int) -> Records:
    labels = (np.arange(rows) < defaults).astype(np.float32)
    return Records(np.zeros((2, rows), dtype=np.float32), labels, np.ones(rows, dtype=np.float32))


@pytest.mark.parametrize(
    ("rules", "plan", "held", "message"),
    [
        (
            {"jobs": ("evaluation",)},
            {},
            (10, 5),
            "rule jobs: got horizontal_xgboost, this bank wants one of evaluation",
        ),
        ({"min_banks": 4}, {}, (10, 5), "rule min_banks: got 3 banks, this bank wants at least 4"),
        ({"protections": ("paillier",)}, {}, (10, 5), "rule protections: got masking, this bank wants one of paillier"),
        (
            {"min_key_bits": 3072},
            {"protection": "paillier"},
            (10, 5),
            "rule min_key_bits: got 2048 bits, this bank wants at least 3072",
        ),
        (
            {"max_trees": 9},
            {"job": HorizontalXgboost(n_estimators=10)},
            (10, 5),
            "rule max_trees: got 10 trees, this bank wants at most 9",
        ),
        ({}, {"job": HorizontalXgboost(cut_rounds=8)}, (10, 5), "rule exact_cuts"),
        ({"max_epsilon": 1.0}, {"job": HorizontalXgboost()}, (10, 5), "rule max_epsilon: got no differential privacy"),
        (
            {"max_epsilon": 1.0},
            {"job": HorizontalXgboost(privacy={"epsilon": 2})},
            (10, 5),
            "rule max_epsilon: got epsilon 2",
        ),
        ({"banks": ("birch",)}, {}, (10, 5), "rule banks: got a run with cedar, this bank wants no others than birch"),
        ({"required_banks": ("elm",)}, {}, (10, 5), "rule required_banks: got a run without elm"),
        (
            {},
            {"job": HorizontalXgboost(least_cell=19)},
            (10, 5),
            "rule min_cell: got least_cell 19, this bank wants at least 20 rows",
        ),
        ({}, {"job": HorizontalXgboost(min_child_weight=0.5)}, (10, 5), "rule min_child_weight: got 0.5"),
        (
            {"releases": ("reduced", "withheld")},
            {},
            (10, 5),
            "rule releases: got release full, this bank wants one of reduced, withheld",
        ),
        ({}, {}, (9, 5), "rule min_rows: got 9 rows, this bank wants at least 10"),
        (
            {},
            {},
            (10, 0),
            "rule min_defaults: got 0 of 10 rows with a positive label in column bad, this bank wants at least 1",
        ),
        ({"min_defaults": 6}, {}, (10, 5), "rule min_defaults: got fewer with a positive label"),
    ],
)
def test_every_rule_refuses(rules: dict[str, Any], plan: dict[str, Any], held: tuple[int, int], message: str) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        Policy(**{"min_rows": 10, **rules}).check(plan_for("run", **plan), records(*held), "bad", bank="ash")
    assert "only this bank can change its policy" in str(caught.value)
    assert message.startswith(f"rule {caught.value.rule}")


def test_what_is_on_the_edge_is_accepted() -> None:
    policy = Policy(
        min_rows=10, min_defaults=5, max_trees=10, exact_cuts=True, banks=("birch", "cedar"), required_banks=("cedar",)
    )
    policy.check(plan_for("run", job=HorizontalXgboost(n_estimators=10, cut_rounds=8)), records(10, 5), bank="ash")
    policy.check(
        plan_for("run", job=HorizontalXgboost(n_estimators=1), protection="paillier"), records(10, 5), bank="ash"
    )


@pytest.mark.parametrize(
    "rule",
    [
        {"releases": ()},
        {"releases": ("all",)},
        {"approval": "none"},
        {"min_cell": 0},
        {"max_rounds_per_day": 0},
        {"min_banks": 2},
        {"min_key_bits": 2047},
        {"min_defaults": 0},
        {"protections": ()},
        {"protections": ("none",)},
    ],
)
def test_some_rules_cannot_be_weakened(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy(**rule)


def test_masking_has_no_key_size() -> None:
    Policy(min_rows=1).check_plan(plan_for("run", key_bits=1))


def lines(*asked: tuple[str, float, int]) -> History:
    """A log in which runs asked, so many hours ago, for so many sums."""
    history, now = History(), datetime.now(UTC)
    for label, hours, sums in asked:
        time = (now - timedelta(hours=hours)).isoformat()
        history.note({"event": "opened", "run": label, "time": time})
        for frame in [*["COMBINE"] * sums, "EXCHANGE", "RELEASE"]:
            history.note({"event": "left", "run": label, "frame": frame, "time": time})
    return history


SMALL = HorizontalXgboost(n_estimators=5, max_depth=2)
ROUNDS = most_rounds(SMALL)


@pytest.mark.parametrize(
    ("history", "rules", "rule"),
    [
        (lines(("a/1", 3, 100)), {"max_rounds_per_day": 100 + ROUNDS}, None),
        (lines(("a/1", 3, 101)), {"max_rounds_per_day": 100 + ROUNDS}, f"up to {ROUNDS} rounds after 101 in 24 hours"),
        (lines(("a/1", 24.1, 101)), {"max_rounds_per_day": 100 + ROUNDS}, None),
        (lines(("a/1", -5, 101)), {"max_rounds_per_day": 100 + ROUNDS}, "after 101 in 24 hours"),
        (lines(), {"max_rounds_per_day": ROUNDS - 1}, "after 0 in 24 hours"),
        (lines(("a/1", 1, 1), ("b/1", 2, 1)), {"max_runs_per_day": 2}, "one more run after 2"),
        (lines(("a/1", 1, 1), ("a/2", 1, 1)), {"max_runs_per_day": 2}, None),
        (lines(("a/1", 1, 1), ("b/1", 30, 1)), {"max_runs_per_day": 2}, None),
        (lines(("run/1", 1, 99)), {"max_runs_per_day": 1, "max_rounds_per_day": 100}, None),
        (lines(("run/1", 1, 100)), {"max_rounds_per_day": 100}, "one more round after 100"),
    ],
)
def test_the_days_allowance_is_counted_from_the_log(history: History, rules: dict[str, Any], rule: str | None) -> None:
    plan = plan_for("run", attempt=3, job=SMALL)
    if rule is None:
        Policy(**rules).check_allowance(plan, history)
        return
    with pytest.raises(PolicyError, match=rule):
        Policy(**rules).check_allowance(plan, history)


def test_a_year_of_rounds_is_not_kept_in_memory() -> None:
    history = lines(*((f"r{day}/1", 24 * (365 - day), 300) for day in range(365)))
    assert history.rounds_today() <= 300
    assert len(history._rounds) < 5000


def test_the_defaults_are_those_of_the_example() -> None:
    path = resources.files("bank_nodes").joinpath("configurations", "example.toml")
    stated = tomllib.loads(path.read_text())["policy"]
    assert stated == json.loads(Policy().model_dump_json(exclude_none=True))
