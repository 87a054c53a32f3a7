"""Horizontal XGBoost with differential privacy of the development records (a job's `privacy`).

    0  in a later attempt of a run: the last tree that all banks have; noised shares that left before are sent again
    1  held-out totals, exact; development totals, noised -> base score
    2  cuts from the schema's public grid
    3  for each tree, by the job's `splits`:
         random: splits are drawn; one noised sum of g and h by leaf
         histogram: level by level a noised histogram, and the ordinary search
    4  after each tree, where rows are held out: the pooled log-loss on them
    5  pooled evaluation on the held-out rows, none of the development rows
    6  the release: model, schema, figures, and what was spent

Everything that is derived from development records goes through `riskfed.protocols.noised_sums`: the banks see noised sums only, so that
the model, and whatever else anybody works out, is (epsilon, delta)-differentially private, adaptively composed. Not covered: figures on
held-out rows, which are exact; a record is in one set or the other by a hash of its own features. Maddock et al. 2022 (ACM CCS) compare
the choices that are made here; docs/differential-privacy.md has them measured.

Who learns what: banks learn noised totals and sums, and what 4 and 5 say; the server learns what is released and the pooled log-loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from riskfed.errors import JobError
from riskfed.evaluation.record import Evaluation, Shift
from riskfed.jobs import DifferentialPrivacy, HorizontalXgboost
from riskfed.protocols.checkpoint import Progressed, agree_on_checkpoint, read_journal, tree_entry
from riskfed.protocols.early_stopping import Watch
from riskfed.protocols.horizontal_xgboost import SHIFT_CELLS, Trained, in_form
from riskfed.protocols.measuring.measure import Subject
from riskfed.protocols.measuring.scored import COUNT_BOUND
from riskfed.protocols.measuring.validation import measured_release
from riskfed.protocols.noised_sums import BITS, NoiseBudget, NoisedSums, hessian_sigma, read_sent, sensitivity_of_bins
from riskfed.protocols.program import Checkpoint, Program, Progress, Release, Sum
from riskfed.protocols.public_cuts import public_cuts
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.totals import WEIGHT_BITS, Totals
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel, read_model
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts
from riskfed.trees.logit import margin_of
from riskfed.trees.noisy_grower import NoisyGrower, steadied
from riskfed.trees.random_trees import NoisySums, RandomTreeGrower
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.tree import Tree
from riskfed.trees.workers import Workers

_TOTALS: Final = 1
_Grower = RandomTreeGrower | NoisyGrower


def train(
    records: Records,
    schema: Schema,
    job: HorizontalXgboost,
    *,
    roster: tuple[str, ...],
    journal: Sequence[bytes] | None = None,
    threads: int = 1,
    champion: ScoringModel | None = None,
) -> Program[Trained]:
    """One bank's side.

    Args:
        records: this bank's.
        schema: the consortium's.
        job: what is trained, with `privacy`.
        roster: all banks, each of which adds its share of the noise.
        journal, threads, champion: as in `riskfed.protocols.horizontal_xgboost.train`.

    Raises:
        JobError: the job, the schema or the roster does not suit differential privacy, or the pooled records do not suit the job.
        ContractError: the records are not those that the run began with.
        ProtectionError: going on would release a sum a second time.
        ConfigurationError: dp-accounting is not installed.
    """
    job.constraints_for(schema.columns)
    budget = noise_budget(job, schema, len(roster))
    development, held_out = records.hold_out(job.validation_fraction, job.validation_seed)
    sent, entries = read_sent(journal or ())
    sums = NoisedSums(budget, sent)
    saved = None
    if journal is not None:
        saved = yield from agree_on_checkpoint(read_journal(entries), job.n_estimators, records.digest())  # 0
    if saved is None:
        saved = yield from _begin(records, development, held_out, schema, job, sums)  # 1, 2
    totals, cuts = Totals.for_trees(saved.totals, job), saved.cuts
    base_score = totals.base_score(job)
    grower = _grower(development, cuts, job, base_score, _seed(saved), budget, threads)
    grower.resume(saved.trees)
    watched = cuts.bin(held_out.column, len(held_out), records.storage, threads)
    watch = Watch(watched, held_out.labels, base_score, totals.held_out_rows, job)
    watch.resume(saved.trees, saved.history)
    yield from _boost(grower, watch, sums, saved, job)  # 3, 4
    model = booster_json(grower.trees, cuts.feature_names, job, base_score)
    full = ModelRelease(model, schema, {}, watch.history, [], BITS, privacy=budget.record())
    if totals.held_out_rows:
        subject = Subject(read_model(model, schema), held_out, schema, job, ScoreScale(), champion)
        full = yield from _measured(subject, totals, full)  # 5
    release = in_form(full, grower.trees, cuts, job, base_score)
    yield Release(release.to_bytes())  # 6
    return Trained(release, full, cuts, base_score)


def noise_budget(job: HorizontalXgboost, schema: Schema, banks: int) -> NoiseBudget:
    """The noise of a job's sums.

    Raises:
        JobError: records have weights, by which one could count more than another; as many banks may collude as there are; or no noise
            that can be made is enough.
        ConfigurationError: dp-accounting is not installed.
    """
    if schema.weight is not None:
        raise JobError(
            f"privacy needs records that count alike, but the schema weighs them by {schema.weight}; use a schema without weight"
        )
    privacy = _privacy(job)
    trees = job.n_estimators
    sensitivities = [(1.0, _TOTALS + trees)]
    if privacy.splits == "histogram":
        columns = len(schema.columns)
        # The root's histograms come with its totals, in which a record is once more.
        sensitivities = [(1.0, _TOTALS), (sensitivity_of_bins(columns + 1), trees)]
        sensitivities += [(sensitivity_of_bins(columns), trees * (job.max_depth - 1))] * (job.max_depth > 1)
    return NoiseBudget.of(privacy, sensitivities, banks)


def sums_of_tree(job: HorizontalXgboost) -> int:
    """Most noised sums of one tree."""
    return job.max_depth if _privacy(job).splits == "histogram" else 1


def _privacy(job: HorizontalXgboost) -> DifferentialPrivacy:
    if job.privacy is None:
        raise JobError("the job asks for no differential privacy; horizontal_xgboost.train is for it")
    return job.privacy


def _begin(
    records: Records, development: Records, held_out: Records, schema: Schema, job: HorizontalXgboost, sums: NoisedSums
) -> Program[Progressed]:
    """What comes before the first tree."""
    counted = Totals.local(development, held_out)
    held_rows, held_bads = (yield Sum(counted[4:], COUNT_BOUND)).tolist()
    goods_and_bads = np.array([counted[0] - counted[1], counted[1]], dtype=np.int64) << BITS
    noised = yield from sums.sum(goods_and_bads)
    goods, bads = ((int(count) + (1 << BITS - 1)) >> BITS for count in noised)
    if min(goods, bads) < 1:
        raise JobError(
            "with this much noise it cannot be told whether any loan defaulted, or any did not; the job must name a larger epsilon or "
            "fewer trees, or the consortium widen its window"
        )
    rows = goods + bads
    pooled = np.array([rows, bads, rows << WEIGHT_BITS, bads << WEIGHT_BITS, held_rows, held_bads], dtype=np.int64)
    Totals.for_trees(pooled, job)  # refuses before the first tree
    begun = Progressed(records.digest(), pooled, public_cuts(schema, job.max_bin))
    yield Checkpoint(begun.head())
    return begun


def _seed(begun: Progressed) -> bytes:
    """Of the drawn splits: from what all banks have, so that another attempt draws the same. They are not secret, only unplanned."""
    return hashlib.sha256(b"riskfed random trees v1" + begun.mark(0)).digest()


def _grower(
    development: Records,
    cuts: Cuts,
    job: HorizontalXgboost,
    base_score: float,
    seed: bytes,
    budget: NoiseBudget,
    threads: int,
) -> _Grower:
    workers = Workers(threads)
    rows = TrainingRows(
        cuts.bin(development.column, len(development), development.storage, threads),
        development.labels,
        development.weights,
        cuts,
        scale_pos_weight=job.scale_pos_weight,
        margin=margin_of(base_score),
        storage=development.storage,
        workers=workers,
    )
    if budget.privacy.splits == "random":
        return RandomTreeGrower(rows, cuts, job, seed, BITS, NoisySums(2.0**-BITS, budget.pooled_sigma))
    steady = steadied(job, budget.pooled_sigma, hessian_sigma(budget), int(cuts.n_bins.max()))
    return NoisyGrower(rows, cuts, steady, BITS, workers)


def _boost(grower: _Grower, watch: Watch, sums: NoisedSums, begun: Progressed, job: HorizontalXgboost) -> Program[None]:
    """Tree after tree."""
    mark = begun.mark(len(begun.trees))
    while (number := len(grower.trees)) < job.n_estimators:
        sums.begin(_TOTALS + number * sums_of_tree(job), mark)
        tree = yield from _grow_tree(grower, sums)
        figures = yield from watch.after(tree)
        yield Progress(number + 1, figures)
        entry = tree_entry(number, tree, figures)
        mark = hashlib.sha256(mark + entry).digest()  # as Progressed.mark does
        yield Checkpoint(entry)


def _grow_tree(grower: _Grower, sums: NoisedSums) -> Program[Tree]:
    if isinstance(grower, RandomTreeGrower):
        pooled = yield from sums.gradients(grower.leaf_sums())
        return grower.end_tree(pooled)
    grower.begin_tree()
    while grower.has_open_nodes():
        pooled = yield from sums.gradients(grower.histograms())
        grower.split(pooled)
    return grower.end_tree()


def _measured(subject: Subject, totals: Totals, full: ModelRelease) -> Program[ModelRelease]:
    """The release with figures on held-out rows alone: what others have of development rows is taken from these too."""
    measured = yield from measured_release(subject, subject.records, public_grid(subject.schema, SHIFT_CELLS), full)
    if measured.evaluation is None:
        return measured
    evaluation = _of_held_out(measured.evaluation, totals, compared=subject.schema.cohort is not None)
    figures = {name: value for name, value in measured.metrics.items() if name != "psi"} | evaluation.figures()
    return replace(measured, metrics=figures, evaluation=evaluation)


def _of_held_out(evaluation: Evaluation, totals: Totals, *, compared: bool) -> Evaluation:
    """With the noised totals of development rows; shifts are of recent held-out rows against all, and undefined where all are recent."""

    def shift(of: Shift) -> Shift:
        return of if compared else of.model_copy(update={"index": None})

    population = evaluation.population.model_copy(
        update={"development_rows": totals.rows, "development_defaults": totals.defaults}
    )
    return evaluation.model_copy(
        update={
            "population": population,
            "score_shift": shift(evaluation.score_shift),
            "features": tuple(map(shift, evaluation.features)),
        }
    )
