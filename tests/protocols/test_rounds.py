"""The bound on a run's rounds holds, and is not idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from riskfed.jobs import HorizontalScorecard, HorizontalXgboost
from riskfed.protocols.horizontal_scorecard import train as scorecard
from riskfed.protocols.horizontal_xgboost import train
from riskfed.protocols.measuring.calibration_fit import MOST_ROUNDS
from riskfed.protocols.program import Sum
from riskfed.protocols.records import Records
from riskfed.protocols.rounds import most_rounds
from riskfed.schema import Feature, Schema
from tests.evaluation.loans import SCHEMA as LOANS
from tests.evaluation.loans import loans

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
