"""The label holder's finished model: its own terms and a column for each feature holder's share of the score; measured, with a fallback.

It is measured on held-out customers, of whom feature holders told their shares. Of development customers the label holder has none, so
bands of the score are of equal shares of the held-out ones, and no shift of the score since development is told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from riskfed.evaluation.record import Evaluation, Shift
from riskfed.jobs import VerticalLogistic
from riskfed.linear.descent import INPUT_BITS
from riskfed.linear_model import VerticalLogisticModel
from riskfed.protocols.measuring.feature_shift import BinCounts, count_bins
from riskfed.protocols.measuring.measure import Subject, measure
from riskfed.protocols.measuring.measured_record import Baseline
from riskfed.protocols.measuring.score_cells import score_cells
from riskfed.protocols.measuring.scored import count_by_points
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.regression.logistic_regression import fit_logistic
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.vertical.aligned import AlignedRecords
from riskfed.protocols.vertical_logistic.inputs import Inputs
from riskfed.protocols.vertical_logistic.vectors import input_bound
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import LinearModel
from riskfed.vertical_model import PartnerReference, joined_schema

_SHIFT_CELLS = 128
"""Cells of the public grid of a numeric feature whose shift is measured."""
_BANDS = 10
_LEAST_RIDGE = 1e-6
"""On the mean loss: keeps the fallback's fit apart from dependent columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A model whose coefficients are complete.

    Attributes:
        aligned: the label holder's records.
        inputs: its own columns of the regression.
        schema: its part.
        job: the parameters.
        coefficients: (1 + m,) the intercept first.
        partners: the feature holders' parts.
    """

    aligned: AlignedRecords
    inputs: Inputs
    schema: Schema
    job: VerticalLogistic
    coefficients: tuple[float, ...] = field(repr=False)
    partners: tuple[PartnerReference, ...]

    def release(self, losses: Sequence[float], shares: Sequence[NDArray[np.float32]]) -> ModelRelease:
        """The whole model with its figures.

        Args:
            losses: of the epochs.
            shares: each feature holder's, of the held-out customers in the common order.
        """
        names = tuple(partner.party for partner in self.partners)
        schema = joined_schema(self.schema, [(name, 1) for name in names], "partial_score")
        model = self._model(schema.columns, self.coefficients, names)
        local = self._model(self.schema.columns, self._alone(), ())
        history = [{f"logloss_{self.job.sigmoid}": loss} for loss in losses]
        full = ModelRelease(
            model.to_bytes(),
            schema,
            {},
            history,
            [],
            INPUT_BITS,
            kind=self.job.kind,
            partners=self.partners,
            fallback=local.to_bytes(),
        )
        if self.aligned.learned.all():
            return full
        held_out = _with_shares(self.aligned.held_out, shares)
        measured = self._measured(LinearModel(model, schema), held_out, schema, full)
        alone = run_alone(score_cells(local.margins(self.aligned.held_out.matrix), held_out.labels)).auc()
        metrics = {} if math.isnan(alone) else {"auc_label_holder_alone": alone}
        return replace(measured, metrics={**measured.metrics, **metrics})

    def in_form(self, full: ModelRelease) -> ModelRelease:
        """What is released of the model, by the job's ``release``; a linear model holds no counts that "reduced" would leave out."""
        match self.job.release:
            case "full":
                return full
            case "reduced":
                return full.reduced_to(full.model)
            case "withheld":
                return replace(full.withheld(), fallback=b"")

    def _model(
        self, columns: tuple[str, ...], coefficients: Sequence[float], partners: tuple[str, ...]
    ) -> VerticalLogisticModel:
        job, learned = self.job, self.aligned.development
        scale = ScoreScale(job.base_score, job.base_odds, job.pdo)
        return VerticalLogisticModel(
            columns=columns,
            intercept=coefficients[0],
            own=self.inputs.score(self.schema.columns, coefficients[1:], scale),
            partners=partners,
            base_score=job.base_score,
            base_odds=job.base_odds,
            pdo=job.pdo,
            rows=len(learned),
            defaults=int((learned.labels != 0).sum()),
        )

    def _alone(self) -> tuple[float, ...]:
        """(1 + m,) coefficients on the own inputs alone, by maximum likelihood with the job's penalty, the intercept first.

        Raises:
            JobError: there is no fit, such as where all development customers have one outcome.
        """
        development = self.aligned.development
        design = self.inputs.design[self.aligned.learned] / 2.0**INPUT_BITS
        rows, ridge = len(development), max(self.job.l2, _LEAST_RIDGE)
        labels = (development.labels != 0).astype(np.float64)
        bound = float(input_bound(self.job))
        return run_alone(fit_logistic(design, labels, rows, bound, ridge=ridge * rows)).coefficients

    def _measured(self, model: LinearModel, held_out: Records, schema: Schema, full: ModelRelease) -> ModelRelease:
        """The release with its figures on the held-out customers."""
        job, development = self.job, self.aligned.development
        scale = ScoreScale(job.base_score, job.base_odds, job.pdo)
        subject, cohort = Subject(model, held_out, schema, job, scale), schema.cohort
        points = range(scale.minimum, scale.maximum + 1)
        baseline = Baseline(
            rows=len(development),
            defaults=int((development.labels != 0).sum()),
            low=points,
            high=points,
            development=count_by_points(model, held_out, scale),
            features=[
                BinCounts(bins, count_bins(development, bins)) for bins in public_grid(self.schema, _SHIFT_CELLS)
            ],
            most=_BANDS,
            cutoff=None,
            recent=() if cohort is None else cohort.recent,
        )
        measured = run_alone(measure(subject, baseline))
        figures = {name: value for name, value in measured.figures.items() if not math.isnan(value)}
        record = None if measured.evaluation is None else _without_score_shift(measured.evaluation)
        if record is not None:
            figures |= record.figures()
        return replace(full, metrics=figures, score_cells=measured.cells.merged(job.least_cell), evaluation=record)


def _without_score_shift(record: Evaluation) -> Evaluation:
    """A record whose score has no distribution at development to be compared with."""
    nothing = Shift(name="score", index=None, noise=None, bins=())
    return record.model_copy(update={"score_shift": nothing})


def _with_shares(records: Records, shares: Sequence[NDArray[np.float32]]) -> Records:
    """Records with a column for each feature holder's share of the score."""
    own = records.take(np.arange(len(records)))
    columns = own.storage.empty((len(own.columns) + len(shares), len(own)), np.float32)
    columns[: len(own.columns)] = own.columns
    for number, share in enumerate(shares, len(own.columns)):
        columns[number] = share
    return replace(own, columns=columns)
