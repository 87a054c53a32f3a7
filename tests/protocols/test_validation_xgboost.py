"""A training job measures its model: the record is in the release, and a champion is compared with."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.horizontal_xgboost import Trained, train
from riskfed.protocols.measuring.score_cells import evaluate
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.scoring import ScoringModel, read_model
from riskfed.trees.logit import sigmoid
from tests.evaluation.loans import SCHEMA, loans, parts
from tests.helpers import add_up

LOANS = loans(3000, 4)


def trained(
    frame: pd.DataFrame = LOANS, banks: int = 3, champion: ScoringModel | None = None, **fields: Any
) -> ModelRelease:
    job = HorizontalXgboost(**{"n_estimators": 10, "max_depth": 3, "max_bin": 32, "validation_fraction": 0.3, **fields})
    sides = [train(Records.from_frame(own, SCHEMA), SCHEMA, job, champion=champion) for own in parts(frame, banks)]
    found: list[Trained] = add_up(sides)
    assert len({outcome.release.to_bytes() for outcome in found}) == 1
    return found[0].release


@cache
def first() -> ModelRelease:
    return trained()


def test_the_release_holds_the_record() -> None:
    release = first()
    record = release.evaluation
    assert record is not None
    assert release.metrics == record.figures()
    assert ModelRelease.from_bytes(release.to_bytes()).evaluation == record
    assert (record.population.rows, record.population.banks) == (release.metrics["rows"], 3)
    assert record.population.rows + record.population.development_rows == len(LOANS)
    assert {shift.name for shift in record.features} == {feature.name for feature in SCHEMA.features}
    assert release.score_cells == [(cell.upper, cell.goods, cell.bads) for cell in record.cells]


def test_figures_are_those_of_the_plain_evaluation_to_the_last_bit() -> None:
    _, held_out = Records.from_frame(LOANS, SCHEMA).hold_out(0.3, 0)
    margins = read_model(first().model, SCHEMA).margins(held_out.matrix)
    figures, _ = run_alone(evaluate(margins, sigmoid(margins), held_out.labels))
    assert {name: first().metrics[name] for name in figures} == figures
    assert figures["auc"] == roc_auc_score(held_out.labels, margins)


def test_it_does_not_depend_on_who_holds_which_loan() -> None:
    other, record = trained(banks=5).evaluation, first().evaluation
    assert other is not None
    assert record is not None
    assert other.model_copy(update={"population": record.population}) == record


def test_a_champion_is_compared_with() -> None:
    champion = read_model(first().model, SCHEMA)
    same = trained(champion=champion, champion_sha256=first().model_sha256).evaluation
    assert same is not None
    assert same.swap is not None
    assert same.swap.auc_difference.value == same.swap.auc_difference.standard_error == 0
    weaker = trained(champion=champion, champion_sha256=first().model_sha256, n_estimators=1, max_depth=1).evaluation
    assert weaker is not None
    assert weaker.swap is not None
    assert weaker.swap.champion_auc == first().metrics["auc"]
    assert (weaker.swap.auc_difference.high or 0) < 0


def test_where_no_record_can_be_made_the_other_figures_are_still_there() -> None:
    """All default on the held-out loans: the AUC is not defined, nor is the record."""
    held_out = Records.from_frame(LOANS, SCHEMA).hold_out(0.3, 0)[1].rows
    assert held_out is not None
    release = trained(LOANS.assign(default=np.where(held_out, 1, LOANS["default"])))
    assert release.evaluation is None
    assert set(release.metrics) == {"logloss", "brier", "rows", "defaults"}
