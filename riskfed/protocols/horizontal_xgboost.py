"""Horizontal XGBoost: banks with the same columns of different customers grow one ensemble, equal to the pooled one.

    1  pooled totals: rows, weights, defaults -> base score and fixed-point scale
    2  shared cuts -> every bank bins its own rows
    3  for each tree, level by level: the pooled histogram -> every bank picks the same splits and moves its own rows
    4  after each tree, where rows are held out: the pooled metric -> early stopping, the same at every bank
    5  pooled evaluation on the held-out rows
    6  the release: model, schema and pooled figures

Who learns what: banks learn pooled totals, cuts, and histograms of gradients by node, feature and bin (each can subtract its own, so
three banks at least); the server learns what is released and the pooled metrics. Exactness: docs/exactness.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from riskfed.errors import ContractError, JobError
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.evaluation import evaluate, losses, score_cells
from riskfed.protocols.program import OwnMetrics, Program, Progress, Release, Sum, run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.schema import Schema
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts
from riskfed.trees.grower import Grower
from riskfed.trees.logit import estimate_base_score, margin_of, sigmoid
from riskfed.trees.predictor import Predictor
from riskfed.trees.tree import Tree

WEIGHT_BITS = 32
"""Fractional bits of summed sample weights: a float32 weight of 2^-9 or more is exact."""
MOST_WEIGHT = 2.0**29
"""Most that one bank's sample weights may sum to."""
LEAST_CELL = 20
"""Least rows in a released score cell."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Pooled totals of the development rows, and the number of held-out ones."""

    rows: int
    defaults: int
    weight: float
    weight_of_defaults: float
    held_out_rows: int
    held_out_defaults: int

    @classmethod
    def local(cls, development: Records, held_out: Records) -> np.ndarray:
        """This bank's share, (6,) int64.

        Raises:
            ContractError: the sample weights are too large to be summed.
        """
        if (weight := float(development.weights.sum(dtype=np.float64))) > MOST_WEIGHT:
            raise ContractError(
                f"the sample weights sum to {weight:.3g}, at most {MOST_WEIGHT:.3g} is possible; scale them down"
            )
        bads = development.labels != 0
        weights = np.rint(development.weights.astype(np.float64) * 2.0**WEIGHT_BITS).astype(np.int64)
        held_out_bads = int((held_out.labels != 0).sum())
        counts = [len(development), int(bads.sum()), weights.sum(), weights[bads].sum(), len(held_out), held_out_bads]
        return np.array(counts, dtype=np.int64)

    @classmethod
    def from_pooled(cls, pooled: np.ndarray) -> Totals:
        """Read the pooled sum.

        Raises:
            JobError: there is nothing to learn from.
        """
        rows, defaults, weight, weight_of_defaults, held_out_rows, held_out_defaults = (int(value) for value in pooled)
        if not 0 < defaults < rows:
            raise JobError(
                "the pooled development rows hold no default, or nothing else; the consortium must widen its window"
            )
        scale = 2.0**WEIGHT_BITS
        return cls(rows, defaults, weight / scale, weight_of_defaults / scale, held_out_rows, held_out_defaults)

    def base_score(self, job: HorizontalXgboost) -> float:
        """The prior PD: the job's, or what XGBoost itself would estimate, a float32 value."""
        if job.base_score is not None:
            return float(np.float32(job.base_score))
        repaid = self.weight - self.weight_of_defaults
        return float(estimate_base_score(self.weight_of_defaults, repaid, job.scale_pos_weight))


@dataclass(frozen=True, slots=True)
class Trained:
    """What a bank keeps of a run.

    Attributes:
        release: what was released.
        cuts: the shared cuts.
        base_score: prior PD.
    """

    release: ModelRelease
    cuts: Cuts
    base_score: float


def train(records: Records, schema: Schema, job: HorizontalXgboost) -> Program[Trained]:
    """One bank's side.

    Raises:
        JobError: the pooled records do not suit the job.
    """
    job.constraints_for(schema.columns)
    development, held_out = records.hold_out(job.validation_fraction, job.validation_seed)
    totals = Totals.from_pooled((yield Sum(Totals.local(development, held_out), 1 << 62)))  # 1
    if job.early_stopping_rounds is not None and not 0 < totals.held_out_defaults < totals.held_out_rows:
        raise JobError("early stopping needs held-out rows of both classes; raise validation_fraction")
    base_score = totals.base_score(job)
    cuts = yield from shared_cuts(development.matrix, schema, job)  # 2
    grower = Grower(
        cuts.bin(development.matrix),
        development.labels,
        development.weights,
        cuts,
        job,
        total_weight=totals.weight,
        base_score=base_score,
    )
    watch = _Watch(cuts.bin(held_out.matrix), held_out.labels, base_score, totals.held_out_rows, job)
    for number in range(job.n_estimators):
        yield from _grow_tree(grower)  # 3
        figures = yield from watch.after(grower.trees[-1])  # 4
        yield Progress(number + 1, figures)
        if watch.should_stop:
            break
    trees = watch.keep(grower.trees)
    metrics, cells = yield from _measure(trees, base_score, held_out, totals.held_out_rows)  # 5
    model = booster_json(trees, cuts.feature_names, job, base_score)
    release = ModelRelease(model, schema, metrics, watch.history, cells, grower.bits)
    yield Release(release.to_bytes())  # 6
    return Trained(release, cuts, base_score)


def _measure(
    trees: list[Tree], base_score: float, held_out: Records, pooled_rows: int
) -> Program[tuple[dict[str, float], list[tuple[float, int, int]]]]:
    """Pooled figures, those that are defined, and the score cells to be released; empty where nothing is held out."""
    if not pooled_rows:
        return {}, []
    margins = Predictor(trees, base_score).margins(held_out.matrix)  # by value, as applicants are scored
    figures, cells = yield from evaluate(margins, sigmoid(margins), held_out.labels)
    yield OwnMetrics(_own_figures(margins, held_out.labels))
    return {name: value for name, value in figures.items() if not math.isnan(value)}, cells.merged(LEAST_CELL)


def _grow_tree(grower: Grower) -> Program[None]:
    grower.begin_tree()
    while grower.has_open_nodes():
        pooled = yield Sum(grower.histograms(), grower.sum_bound)
        grower.split(pooled)
    grower.end_tree()


@dataclass(slots=True)
class _Watch:
    """Follows the pooled metric on the held-out rows, tree by tree."""

    codes: np.ndarray
    labels: np.ndarray
    base_score: float
    pooled_rows: int
    job: HorizontalXgboost
    history: list[dict[str, float]] = field(default_factory=list)
    margins: np.ndarray = field(init=False)
    best: float | None = None
    best_tree: int = 0

    def __post_init__(self) -> None:
        self.margins = np.full(len(self.codes), margin_of(self.base_score), dtype=np.float32)

    def after(self, tree: Tree) -> Program[Mapping[str, float]]:
        """Pooled figures once `tree` is added; empty where nothing is held out."""
        if not self.pooled_rows:
            return {}
        tree.add_margins(self.codes, self.margins)
        figures = yield from losses(sigmoid(self.margins), self.labels, self.pooled_rows)
        if self.job.early_stopping_rounds is not None and self.job.eval_metric == "auc":
            figures["auc"] = (yield from score_cells(self.margins, self.labels)).auc()
        self.history.append(figures)
        value = -figures["auc"] if "auc" in figures else figures["logloss"]
        if self.best is None or value < self.best:
            self.best, self.best_tree = value, len(self.history)
        return figures

    @property
    def should_stop(self) -> bool:
        """As XGBoost's EarlyStopping: so many trees without a strictly better value."""
        patience = self.job.early_stopping_rounds
        return patience is not None and len(self.history) - self.best_tree >= patience

    def keep(self, trees: list[Tree]) -> list[Tree]:
        """The trees of the model: up to the best one with early stopping, else all."""
        return trees[: self.best_tree] if self.job.early_stopping_rounds is not None else trees


def _own_figures(margins: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AUC and KS of this bank's held-out rows; without those that are not defined, where it has one class only."""
    rows, defaults = len(labels), int((labels != 0).sum())
    figures = {"rows": float(rows), "defaults": float(defaults)}
    if 0 < defaults < rows:
        cells = run_alone(score_cells(margins, labels))
        figures |= {"auc": cells.auc(), "ks": cells.ks()}
    return figures
