"""Hold a vertical logistic regression against the same descent on the joined table in plain, and against maximum likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from riskfed.demo.common_customers import CommonCustomers, figures_table
from riskfed.demo.comparison import Figures, measured
from riskfed.jobs import VerticalLogistic
from riskfed.linear.descent import Rates, batches
from riskfed.linear.reference import Descent, descend
from riskfed.linear.sigmoids import CUBIC, TAYLOR, ResidualPolynomial
from riskfed.linear_model import ScorePart, VerticalLogisticModel
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.regression.logistic_regression import fit_logistic
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.vertical_logistic.woe_counts import own_bins
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid

_RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class LogisticComparison:
    """What the demo shows; all figures are on the held-out customers whom all parties have.

    Attributes:
        joint: as the label holder measured it.
        plain: the same descent on the joined table.
        maximum_likelihood: on the same weights of evidence.
        label_holder_alone, feature_holder_alone: maximum likelihood on one party's columns; the second if it had the labels.
        common, held_out: customers whom all parties have, and of them those held out.
        coefficients: how many there are, the intercept counted.
        difference: largest one from the plain descent's.
    """

    joint: Figures
    plain: Figures
    maximum_likelihood: Figures
    label_holder_alone: Figures
    feature_holder_alone: Figures
    common: int
    held_out: int
    coefficients: int
    difference: float

    def table(self) -> Table:
        """AUC and KS of each."""
        return figures_table(
            self.held_out,
            {
                "joint, encrypted": self.joint,
                "the same on the joined table": self.plain,
                "maximum likelihood, joined table": self.maximum_likelihood,
            },
            {
                "lender alone": self.label_holder_alone,
                "partner alone, if it had the labels": self.feature_holder_alone,
            },
        )

    def verdict(self) -> str:
        """How near the coefficients are."""
        color = "green" if self.difference <= 1e-6 else "red"
        return (
            f"coefficients: {self.coefficients}, within [bold {color}]{self.difference:.1e}[/] of the same descent on the joined table; "
            f"AUC {self.joint.auc - self.maximum_likelihood.auc:+.6f} against maximum likelihood"
        )

    def figures(self) -> dict[str, Any]:
        """For programs."""
        return {
            "auc_joint": self.joint.auc,
            "auc_plain": self.plain.auc,
            "auc_exact": self.maximum_likelihood.auc,
            "auc_label_holder_alone": self.label_holder_alone.auc,
            "auc_feature_holder_alone": self.feature_holder_alone.auc,
            "ks_joint": self.joint.ks,
            "coefficients": self.coefficients,
            "max_coefficient_difference": self.difference,
            "held_out_rows": self.held_out,
        }


class LogisticTable(CommonCustomers):
    """The joined table, for weights of evidence.

    Args:
        parties: party -> its records.
        schema: the joint one.
        job: what was trained; inputs are weights of evidence.

    Attributes:
        job: see above.
        inputs: party -> (n, m) float64 weights of evidence of its columns, centred.
    """

    def __init__(self, parties: Mapping[str, pd.DataFrame], schema: Schema, job: VerticalLogistic) -> None:
        super().__init__(parties, schema, job)
        self.job = job
        self.inputs = self._inputs()

    def joined_inputs(self, *parties: str) -> NDArray[np.float64]:
        """(n, m) of some parties, one behind the other; of all by default."""
        return np.hstack([self.inputs[party] for party in parties or self.order])

    def descent(self, polynomial: ResidualPolynomial | None = None) -> Descent:
        """The job's descent in plain, with its own polynomial or another one."""
        own = TAYLOR if self.job.sigmoid == "taylor" else CUBIC
        learned = ~self.held_out
        return descend(
            self.joined_inputs()[learned],
            self.labels[learned].astype(np.float64),
            polynomial or own,
            Rates(self.job.learning_rate, self.job.momentum, self.job.l2),
            lambda epoch: batches(self.ids[learned], self.job.batch_size, self.job.validation_seed, epoch),
            self.job.epochs,
        )

    def maximum_likelihood(self, *parties: str) -> NDArray[np.float64]:
        """(m,) coefficients of a logistic regression on some parties' inputs, all by default, the intercept left out."""
        inputs = self.joined_inputs(*parties)[~self.held_out]
        bound = float(np.abs(inputs).max())
        labels = self.labels[~self.held_out].astype(np.float64)
        fit = run_alone(fit_logistic(inputs, labels, len(inputs), bound, ridge=_RIDGE * len(inputs)))
        return np.array(fit.coefficients[1:])

    def figures(self, coefficients: Sequence[float] | NDArray[np.float64], *parties: str) -> Figures:
        """How well they rank the held-out customers; an intercept changes nothing."""
        scores = self.joined_inputs(*parties)[self.held_out] @ np.asarray(coefficients)
        return measured(scores, self.labels[self.held_out])

    def pds(self, release: ModelRelease, parts: Mapping[str, ScorePart]) -> NDArray[np.float64]:
        """(n,) PD of every customer by both sides' parts."""
        model = VerticalLogisticModel.from_bytes(release.model)
        shares = [parts[name].score.partial(self.matrix(name)).astype(np.float32)[:, None] for name in model.partners]
        margins = model.margins(np.hstack([self.matrix(self.order[0]), *shares]))
        return np.asarray(1 / (1 + np.exp(-margins)))

    def _inputs(self) -> dict[str, NDArray[np.float64]]:
        records, learned = Records.from_frame(self.frame, self.schema), ~self.held_out
        holder_of = {feature.name: feature.holder for feature in self.schema.features}
        columns: dict[str, list[NDArray[np.float64]]] = {party: [] for party in self.order}
        for one in own_bins(public_grid(self.schema), records.where(learned), self.job):
            if one.separates:
                values = one.weigh(one.bins.codes(records.column))
                columns[holder_of[one.bins.feature]].append(values - values[learned].mean())
        return {party: np.stack(some, axis=1) for party, some in columns.items()}


def coefficients_of(release: ModelRelease, parts: Mapping[str, ScorePart]) -> list[float]:
    """(1 + m,) of both sides, the intercept first."""
    model = VerticalLogisticModel.from_bytes(release.model)
    terms = [*model.own.terms, *(term for name in model.partners for term in parts[name].score.terms)]
    return [model.intercept, *(term.coefficient for term in terms)]


def compare_logistic(table: LogisticTable, release: ModelRelease, parts: Mapping[str, ScorePart]) -> LogisticComparison:
    """Learn from the joined table in plain, and from each party's columns.

    Args:
        table: both parties' records.
        release: the label holder's.
        parts: feature holder -> its part, as its vault keeps it.
    """
    holder, *partners = table.order
    plain, found = table.descent(), coefficients_of(release, parts)
    return LogisticComparison(
        joint=Figures(release.metrics["auc"], release.metrics["ks"]),
        plain=table.figures(plain.coefficients),
        maximum_likelihood=table.figures(table.maximum_likelihood()),
        label_holder_alone=table.figures(table.maximum_likelihood(holder), holder),
        feature_holder_alone=table.figures(table.maximum_likelihood(*partners), *partners),
        common=len(table),
        held_out=int(table.held_out.sum()),
        coefficients=len(found),
        difference=float(np.abs(np.array(found) - [plain.intercept, *plain.coefficients]).max()),
    )
