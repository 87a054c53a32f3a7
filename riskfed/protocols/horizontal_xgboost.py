"""Horizontal XGBoost: banks with the same columns of different customers grow one ensemble, equal to the pooled one.

    0  in a later attempt of a run: the last tree that all banks have
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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.errors import ContractError, JobError
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.checkpoint import Progressed, agree_on_checkpoint, read_journal, tree_entry
from riskfed.protocols.early_stopping import Watch
from riskfed.protocols.evaluation import evaluate, score_cells
from riskfed.protocols.program import Checkpoint, OwnMetrics, Program, Progress, Release, Sum, run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.schema import Schema
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts
from riskfed.trees.grower import Grower
from riskfed.trees.logit import estimate_base_score, sigmoid
from riskfed.trees.predictor import Predictor
from riskfed.trees.reduced import reduced
from riskfed.trees.tree import Tree

WEIGHT_BITS = 32
"""Fractional bits of summed sample weights: a float32 weight of 2^-9 or more is exact."""
_ROWS_AT_ONCE = 1 << 20
MOST_WEIGHT = 2.0**29
"""Most that one bank's sample weights may sum to."""


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
        defaults = summed = summed_bads = 0
        for start in range(0, len(development), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            bads = development.labels[rows] != 0
            weights = np.rint(development.weights[rows].astype(np.float64) * 2.0**WEIGHT_BITS).astype(np.int64)
            defaults += int(bads.sum())
            summed += int(weights.sum())
            summed_bads += int(weights[bads].sum())
        held_out_bads = int((held_out.labels != 0).sum())
        counts = [len(development), defaults, summed, summed_bads, len(held_out), held_out_bads]
        return np.array(counts, dtype=np.int64)

    @classmethod
    def from_pooled(cls, pooled: np.ndarray, job: HorizontalXgboost) -> Totals:
        """Read the pooled sum.

        Raises:
            JobError: there is nothing to learn from, or too little to stop early by or to measure on.
        """
        rows, defaults, weight, weight_of_defaults, held_out_rows, held_out_defaults = (int(value) for value in pooled)
        if not 0 < defaults < rows:
            raise JobError(
                "the pooled development rows hold no default, or nothing else; the consortium must widen its window"
            )
        if job.early_stopping_rounds is not None and not 0 < held_out_defaults < held_out_rows:
            raise JobError("early stopping needs held-out rows of both classes; raise validation_fraction")
        if 0 < held_out_rows < job.least_cell:
            # Figures on a few rows, for another few at each seed, would tell the server of single ones.
            raise JobError(
                f"the banks hold out {held_out_rows} rows, figures need {job.least_cell} (least_cell); raise validation_fraction"
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
        full: the release as it would be with the whole model, which the bank keeps.
        cuts: the shared cuts.
        base_score: prior PD.
    """

    release: ModelRelease
    full: ModelRelease
    cuts: Cuts
    base_score: float


def train(
    records: Records,
    schema: Schema,
    job: HorizontalXgboost,
    *,
    journal: Sequence[bytes] | None = None,
    threads: int = 1,
) -> Program[Trained]:
    """One bank's side.

    Args:
        records: this bank's.
        schema: the consortium's.
        job: what is trained.
        journal: None in a run's first attempt; later what this bank has kept of the ones before (`Checkpoint`), maybe nothing.
        threads: how many work on this bank's records; each bank's own choice, the model does not depend on it.

    Raises:
        JobError: the pooled records do not suit the job.
        ContractError: the records are not those that the run began with.
    """
    job.constraints_for(schema.columns)
    development, held_out = records.hold_out(job.validation_fraction, job.validation_seed)
    saved = None
    if journal is not None:
        saved = yield from agree_on_checkpoint(read_journal(journal), job.n_estimators, records.digest())  # 0
    if saved is None:
        saved = yield from _begin(records, development, held_out, schema, job, threads)  # 1, 2
    totals, cuts = Totals.from_pooled(saved.totals, job), saved.cuts
    base_score = totals.base_score(job)
    grower = _grower(development, cuts, job, totals, threads)
    watched = cuts.bin(held_out.column, len(held_out), records.storage, threads)
    watch = Watch(watched, held_out.labels, base_score, totals.held_out_rows, job)
    grower.resume(saved.trees)
    watch.resume(saved.trees, saved.history)
    while len(grower.trees) < job.n_estimators and not watch.should_stop:
        tree = yield from _grow_tree(grower)  # 3
        figures = yield from watch.after(tree)  # 4
        yield Progress(len(grower.trees), figures)
        yield Checkpoint(tree_entry(len(grower.trees) - 1, tree, figures))
    trees = watch.keep(grower.trees)
    metrics, cells = yield from _measure(trees, base_score, held_out, totals.held_out_rows, job.least_cell)  # 5
    model = booster_json(trees, cuts.feature_names, job, base_score)
    full = ModelRelease(model, schema, metrics, watch.history, cells, grower.bits)
    release = _in_form(full, trees, cuts, job, base_score)
    yield Release(release.to_bytes())  # 6
    return Trained(release, full, cuts, base_score)


def _in_form(
    full: ModelRelease, trees: Sequence[Tree], cuts: Cuts, job: HorizontalXgboost, base_score: float
) -> ModelRelease:
    """What leaves the banks of a full release, by the job's ``release``."""
    match job.release:
        case "full":
            return full
        case "reduced":
            return full.reduced_to(booster_json([reduced(tree) for tree in trees], cuts.feature_names, job, base_score))
        case "withheld":
            return full.withheld()


def _begin(
    records: Records, development: Records, held_out: Records, schema: Schema, job: HorizontalXgboost, threads: int
) -> Program[Progressed]:
    """What comes before the first tree: pooled totals and shared cuts."""
    pooled = yield Sum(Totals.local(development, held_out), 1 << 62)
    Totals.from_pooled(pooled, job)  # refuses before the search for cuts
    cuts = yield from shared_cuts(development, schema, job, threads)
    begun = Progressed(records.digest(), pooled, cuts)
    yield Checkpoint(begun.head())
    return begun


def _grower(development: Records, cuts: Cuts, job: HorizontalXgboost, totals: Totals, threads: int) -> Grower:
    return Grower(
        cuts.bin(development.column, len(development), development.storage, threads),
        development.labels,
        development.weights,
        cuts,
        job,
        total_weight=totals.weight,
        base_score=totals.base_score(job),
        storage=development.storage,
        threads=threads,
    )


def _measure(
    trees: list[Tree], base_score: float, held_out: Records, pooled_rows: int, least_cell: int
) -> Program[tuple[dict[str, float], list[tuple[float, int, int]]]]:
    """Pooled figures, those that are defined, and the score cells to be released; empty where nothing is held out."""
    if not pooled_rows:
        return {}, []
    predictor = Predictor(trees, base_score)  # by value, as applicants are scored
    margins = np.concatenate([np.empty(0, np.float32), *map(predictor.margins, held_out.blocks())])
    figures, cells = yield from evaluate(margins, sigmoid(margins), held_out.labels)
    yield OwnMetrics(_own_figures(margins, held_out.labels))
    return {name: value for name, value in figures.items() if not math.isnan(value)}, cells.merged(least_cell)


def _grow_tree(grower: Grower) -> Program[Tree]:
    grower.begin_tree()
    while grower.has_open_nodes():
        pooled = yield Sum(grower.histograms(), grower.sum_bound)
        grower.split(pooled)
    return grower.end_tree()


def _own_figures(margins: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AUC and KS of this bank's held-out rows; without those that are not defined, where it has one class only."""
    rows, defaults = len(labels), int((labels != 0).sum())
    figures = {"rows": float(rows), "defaults": float(defaults)}
    if 0 < defaults < rows:
        cells = run_alone(score_cells(margins, labels))
        figures |= {"auc": cells.auc(), "ks": cells.ks()}
    return figures
