"""Which vertical plans a bank takes: by its schema, by its policy, and by what its log tells of the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from bank_nodes.history import INTERSECTION, History
from bank_nodes.plain_words import describe_plan
from bank_nodes.plan_checks import check_schema
from bank_nodes.policy import Policy
from riskfed.errors import JobError, PlanError, PolicyError, SchemaError
from riskfed.jobs import HorizontalXgboost, VerticalXgboost
from riskfed.plan import Plan
from riskfed.protocols.records import Records
from riskfed.protocols.rounds import most_rounds
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.schema import Schema
from tests.bank_nodes.banks import SCHEMA as HORIZONTAL
from tests.bank_nodes.banks import plan_for
from tests.bank_nodes.vertical_banks import JOB, SCHEMA, vertical_plan

SMALL_NODES = VerticalXgboost(label_holder="lender", least_node=8, least_bin=5, min_child_weight=2)


def job(**changes: Any) -> VerticalXgboost:
    return VerticalXgboost(**{**SMALL_NODES.model_dump(), **changes})


@pytest.mark.parametrize(
    ("plan", "schema", "error", "reason"),
    [
        (plan_for("r", schema_fingerprint=SCHEMA.fingerprint), SCHEMA, JobError, "one in which every bank has all"),
        (vertical_plan(schema_fingerprint=HORIZONTAL.fingerprint), HORIZONTAL, JobError, "one that names holders"),
        (
            vertical_plan(job=job(label_holder="shop")),
            SCHEMA,
            JobError,
            "names shop as label holder, schema joint names lender",
        ),
        (vertical_plan(roster=("elm", "lender")), SCHEMA, PlanError, "names lender, shop as holders"),
        (vertical_plan(roster=("elm", "lender", "shop")), SCHEMA, PlanError, "the roster is elm, lender, shop"),
        (vertical_plan(schema_fingerprint="0" * 64), SCHEMA, SchemaError, "all must hold the same file"),
    ],
)
def test_job_roster_and_schema_belong_together(plan: Plan, schema: Schema, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        check_schema(plan, "lender", schema)
    check_schema(vertical_plan(), "lender", SCHEMA)
    check_schema(plan_for("r"), "ash", HORIZONTAL)


@pytest.mark.parametrize(
    ("rules", "plan", "message"),
    [
        ({"jobs": ("horizontal_xgboost",)}, {}, "rule jobs: got vertical_xgboost"),
        ({"banks": ("elm",)}, {}, "rule banks: got a run with lender"),
        ({"min_key_bits": 3072}, {}, "rule min_key_bits: got 2048 bits, this bank wants at least 3072"),
        ({"max_trees": 9}, {"job": job(n_estimators=10)}, "rule max_trees: got 10 trees"),
        ({}, {"job": job(cut_rounds=8)}, "rule exact_cuts"),
        ({"min_child_weight": 3.0}, {"job": SMALL_NODES}, "rule min_child_weight: got 2"),
        ({"min_node": 9}, {"job": SMALL_NODES}, "rule min_node: got least_node 8, this bank wants at least 9 rows"),
        ({"min_bin": 6}, {"job": SMALL_NODES}, "rule min_bin: got least_bin 5, this bank wants at least 6 rows"),
    ],
)
def test_every_rule_refuses(rules: dict[str, Any], plan: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Policy(**rules).check_plan(vertical_plan(**plan), "shop")


def test_two_parties_are_enough_where_nothing_is_summed() -> None:
    Policy(min_banks=5, protections=("masking",), min_node=8, min_bin=5).check_plan(
        vertical_plan(job=SMALL_NODES), "shop"
    )


def test_what_is_told_of_few_rows_is_the_feature_holders_affair() -> None:
    Policy(min_node=9, min_bin=6).check_plan(vertical_plan(job=SMALL_NODES), "lender")


def test_a_feature_holder_has_no_defaults_to_count() -> None:
    records = Records(
        np.zeros((1, 60), dtype=np.float32), np.zeros(60, dtype=np.float32), np.ones(60, dtype=np.float32)
    )
    policy = Policy(min_rows=60, min_defaults=10)
    policy.check_records(records, SCHEMA.part_of("shop").target)
    with pytest.raises(PolicyError, match="min_defaults: got 0 of 60 rows"):
        policy.check_records(records, SCHEMA.part_of("lender").target)
    with pytest.raises(PolicyError, match="min_rows: got 60 rows"):
        Policy(min_rows=61).check_records(records, "")


def log_of(*hours: float, exchanges: int = 0, protection: str = "sealed") -> History:
    """A log with runs so many hours ago: each begins to look for common customers and exchanges envelopes."""
    history, now = History(), datetime.now(UTC)
    for number, ago in enumerate(hours):
        line = {"run": f"r{number}/1", "time": (now - timedelta(hours=ago)).isoformat()}
        history.note({**line, "event": "opened", "protection": protection})
        for name in (INTERSECTION, "alignment"):
            history.note({**line, "event": "kept", "name": name, "bytes": 0})
        for _ in range(exchanges):
            history.note({**line, "event": "left", "frame": "EXCHANGE"})
    return history


def test_searches_for_common_customers_are_counted_from_the_log() -> None:
    policy = Policy(
        max_alignments_per_day=2,
        min_node=3,
        min_bin=4,
        min_common=5,
        min_batch=300,
        max_sums_per_row=0.2,
        min_key_bits=3072,
    )
    allowed = VerticalRules(3072, least_bin=4, least_node=3, least_batch=300, most_sums_per_row=0.2, least_common=5)
    assert policy.vertical_rules(log_of()) == allowed
    assert policy.vertical_rules(log_of(1, 24.1, 30)).may_intersect
    assert not policy.vertical_rules(log_of(1, 2)).may_intersect
    assert not policy.vertical_rules(log_of(1, -5)).may_intersect, "a clock that was set back frees nothing"
    assert not Policy(max_alignments_per_day=0).vertical_rules(log_of()).may_intersect


def test_exchanges_are_the_rounds_of_runs_without_sums() -> None:
    most = most_rounds(JOB)
    policy = Policy(max_rounds_per_day=100 + most)
    policy.check_allowance(vertical_plan(), log_of(1, 2, exchanges=50))
    with pytest.raises(PolicyError, match=f"up to {most} rounds after 102 in 24 hours"):
        policy.check_allowance(vertical_plan(), log_of(1, 2, exchanges=51))
    assert log_of(1, 2, exchanges=51, protection="masking").rounds_today() == 0, "there, an exchange only opens a run"


def test_a_plan_in_plain_words_says_what_others_learn() -> None:
    told = dict(describe_plan(vertical_plan(job=SMALL_NODES)))
    assert f"at most {most_rounds(SMALL_NODES):,} exchanges of sealed messages" in told["asks"]
    assert "Paillier ciphertexts of 2048 bits" in told["protection"]
    assert "bins of 5 rows, nodes of 8 rows at least" in told["others learn"]
    assert "find the customers that all have" in told["job"]
    assert "lender's part" in told["operator gets"]
    horizontal = dict(describe_plan(plan_for("r", job=HorizontalXgboost())))
    assert "others learn" not in horizontal
    assert "protected sums over this bank's loans" in horizontal["asks"]
