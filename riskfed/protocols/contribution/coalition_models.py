"""What a coalition of banks trains: the ordinary programs, in which a bank outside of the coalition takes part without records.

Trees use cuts that all banks find once, on the records of all: cuts know no labels, they are quantiles of the features, and models that are
compared should not differ in them. A bank without records does not move them. A scorecard's bins and weights of evidence do come from
labels, so each coalition has its own.

Who learns what: as of the ordinary programs, for each coalition: every bank learns the coalition's pooled sums. In one of two banks, each
sees the other's; those of a single bank are seen by all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from riskfed.jobs import BankContribution, HorizontalScorecard, HorizontalXgboost
from riskfed.protocols import horizontal_scorecard, horizontal_xgboost
from riskfed.protocols.program import Program, Sum
from riskfed.protocols.records import Records
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.protocols.totals import Totals
from riskfed.schema import Schema
from riskfed.scoring import ScoringModel, read_model

Fit = Callable[[bool], Program[ScoringModel]]
"""One bank's side of a coalition's model: whether the bank belongs to it -> the model, the same at every bank. Raises `JobError`."""


def coalition_fit(development: Records, schema: Schema, job: BankContribution, threads: int) -> Program[Fit]:
    """What every coalition's model has in common, found once.

    Raises:
        JobError: the model's parameters do not suit the schema.
    """
    nobody = development.where(np.zeros(len(development), dtype=bool))
    if isinstance(job.model, HorizontalScorecard):
        horizontal_scorecard.check_job(schema, job.model)
        return partial(_scorecard, development, nobody, schema, job.model, threads)
    job.model.constraints_for(schema.columns)
    cuts = yield from shared_cuts(development, schema, job.model, threads)
    codes = cuts.bin(development.column, len(development), development.storage, threads)
    model = job.model

    def trees(takes_part: bool) -> Program[ScoringModel]:
        rows, own = (development, codes) if takes_part else (nobody, codes[:, :0])
        totals = yield from _totals(rows, nobody, model)
        booster = yield from horizontal_xgboost.fit(own, rows, cuts, model, totals, threads)
        return read_model(booster, schema)

    return trees


def _scorecard(
    development: Records, nobody: Records, schema: Schema, job: HorizontalScorecard, threads: int, takes_part: bool
) -> Program[ScoringModel]:
    rows = development if takes_part else nobody
    totals = yield from _totals(rows, nobody, job)
    card, _ = yield from horizontal_scorecard.fit(rows, schema, job, totals, threads)
    return read_model(card.to_bytes(), schema)


def _totals(rows: Records, nobody: Records, job: HorizontalXgboost | HorizontalScorecard) -> Program[Totals]:
    return Totals.from_pooled((yield Sum(Totals.local(rows, nobody), 1 << 62)), job)
