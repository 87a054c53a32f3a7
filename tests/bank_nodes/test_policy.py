"""A bank's policy: every rule refuses on its own, and says what was got, what is wanted and who decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bank_nodes.policy import Policy
from riskfed.errors import PolicyError
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.records import Records
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
        Policy(**{"min_rows": 10, **rules}).check(plan_for("run", **plan), records(*held), "bad")
    assert "only this bank can change its policy" in str(caught.value)


def test_what_is_on_the_edge_is_accepted() -> None:
    policy = Policy(min_rows=10, min_defaults=5, max_trees=10, exact_cuts=True)
    policy.check(plan_for("run", job=HorizontalXgboost(n_estimators=10, cut_rounds=8)), records(10, 5))
    policy.check(plan_for("run", job=HorizontalXgboost(n_estimators=1), protection="paillier"), records(10, 5))


@pytest.mark.parametrize(
    "rule",
    [{"min_banks": 2}, {"min_key_bits": 2047}, {"min_defaults": 0}, {"protections": ()}, {"protections": ("none",)}],
)
def test_some_rules_cannot_be_weakened(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy(**rule)


def test_masking_has_no_key_size() -> None:
    Policy(min_rows=1).check_plan(plan_for("run", key_bits=1))
