"""Hold the federated model against what could be had without a federation: pooling all records, and each bank on its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.measuring.score_cells import score_cells
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records, is_held_out
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.schema import Schema
from riskfed.simulation import pooled_cuts, pooled_reference
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.predictor import Predictor
from riskfed.trees.reference import identical_trees

APPLICANTS = "applicants.csv"
"""Held-out records in the demo's folder, to score and to pick from on the service's page."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How well a model ranks the held-out applicants of some population."""

    auc: float
    ks: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the demo shows.

    Attributes:
        federated, pooled: on all banks' held-out rows.
        alone: bank -> its own model, on all banks' held-out rows.
        own_rows: bank -> (its own model, the federated model), on the bank's own held-out rows.
        trees, trees_identical: of the federated model, and how many equal the pooled xgboost's to the last bit.
        bytes_identical: the whole model is the same file.
    """

    federated: Figures
    pooled: Figures
    alone: Mapping[str, Figures]
    own_rows: Mapping[str, tuple[Figures, Figures]]
    trees: int
    trees_identical: int
    bytes_identical: bool


def compare(
    release: ModelRelease, banks: Mapping[str, pd.DataFrame], schema: Schema, job: HorizontalXgboost
) -> Comparison:
    """Train the pooled model and each bank's own with plain xgboost, and measure all on the held-out rows.

    The federation's own figures are those that it measured itself, under protection; all others are computed here, in the open.
    """
    frame = pd.concat(banks.values(), ignore_index=True)
    pooled_bytes = bytes(pooled_reference(frame, pooled_cuts(frame, schema, job), job).save_raw("json"))
    federated, pooled = parse_booster(release.model), parse_booster(pooled_bytes)
    held_out = Records.from_frame(frame, schema).hold_out(job.validation_fraction, job.validation_seed)[1]
    own_held_out = {
        bank: Records.from_frame(records, schema).hold_out(job.validation_fraction, job.validation_seed)[1]
        for bank, records in banks.items()
    }
    alone = {bank: _train_alone(records, schema, job) for bank, records in banks.items()}
    common = Predictor(federated.trees, federated.base_score)
    return Comparison(
        federated=Figures(release.metrics["auc"], release.metrics["ks"]),
        pooled=_measure(Predictor(pooled.trees, pooled.base_score), held_out),
        alone={bank: _measure(model, held_out) for bank, model in alone.items()},
        own_rows={b: (_measure(alone[b], rows), _measure(common, rows)) for b, rows in own_held_out.items()},
        trees=len(federated.trees),
        trees_identical=identical_trees(federated.trees, pooled.trees),
        bytes_identical=pooled_bytes == release.model,
    )


def _train_alone(records: pd.DataFrame, schema: Schema, job: HorizontalXgboost) -> Predictor:
    development = Records.from_frame(records, schema).hold_out(job.validation_fraction, job.validation_seed)[0]
    cuts = run_alone(shared_cuts(development, schema, job))
    own = parse_booster(bytes(pooled_reference(records, cuts, job).save_raw("json")))
    return Predictor(own.trees, own.base_score)


def _measure(model: Predictor, rows: Records) -> Figures:
    return measured(model.margins(rows.matrix), rows.labels)


def measured(margins: np.ndarray, labels: np.ndarray) -> Figures:
    """How well (n,) float32 margins rank loans with these (n,) labels, 1.0 for a default."""
    cells = run_alone(score_cells(margins, labels))
    return Figures(cells.auc(), cells.ks())


def applicants(banks: Mapping[str, pd.DataFrame], schema: Schema, job: HorizontalXgboost) -> pd.DataFrame:
    """Real, held-out loan records of the smallest bank as applications: the schema's features, without their outcome."""
    records = min(banks.values(), key=len)
    held_out = is_held_out(schema.encode(records).T, job.validation_fraction, job.validation_seed)
    return records.loc[held_out, [feature.name for feature in schema.features]]


def an_applicant(applications: pd.DataFrame) -> dict[str, float]:
    """The first of them: feature -> value."""
    return {str(name): _plain(value) for name, value in applications.iloc[0].items()}


def _plain(value: object) -> float:
    number = float(np.asarray(value, dtype=np.float64))
    return int(number) if number.is_integer() else number
