"""A model's validation: all figures on the held-out loans, against the development loans.

1  development loans by points and by the features' bins
2  everything else: `riskfed.protocols.measuring.measure`, which also says who learns what
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from riskfed.evaluation.record import Evaluation
from riskfed.jobs import Job
from riskfed.protocols.measuring.feature_shift import BinCounts, count_bins
from riskfed.protocols.measuring.measure import Measured, Subject, measure
from riskfed.protocols.measuring.measured_record import Baseline
from riskfed.protocols.measuring.score_cells import own_figures
from riskfed.protocols.measuring.scored import count_by_points, sum_tables
from riskfed.protocols.program import OwnMetrics, Program
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel

MOST_BANDS = 10
"""Grades of the score, and intervals of a feature, that are wanted."""


def validate(
    model: ScoringModel,
    development: Records,
    held_out: Records,
    schema: Schema,
    job: Job,
    *,
    bins: Sequence[FeatureBins],
    scale: ScoreScale,
    champion: ScoringModel | None = None,
) -> Program[Evaluation | None]:
    """One bank's side.

    Args:
        model: the model, the same at every bank.
        development: this bank's loans that it was fitted on.
        held_out: this bank's other loans.
        schema: the consortium's. Its cohort says which loans are recent; where it names none, all held-out loans are.
        job: its ``least_cell``, ``approval_rate`` and ``champion_sha256`` count here.
        bins: of the features whose shift is measured, the same at every bank, from public or pooled figures.
        scale: of the points.
        champion: the model that `job.champion_sha256` names, to compare with; None for none.

    Returns:
        the record, equal at every bank; None where one of its figures is not defined, see `Measured.evaluation`.
    """
    subject = Subject(model, held_out, schema, job, scale, champion)
    measured = yield from measured_on(subject, development, bins)
    return measured.evaluation


def measured_on(subject: Subject, development: Records, bins: Sequence[FeatureBins]) -> Program[Measured]:
    """As `validate`, with the figures that are defined whatever the loans are."""
    baseline = yield from _developed(subject, development, bins)  # 1
    return (yield from measure(subject, baseline))  # 2


def measured_release(
    subject: Subject, development: Records, bins: Sequence[FeatureBins], release: ModelRelease
) -> Program[ModelRelease]:
    """The release with the figures that are defined, the score cells that may be published, and the evaluation, if there is one."""
    measured = yield from measured_on(subject, development, bins)
    yield OwnMetrics(own_figures(measured.margins.astype(np.float32), subject.records.labels))
    figures = {name: value for name, value in measured.figures.items() if not math.isnan(value)}
    if measured.evaluation is not None:
        figures |= measured.evaluation.figures()
    cells = measured.cells.merged(subject.job.least_cell)
    return replace(release, metrics=figures, score_cells=cells, evaluation=measured.evaluation)


def _developed(subject: Subject, development: Records, bins: Sequence[FeatureBins]) -> Program[Baseline]:
    scale, cohort = subject.scale, subject.schema.cohort
    totals = [len(development), int((development.labels != 0).sum())]
    (rows, defaults), by_points, *by_bins = yield from sum_tables(
        [
            np.array(totals, dtype=np.int64),
            count_by_points(subject.model, development, scale),
            *(count_bins(development, feature) for feature in bins),
        ]
    )
    points = range(scale.minimum, scale.maximum + 1)
    return Baseline(
        rows=int(rows),
        defaults=int(defaults),
        low=points,
        high=points,
        development=by_points,
        features=[BinCounts(feature, counts) for feature, counts in zip(bins, by_bins, strict=True)],
        most=MOST_BANDS,
        cutoff=None,
        recent=() if cohort is None else cohort.recent,
    )
