"""Monitoring: how a model in use does on the banks' recent loans, against what it was developed on.

    1  everything: `riskfed.protocols.measuring.measure`, which also says who learns what
    2  the release: the record and no model

Bands of the score, bins of the features and the cut-off are those of the baseline, the record that was made when the model was. Where
too few loans are in one, neighbours are merged on both sides of the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.errors import JobError
from riskfed.evaluation.record import Evaluation
from riskfed.jobs import ModelMonitoring
from riskfed.protocols.measuring.breakdowns import codes_of, recent_rows
from riskfed.protocols.measuring.feature_shift import of_schema
from riskfed.protocols.measuring.measure import Subject, measure
from riskfed.protocols.measuring.measured_record import Baseline
from riskfed.protocols.measuring.score_cells import own_figures
from riskfed.protocols.program import OwnMetrics, Program, Progress, Release
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel


@dataclass(frozen=True, slots=True)
class Monitored:
    """What a bank keeps of a run.

    Attributes:
        release: what was released.
        evaluation: the record in it.
    """

    release: ModelRelease
    evaluation: Evaluation

    @property
    def full(self) -> ModelRelease:
        """What the bank keeps: the same, for there is no model in it."""
        return self.release


def monitor(
    records: Records,
    schema: Schema,
    job: ModelMonitoring,
    *,
    model: ScoringModel,
    baseline: Evaluation,
    scale: ScoreScale,
    journal: Sequence[bytes] | None = None,  # noqa: ARG001  nothing is kept: a later attempt measures anew
    threads: int = 1,  # noqa: ARG001  measuring takes seconds
) -> Program[Monitored]:
    """One bank's side.

    Args:
        records: this bank's.
        schema: the one that the model was made with.
        job: what is measured.
        model: the model that `job.model_sha256` names.
        baseline: the record that was made when the model was.
        scale: of the points, as of the baseline.
        journal, threads: as other programs have them; without effect.

    Raises:
        JobError: schema, scale or cohorts do not suit the baseline; or a figure is not defined on these loans.
        SchemaError: the baseline's features are not the schema's.
    """
    expected = _of(baseline, schema, job, scale)
    chosen = recent_rows(codes_of(records, schema), schema, job.cohorts)
    loans = records if chosen is None else records.where(chosen)
    measured = yield from measure(Subject(model, loans, schema, job, scale), expected)  # 1
    if measured.evaluation is None:
        raise JobError(
            "the figures are not defined on these loans: fewer than least_cell, of one outcome only, or parted by the score; name more "
            "cohorts"
        )
    evaluation = measured.evaluation
    yield OwnMetrics(own_figures(measured.margins, loans.labels))
    yield Progress(1, evaluation.figures())
    release = _release_of(evaluation, schema, job)
    yield Release(release.to_bytes())  # 2
    return Monitored(release, evaluation)


def _release_of(evaluation: Evaluation, schema: Schema, job: ModelMonitoring) -> ModelRelease:
    return ModelRelease(
        model=b"",
        schema=schema,
        metrics=evaluation.figures(),
        history=[],
        score_cells=[(cell.upper, cell.goods, cell.bads) for cell in evaluation.cells],
        fixed_point_bits=0,
        form="withheld",
        model_sha256=job.model_sha256,
        kind=job.kind,
        evaluation=evaluation,
    )


def _of(record: Evaluation, schema: Schema, job: ModelMonitoring, scale: ScoreScale) -> Baseline:
    grades = record.grades
    if not grades or (grades[0].low, grades[-1].high) != (scale.minimum, scale.maximum):
        raise JobError(
            "the points of the model's record are not those of its scale; store the model with the record made with it"
        )
    names = () if schema.cohort is None else schema.cohort.levels or schema.cohort.groups
    if unknown := [level for level in job.cohorts if level not in names]:
        raise JobError(
            f"the job names {len(unknown)} cohorts that the schema does not have: {', '.join(map(str, unknown))}"
        )
    return Baseline(
        rows=record.population.development_rows,
        defaults=record.population.development_defaults,
        low=[grade.low for grade in grades],
        high=[grade.high for grade in grades],
        development=np.array([grade.development for grade in grades], dtype=np.int64),
        features=[of_schema(shift, schema) for shift in record.features],
        most=None,
        cutoff=record.cutoff,
        recent=(),
    )
