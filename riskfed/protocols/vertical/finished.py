"""The label holder's finished model: over its own columns and feature holders' decisions, measured, with a fallback on its own columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from riskfed.jobs import VerticalXgboost
from riskfed.protocols.early_stopping import Watch
from riskfed.protocols.measuring.measure import Subject
from riskfed.protocols.measuring.score_cells import score_cells
from riskfed.protocols.measuring.validation import measured_release
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.totals import Totals
from riskfed.protocols.vertical.aligned import AlignedRecords
from riskfed.protocols.vertical.decided import DecidedModel
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.points import ScoreScale
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts
from riskfed.trees.grower import Grower
from riskfed.trees.histogram import fixed_point_bits, sum_bound
from riskfed.trees.joint_tree import JointTree, splits_by_partner, with_decision_columns
from riskfed.trees.logit import margin_of
from riskfed.trees.reduced import reduced
from riskfed.trees.tree import Tree
from riskfed.vertical_model import LeafMask, PartnerReference, joined_schema, leaf_masks_of

_SHIFT_CELLS = 128
"""Cells of the public grid of a numeric feature whose shift is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What the label holder learns from.

    Attributes:
        aligned: its records.
        schema: its part.
        job: the parameters.
        totals: of its records.
        cuts: of its columns.
        codes: (f, n) uint8 of all common customers.
        threads: how many work on the records.
    """

    aligned: AlignedRecords
    schema: Schema
    job: VerticalXgboost
    totals: Totals
    cuts: Cuts = field(repr=False)
    codes: NDArray[np.uint8] = field(repr=False)
    threads: int

    @property
    def base_score(self) -> float:
        """The prior PD."""
        return self.totals.base_score(self.job)

    @property
    def bounds(self) -> tuple[int, int]:
        """No sum of fixed-point g, and of h, is larger in size."""
        heaviest = self.totals.weight * max(1.0, self.job.scale_pos_weight)
        bits = fixed_point_bits(heaviest)
        return sum_bound(heaviest, bits), sum_bound(heaviest / 4, bits)

    def watch(self) -> Watch:
        """Follows the metric on the held-out rows."""
        held_out = ~self.aligned.learned
        labels = self.aligned.records.labels[held_out]
        return Watch(self.codes[:, held_out], labels, self.base_score, self.totals.held_out_rows, self.job)

    def local_trees(self) -> tuple[list[Tree], Watch]:
        """Trees on the label holder's own columns, stopped early as the joint ones are."""
        development = self.aligned.development
        own = {name: sign for name, sign in self.job.monotone_constraints.items() if name in self.cuts.feature_names}
        grower = Grower(
            self.codes[:, self.aligned.learned],
            development.labels,
            development.weights,
            self.cuts,
            self.job.model_copy(update={"monotone_constraints": own}),
            total_weight=self.totals.weight,
            base_score=self.base_score,
            storage=development.storage,
            threads=self.threads,
        )
        watch = self.watch()
        while len(grower.trees) < self.job.n_estimators and not watch.should_stop:
            grower.begin_tree()
            while grower.has_open_nodes():
                grower.split(grower.histograms())
            run_alone(watch.after(grower.end_tree()))
        return watch.keep(grower.trees), watch


class Finished:
    """A model whose trees are complete.

    Args:
        trained: what was learned from.
        grown: the trees that are kept.
        partners: feature holders, in order.

    Attributes:
        splits: feature holder -> how many splits it has.
    """

    def __init__(self, trained: Trained, grown: Sequence[JointTree], partners: tuple[str, ...]) -> None:
        self._trained, self._grown = trained, tuple(grown)
        self.splits: Mapping[str, int] = dict(zip(partners, splits_by_partner(grown, len(partners)), strict=True))
        self._schema = joined_schema(trained.schema, self.splits.items())
        self._trees = with_decision_columns(grown, len(trained.schema.columns), len(partners))

    def masks(self, partner: str) -> tuple[LeafMask, ...]:
        """Where a feature holder's splits stand, if it is to answer with leaf sets."""
        if self._trained.job.answers == "decisions" or not self.splits[partner]:
            return ()
        first = len(self._trained.schema.columns)
        for name, splits in self.splits.items():
            if name == partner:
                break
            first += splits
        return leaf_masks_of(self._trees, range(first, first + self.splits[partner]))

    def release(
        self, history: Sequence[Mapping[str, float]], partners: tuple[PartnerReference, ...], bits: int
    ) -> ModelRelease:
        """The whole model with its figures."""
        trained = self._trained
        job, base_score = trained.job, trained.base_score
        model = booster_json(self._trees, self._schema.columns, job, base_score)
        trees, watch = self._local
        local = booster_json(trees, trained.cuts.feature_names, job, base_score)
        full = ModelRelease(
            model, self._schema, {}, history, [], bits, kind=job.kind, partners=partners, fallback=local
        )
        if not trained.totals.held_out_rows:
            return full
        decided = DecidedModel.of(self._trees, self._grown, base_score, self._schema, len(trained.schema.columns))
        records = decided.records(trained.aligned.records)
        development, held_out = (records.where(rows) for rows in (trained.aligned.learned, ~trained.aligned.learned))
        subject = Subject(decided, held_out, self._schema, job, ScoreScale())
        measured = run_alone(measured_release(subject, development, public_grid(trained.schema, _SHIFT_CELLS), full))
        return replace(measured, metrics={**measured.metrics, **_alone(trees, watch, trained, held_out)})

    @cached_property
    def _local(self) -> tuple[list[Tree], Watch]:
        return self._trained.local_trees()

    def in_form(self, full: ModelRelease) -> ModelRelease:
        """What is released of the model, by the job's ``release``."""
        job, base_score = self._trained.job, self._trained.base_score
        match job.release:
            case "full":
                return full
            case "reduced":
                names = self._trained.cuts.feature_names
                fallback = booster_json([reduced(tree) for tree in self._local[0]], names, job, base_score)
                trees = [reduced(tree) for tree in self._trees]
                model = booster_json(trees, self._schema.columns, job, base_score)
                return replace(full.reduced_to(model), fallback=fallback)
            case "withheld":
                return replace(full.withheld(), fallback=b"")


def _alone(trees: Sequence[Tree], watch: Watch, trained: Trained, held_out: Records) -> dict[str, float]:
    """AUC of the label holder's own trees on the held-out rows; none where they have one outcome."""
    margins = np.full(len(held_out), margin_of(trained.base_score), dtype=np.float32)
    for tree in trees:
        tree.add_margins(watch.codes, margins)
    auc = run_alone(score_cells(margins, held_out.labels)).auc()
    return {} if np.isnan(auc) else {"auc_label_holder_alone": auc}
