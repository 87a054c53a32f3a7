"""Hold the joint model against plain xgboost on the joined table, which nobody has, and against what each party could do alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from riskfed.demo.common_customers import CommonCustomers, figures_table
from riskfed.demo.comparison import Figures, measured
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.protocols.vertical.aligned import AlignedRecords
from riskfed.protocols.vertical.hidden_columns import HiddenColumns
from riskfed.protocols.vertical.joined import joined_booster
from riskfed.schema import Schema
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.cuts import Cuts
from riskfed.trees.predictor import Predictor
from riskfed.trees.reference import identical_trees, train_pooled, with_last_cuts_of_xgboost
from riskfed.vertical_model import FeaturePart


@dataclass(frozen=True, slots=True)
class JointComparison:
    """What the demo shows; all figures are on the held-out customers whom all parties have.

    Attributes:
        joint: as the label holder measured it.
        pooled: plain xgboost on the joined table.
        label_holder_alone: on its own columns.
        feature_holder_alone: on the partner's columns, if it had the labels, which it has not.
        common, held_out: customers whom all parties have, and of them those held out.
        trees, trees_identical: of the joint model, and how many equal plain xgboost's to the last bit, once both parts are put together.
        bytes_identical: the whole model is the same file.
    """

    joint: Figures
    pooled: Figures
    label_holder_alone: Figures
    feature_holder_alone: Figures
    common: int
    held_out: int
    trees: int
    trees_identical: int
    bytes_identical: bool

    def table(self) -> Table:
        """AUC and KS of each."""
        return figures_table(
            self.held_out,
            {"joint, encrypted": self.joint, "plain xgboost on the joined table": self.pooled},
            {
                "lender alone (the fallback)": self.label_holder_alone,
                "partner alone, if it had the labels": self.feature_holder_alone,
            },
        )

    def verdict(self) -> str:
        """How many trees are plain xgboost's."""
        exact = self.trees_identical == self.trees and self.bytes_identical
        return (
            f"trees identical to plain xgboost on the joined table: [bold {'green' if exact else 'red'}]"
            f"{self.trees_identical}/{self.trees}[/]"
            + (", and both parts put together are the same file to the last byte" if self.bytes_identical else "")
        )

    def figures(self) -> dict[str, Any]:
        """For programs."""
        return {
            "auc_joint": self.joint.auc,
            "auc_label_holder_alone": self.label_holder_alone.auc,
            "auc_feature_holder_alone": self.feature_holder_alone.auc,
            "auc_pooled": self.pooled.auc,
            "ks_joint": self.joint.ks,
            "trees": self.trees,
            "trees_identical": self.trees_identical,
            "bytes_identical": self.bytes_identical,
            "held_out_rows": self.held_out,
        }


class JoinedTable(CommonCustomers):
    """The joined table, for boosters.

    Args:
        parties: party -> its records.
        schema: the joint one.
        job: what was trained.

    Attributes:
        job: see above.
        cuts: party -> cuts of its columns, as its own program finds them.
    """

    def __init__(self, parties: Mapping[str, pd.DataFrame], schema: Schema, job: VerticalXgboost) -> None:
        super().__init__(parties, schema, job)
        self.job = job
        self.cuts = {party: self._cuts(party) for party in self.order}

    def train(self, *parties: str) -> bytes:
        """JSON of plain xgboost on the development customers, over the columns of some parties, with their cuts."""
        # Bins that were merged need not end as xgboost's own do; nothing is missing here, so it makes no difference.
        cuts = with_last_cuts_of_xgboost(self.joined_cuts(*parties))
        labels = self.labels[~self.held_out]
        matrix, weights = self.matrix(*parties)[~self.held_out], np.ones(len(labels), dtype=np.float32)
        return bytes(train_pooled(matrix, labels, weights, cuts, self.job).save_raw("json"))

    def joined_cuts(self, *parties: str) -> Cuts:
        """The cuts of some parties' columns, one party behind the other."""
        first, *others = (self.cuts[party] for party in parties)
        return first.joined(*others)

    def pds(self, model: bytes, *parties: str) -> np.ndarray:
        """(n,) float32 PD of every customer by a booster over the columns of some parties."""
        return self._predictor(model).pd(self.matrix(*parties))

    def figures(self, model: bytes, *parties: str) -> Figures:
        """How well such a booster ranks the held-out customers."""
        margins = self._predictor(model).margins(self.matrix(*parties)[self.held_out])
        return measured(margins, self.labels[self.held_out])

    def _predictor(self, model: bytes) -> Predictor:
        trees, base_score, _ = parse_booster(model)
        return Predictor(trees, base_score)

    def _cuts(self, party: str) -> Cuts:
        part = self.schema.part_of(party)
        aligned = AlignedRecords(Records.from_frame(self.frame, part), ~self.held_out, digest="")
        if party == self.order[0]:
            return run_alone(shared_cuts(aligned.development, part, self.job))
        order = range(len(part.columns))  # cuts are found in the true order, whatever the label holder is shown
        return HiddenColumns.of(aligned, part, self.job, order, least_bin=self.job.least_bin, threads=1).cuts


def compare_jointly(table: JoinedTable, release: ModelRelease, parts: Mapping[str, FeaturePart]) -> JointComparison:
    """Train plain xgboost on the joined table and on each party's columns, and measure all on the held-out customers.

    The joint model's figures are those that the label holder measured itself; the others are computed here, in the open.

    Args:
        table: both parties' records.
        release: the label holder's.
        parts: feature holder -> its part, as its vault keeps it.
    """
    holder, *partners = table.order
    pooled = table.train(*table.order)
    joint = joint_model(table, release, parts)
    ours, theirs = parse_booster(joint), parse_booster(pooled)
    return JointComparison(
        joint=Figures(release.metrics["auc"], release.metrics["ks"]),
        pooled=table.figures(pooled, *table.order),
        label_holder_alone=table.figures(table.train(holder), holder),
        feature_holder_alone=table.figures(table.train(*partners), *partners),
        common=len(table),
        held_out=int(table.held_out.sum()),
        trees=len(ours.trees),
        trees_identical=identical_trees(ours.trees, theirs.trees),
        bytes_identical=joint == pooled,
    )


def joint_model(table: JoinedTable, release: ModelRelease, parts: Mapping[str, FeaturePart]) -> bytes:
    """The booster over all columns that the parts make together."""
    return joined_booster(release.model, parts, table.joined_cuts(*table.order), table.job)
