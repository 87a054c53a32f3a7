"""Horizontal XGBoost: banks with the same columns of different customers grow one ensemble, equal to the pooled one.

    0  in a later attempt of a run: the last tree that all banks have
    1  pooled totals: rows, weights, defaults -> base score and fixed-point scale
    2  shared cuts -> every bank bins its own rows
    3  for each tree, level by level: the pooled histogram -> every bank picks the same splits and moves its own rows
    4  after each tree, where rows are held out: the pooled metric -> early stopping, the same at every bank
    5  pooled evaluation on the held-out rows (`riskfed.protocols.measuring.validation`)
    6  the release: model, schema and pooled figures

Who learns what: banks learn pooled totals, cuts, and histograms of gradients by node, feature and bin (each can subtract its own, so
three banks at least), and what 5 says; the server learns what is released and the pooled metrics. Exactness: docs/exactness.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.alone import Alone, can_learn_alone
from riskfed.protocols.checkpoint import Progressed, agree_on_checkpoint, read_journal, tree_entry
from riskfed.protocols.early_stopping import Watch
from riskfed.protocols.measuring.measure import Subject
from riskfed.protocols.measuring.validation import measured_release
from riskfed.protocols.program import Checkpoint, OwnMetrics, Program, Progress, Release, Sum
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.protocols.totals import Totals
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel, read_model
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts
from riskfed.trees.grower import Grower
from riskfed.trees.reduced import reduced
from riskfed.trees.tree import Tree

SHIFT_CELLS = 128
"""Cells of the public grid of a numeric feature whose shift is measured."""


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
    champion: ScoringModel | None = None,
) -> Program[Trained]:
    """One bank's side.

    Args:
        records: this bank's.
        schema: the consortium's.
        job: what is trained.
        journal: None in a run's first attempt; later what this bank has kept of the ones before (`Checkpoint`), maybe nothing.
        threads: how many work on this bank's records; each bank's own choice, the model does not depend on it.
        champion: the model that `job.champion_sha256` names, to compare with.

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
    totals, cuts = Totals.for_trees(saved.totals, job), saved.cuts
    base_score = totals.base_score(job)
    codes = cuts.bin(development.column, len(development), development.storage, threads)
    grower = grower_of(codes, development, cuts, job, totals.weight, base_score, threads)
    watched = cuts.bin(held_out.column, len(held_out), records.storage, threads)
    watch = Watch(watched, held_out.labels, base_score, totals.held_out_rows, job)
    alone = _alone(codes, development, watch, cuts, job, threads)
    grower.resume(saved.trees)
    watch.resume(saved.trees, saved.history)
    yield from _boost(grower, watch, alone, job)  # 3, 4
    trees = watch.keep(grower.trees)
    model = booster_json(trees, cuts.feature_names, job, base_score)
    full = ModelRelease(model, schema, {}, watch.history, [], grower.bits)
    if totals.held_out_rows:
        subject = Subject(read_model(model, schema), held_out, schema, job, ScoreScale(), champion)
        full = yield from measured_release(subject, development, public_grid(schema, SHIFT_CELLS), full)  # 5
    release = in_form(full, trees, cuts, job, base_score)
    yield Release(release.to_bytes())  # 6
    return Trained(release, full, cuts, base_score)


def fit(
    codes: np.ndarray, development: Records, cuts: Cuts, job: HorizontalXgboost, totals: Totals, threads: int = 1
) -> Program[bytes]:
    """One bank's side of the trees alone: nothing is watched, kept, measured or released.

    Args:
        codes: (f, n) uint8, the bank's development rows in the bins of `cuts`.
        development: the bank's development rows, maybe none.
        cuts, job, totals: the same at every bank.
        threads: how many work on this bank's records.

    Returns:
        XGBoost's JSON, the same at every bank.
    """
    base_score = totals.base_score(job)
    grower = grower_of(codes, development, cuts, job, totals.weight, base_score, threads)
    while len(grower.trees) < job.n_estimators:
        yield from grow_tree(grower)
    return booster_json(grower.trees, cuts.feature_names, job, base_score)


def in_form(
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
    Totals.for_trees(pooled, job)  # refuses before the search for cuts
    cuts = yield from shared_cuts(development, schema, job, threads)
    begun = Progressed(records.digest(), pooled, cuts)
    yield Checkpoint(begun.head())
    return begun


def grower_of(
    codes: np.ndarray,
    development: Records,
    cuts: Cuts,
    job: HorizontalXgboost,
    weight: float,
    base_score: float,
    threads: int,
) -> Grower:
    """What grows the job's trees on a bank's development rows, binned to (f, n) uint8 `codes`; `weight` is that of all banks' rows."""
    return Grower(
        codes,
        development.labels,
        development.weights,
        cuts,
        job,
        total_weight=weight,
        base_score=base_score,
        storage=development.storage,
        threads=threads,
    )


def _alone(
    codes: np.ndarray, development: Records, watch: Watch, cuts: Cuts, job: HorizontalXgboost, threads: int
) -> Alone | None:
    """This bank's own model, to be grown beside; None where the job asks for none, or the bank could not learn or measure alone."""
    if not job.compare_alone or not can_learn_alone(development.labels, watch.labels, job.least_cell):
        return None
    nothing = development.where(np.zeros(len(development), dtype=bool))
    totals = Totals.from_pooled(Totals.local(development, nothing), job)
    base_score = totals.base_score(job)
    grower = grower_of(codes, development, cuts, job, totals.weight, base_score, threads)
    return Alone(grower, base_score, watch.codes, watch.labels)


def _boost(grower: Grower, watch: Watch, alone: Alone | None, job: HorizontalXgboost) -> Program[None]:
    """Tree after tree, until there are enough or the pooled metric has stopped improving."""
    while len(grower.trees) < job.n_estimators and not watch.should_stop:
        tree = yield from grow_tree(grower)
        figures = yield from watch.after(tree)
        yield Progress(len(grower.trees), figures)
        if alone is not None and (own := alone.after(len(grower.trees), watch)):
            yield OwnMetrics(own)
        yield Checkpoint(tree_entry(len(grower.trees) - 1, tree, figures))


def grow_tree(grower: Grower) -> Program[Tree]:
    """One tree, from one protected sum a level."""
    grower.begin_tree()
    while grower.has_open_nodes():
        pooled = yield Sum(grower.histograms(), grower.bounds())
        grower.split(pooled)
    return grower.end_tree()
