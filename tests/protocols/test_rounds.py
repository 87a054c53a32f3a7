"""The bound on a run's rounds holds, and is not idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from riskfed.jobs import HorizontalScorecard, HorizontalXgboost, VerticalXgboost
from riskfed.protocols.horizontal_scorecard import train as scorecard
from riskfed.protocols.horizontal_xgboost import train
from riskfed.protocols.measuring.calibration_fit import MOST_ROUNDS
from riskfed.protocols.program import Exchange, Sum
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.rounds import most_rounds
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.schema import CustomerId, Feature, Schema
from riskfed.secure import paillier_key
from tests.evaluation.loans import SCHEMA as LOANS
from tests.evaluation.loans import loans
from tests.helpers import exchange_all

CALIBRATED = 8
"""Least sums for slope and intercept here."""
SCHEMA = Schema(name="s", version="1", target="y", features=(Feature(name="a"), Feature(name="b")))


def sums_of(job: HorizontalXgboost, journal: list[bytes] | None = None) -> int:
    """How many sums a bank asks for in a run by itself."""
    draw = np.random.default_rng(4)
    frame = pd.DataFrame(draw.normal(size=(3000, 2)), columns=["a", "b"])
    frame["y"] = (frame["a"] + draw.normal(size=3000) > 0).astype(int)
    return sum(
        isinstance(request, Sum)
        for request in requests(train(Records.from_frame(frame, SCHEMA), SCHEMA, job, journal=journal))
    )


def requests(program: Any) -> Iterator[Any]:
    answer = None
    while True:
        try:
            request = program.send(answer)
        except StopIteration:
            return
        answer = request.values if isinstance(request, Sum) else None
        yield request


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"cut_rounds": 8},
        {"validation_fraction": 0.3},
        {"validation_fraction": 0.3, "early_stopping_rounds": 50},
        {"validation_fraction": 0.3, "early_stopping_rounds": 50, "eval_metric": "auc"},
    ],
)
def test_no_attempt_asks_more_often_and_a_hard_one_as_often(parameters: dict[str, Any]) -> None:
    job = HorizontalXgboost(n_estimators=4, max_depth=5, min_child_weight=0, **parameters)
    asked = 1 + sums_of(job)  # the canary
    # A first attempt does not search for a checkpoint, and the calibration is found in fewer steps than it may take.
    unused = 2 + (MOST_ROUNDS - CALIBRATED) * ("validation_fraction" in parameters)
    assert most_rounds(job) - unused <= asked <= most_rounds(job) - 2
    assert most_rounds(job) >= 1 + sums_of(job, journal=[])


@pytest.mark.parametrize("selection", ["none", "stepwise"])
def test_nor_does_a_scorecard(selection: str) -> None:
    job = HorizontalScorecard(selection=selection, validation_fraction=0.3)
    records = Records.from_frame(loans(2000), LOANS)
    asked = 1 + sum(isinstance(request, Sum) for request in requests(scorecard(records, LOANS, job)))
    assert asked <= most_rounds(job, len(LOANS.features)) <= most_rounds(job)
    named = job.model_copy(update={"features": ("income", "grade")})
    assert most_rounds(named) == most_rounds(job, 2)


def exchanges_of(job: VerticalXgboost) -> Counter[str]:
    """How many exchanges of envelopes each part of a vertical run takes."""
    draw, rows = np.random.default_rng(4), 150
    frame = pd.DataFrame(draw.normal(size=(rows, 2)), columns=["a", "b"])
    frame["y"] = (frame["a"] * frame["b"] + draw.normal(size=rows) / 4 > 0).astype(int)
    frame["customer_id"] = [str(number) for number in range(rows)]
    schema = Schema.vertical(SCHEMA, {"lender": ["a"], "shop": ["b"]}, "lender", CustomerId())
    asked: Counter[str] = Counter()

    def hear(name: str, request: Any) -> None:
        if name == "shop" and isinstance(request, Exchange):
            asked[request.label.partition(",")[0]] += 1

    programs = {
        name: program_for(
            job,
            Records.from_frame(frame, schema.part_of(name)),
            schema,
            bank=name,
            roster=schema.holders,
            key_bits=1024,
            vertical_rules=VerticalRules(least_key_bits=1024),
        )()
        for name in schema.holders
    }
    exchange_all(programs, hear)
    return asked


def test_a_vertical_job_exchanges_as_often_as_its_trees_have_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)
    job = VerticalXgboost(label_holder="lender", n_estimators=2, max_depth=3, min_child_weight=0, max_bin=16)
    asked = exchanges_of(job)
    at_most = most_rounds(job) - most_rounds(job.model_copy(update={"label_holder_trees": 2}))
    assert asked["vertical"] == at_most + 4, "all levels, and opening, end and release"
    opening = 3
    assert opening + asked.total() <= most_rounds(job)
    first_alone = job.model_copy(update={"label_holder_trees": 1})
    assert exchanges_of(first_alone)["vertical"] == at_most // 2 + 4
