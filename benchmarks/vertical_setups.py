"""What `benchmarks.vertical` runs: real and synthetic tables in two parts, and the joined table that the result is held against."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.vertical_processes import Setup
from riskfed.customer_id import CustomerId
from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.datasets.consortium import vertical_blocks
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.alignment import Alignment
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.aligned import ids_of
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.protocols.vertical.joined import joined_booster
from riskfed.schema import Feature, Schema
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.reference import identical_trees, train_pooled
from riskfed.trees.tree import Tree

LENDER, PARTNER = "lender", "partner"
_ID = CustomerId(column="id", normalise=("strip",))
_HELD_OUT = 0.2


@dataclass(frozen=True, slots=True)
class Compared:
    """A run's trees beside xgboost's.

    Attributes:
        rows: development rows.
        asked_rows: rows of the nodes that the feature holder was asked about, summed over these nodes, the mean of all trees.
        asked_nodes: number of these nodes, the mean of all trees.
        cells: of a node: bins of all of the feature holder's columns.
        identical: trees that are equal to the last bit.
        bytes_identical: whether the two boosters are the same bytes.
    """

    rows: int
    asked_rows: float
    asked_nodes: float
    cells: int
    identical: int
    bytes_identical: bool


@dataclass(frozen=True, slots=True)
class Vertical:
    """A table in two parts.

    Attributes:
        schema: the joint one.
        table: (n, any) the joined table, with ids.
        job: what is trained.
        aligned: whether the parties keep an alignment from before, so that none is made.
    """

    schema: Schema
    table: pd.DataFrame = field(repr=False)
    job: VerticalXgboost
    aligned: bool = False

    @property
    def rows(self) -> int:
        """Customers, held out or not."""
        return len(self.table)

    @property
    def partner_features(self) -> int:
        """Of the feature holder."""
        return len(self.schema.part_of(PARTNER).columns)

    def processes(self) -> Setup:
        """What the parties start with."""
        frames = {}
        for place, party in enumerate((LENDER, PARTNER)):
            part = self.schema.part_of(party)
            names = [_ID.column, *(feature.name for feature in part.inputs), *([part.target] if part.target else [])]
            frames[party] = self.table[names].sample(frac=1, random_state=place)  # in an order of its own
        return Setup(self.schema, frames, self.job, self.alignment.to_bytes() if self.aligned else None)

    @property
    def alignment(self) -> Alignment:
        """What `aligned` parties keep: all customers, in the order of a hash."""
        ids = _ID.normalised(self.table[_ID.column])
        ordered = ids[np.argsort([hashlib.sha256(one).hexdigest() for one in ids.tolist()])]
        return Alignment(ordered, hashlib.sha256(ordered.tobytes()).hexdigest())

    def compare(self, outcomes: Mapping[str, Any]) -> Compared:
        """Put the parts that the parties were left with together, and train xgboost on the joined table with their cuts."""
        lender, partner = outcomes[LENDER], outcomes[PARTNER]
        joined = Records.from_frame(self.table, self._joined_schema())
        kept = ~is_held_out(ids_of(joined), self.job.validation_fraction, self.job.validation_seed)
        development = joined.where(kept)
        cuts = lender.cuts.joined(partner.cuts)
        ours = joined_booster(lender.full.model, {PARTNER: partner.part}, cuts, self.job)
        theirs = bytes(train_pooled(development.matrix, development.labels, None, cuts, self.job).save_raw("json"))
        trees = parse_booster(theirs).trees
        rows, nodes = np.mean([asked_by(tree, development.matrix, self.job) for tree in trees], axis=0).tolist()
        identical = identical_trees(parse_booster(ours).trees, trees)
        return Compared(len(development), rows, nodes, int(partner.cuts.n_bins.sum()), identical, ours == theirs)

    def _joined_schema(self) -> Schema:
        fields = {name: getattr(self.schema, name) for name in Schema.model_fields}
        return Schema(**{**fields, "features": self.schema.joined_features})


def asked_by(tree: Tree, matrix: np.ndarray, job: VerticalXgboost) -> tuple[int, int]:
    """Rows of the nodes whose sums a tree needs, summed over these nodes, and their number: the root, and below it of two children
    the one with less hessian, unless they are too deep or both too light to be split."""
    rows, nodes = len(matrix), 1
    level = [(0, np.arange(len(matrix)))]
    for _ in range(job.max_depth - 1):
        below: list[tuple[int, np.ndarray]] = []
        for node, members in level:
            left, right = int(tree.left_children[node]), int(tree.right_children[node])
            if left < 0:
                continue
            values = matrix[members, tree.split_indices[node]]
            goes_left = np.where(np.isnan(values), tree.default_left[node], values < tree.split_conditions[node]) == 1
            children = {left: members[goes_left], right: members[~goes_left]}
            below += children.items()
            if tree.sum_hessian[[left, right]].max() >= 2 * job.min_child_weight:
                smaller = right if tree.sum_hessian[right] < tree.sum_hessian[left] else left
                rows, nodes = rows + len(children[smaller]), nodes + 1
        level = below
    return rows, nodes


def _taiwan(partner: Sequence[str], job: VerticalXgboost, table: pd.DataFrame, *, aligned: bool = False) -> Vertical:
    schema = taiwan_schema()
    rest = [feature.name for feature in schema.features if feature.name not in partner]
    return Vertical(Schema.vertical(schema, {LENDER: rest, PARTNER: partner}, LENDER, _ID), table, job, aligned)


def payments_block(job: VerticalXgboost, rows: int, *, seed: int = 0) -> Vertical:
    """A sample of the Taiwan data; the partner has the payments block of 12 features, and customers are aligned already."""
    return _taiwan(vertical_blocks().feature_holder, job, load_taiwan().sample(rows, random_state=seed), aligned=True)


def peers() -> Vertical:
    """The set-up on which peers were run: 24,000 and 6,000 rows, 13 + 10 features, depth 3. The partner has the payments block but for its
    last two columns, pay_amt5 and pay_amt6, which are the lender's here."""
    return _taiwan(vertical_blocks().feature_holder[:-2], _job(10, 3, _HELD_OUT, packed=3), load_taiwan())


def depth5() -> Vertical:
    """30,000 rows, none held out, the whole payments block of 12 features, depth 5; customers are aligned already."""
    return _taiwan(vertical_blocks().feature_holder, _job(6, 5, 0.0, packed=2), load_taiwan(), aligned=True)


def synthetic(rows: int, *, trees: int = 3, seed: int = 0) -> Vertical:
    """Normal columns, 13 + 10, and labels that depend on most of them; customers are aligned already."""
    rng = np.random.default_rng(seed)
    names = {LENDER: [f"a{i:02d}" for i in range(13)], PARTNER: [f"b{i:02d}" for i in range(10)]}
    matrix = rng.standard_normal((rows, 23), dtype=np.float32)
    margins = matrix @ np.linspace(-0.5, 0.5, 23, dtype=np.float32) - 1.5
    table = pd.DataFrame(matrix, columns=[*names[LENDER], *names[PARTNER]])
    table["default"] = (rng.random(rows) < 1 / (1 + np.exp(-margins))).astype(np.int8)
    table[_ID.column] = np.arange(rows)
    features = tuple(Feature(name=name, nullable=False) for name in table.columns[:23])
    joint = Schema(name="synthetic", target="default", features=features)
    return Vertical(Schema.vertical(joint, names, LENDER, _ID), table, _job(trees, 3, 0.0, packed=3), aligned=True)


def _job(trees: int, depth: int, held_out: float, *, packed: int) -> VerticalXgboost:
    """A job with 32 bins. More rows in a ciphertext make rows cheaper and cells dearer: 3 suit shallow trees, 2 deeper ones."""
    return VerticalXgboost(
        label_holder=LENDER,
        n_estimators=trees,
        max_depth=depth,
        max_bin=32,
        validation_fraction=held_out,
        rows_per_ciphertext=packed,
    )
