"""Partners without cryptography, for tests of joint trees."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from riskfed.jobs import XgboostParameters
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts
from riskfed.trees.joint_grower import NOWHERE, JointGrower
from riskfed.trees.joint_search import Option, PartnerColumns
from riskfed.trees.joint_tree import OWN, JointTree
from riskfed.trees.tree import Tree
from tests.trees.parties import Data, base_score, binned


class PlainPartner:
    """A partner that sums gradients it is shown in plain, and keeps the splits it makes.

    Attributes:
        order: true column of each shuffled one.
        made: (true column, bin, default_left) of each split.
    """

    def __init__(self, name: str, cuts: Cuts, matrix: np.ndarray, constraints: Sequence[int], seed: int) -> None:
        self.order = np.random.default_rng(seed).permutation(cuts.n_features)
        self.codes, self.cuts, self.made = binned(cuts, matrix)[self.order], cuts, []
        self.columns = PartnerColumns(
            name, cuts.n_bins[self.order], np.array(constraints, dtype=np.int8).reshape(-1)[self.order]
        )

    def sums(self, gradients: np.ndarray, nodes: np.ndarray, development: np.ndarray) -> np.ndarray:
        """(cells, 2) int64 sums, node by node, column by column."""
        sums = []
        for node in range(nodes.max() + 1):
            for codes, n_bins in zip(self.codes[:, development], self.columns.n_bins, strict=True):
                cells = np.zeros((n_bins, 2), dtype=np.int64)
                rows = (nodes == node) & ((codes != 255) | (n_bins == 256))
                np.add.at(cells, codes[rows], gradients[rows])
                sums.append(cells)
        return np.concatenate(sums)

    def choose(self, options: Sequence[Option]) -> int:
        """The option on the first of the partner's columns."""
        at = min(range(len(options)), key=lambda number: self.order[options[number].column])
        column, last, default_left = options[at]
        self.made.append((int(self.order[column]), last, default_left))
        return at

    def goes_right(self, option: Option) -> np.ndarray:
        """(n,) bool."""
        codes = self.codes[option.column].astype(int)
        missing = (codes == 255) & (self.columns.n_bins[option.column] < 256)
        return np.where(missing, not option.default_left, codes > option.bin)


def grow_tree(grower: JointGrower, partners: Sequence[PlainPartner], development: np.ndarray, *, alone: bool = False):
    """Grow one tree together, in plain."""
    grower.begin_tree(alone=alone)
    gradients = grower.gradients()
    while grower.has_open_nodes():
        asked = grower.asked()
        offers = grower.search([] if alone else [one.sums(gradients, asked, development) for one in partners])
        for number, some in enumerate(offers):
            if some:
                rows = grower.rows_to_decide(number)
                chosen = [partners[number].choose(offer.options) for offer in some]
                right = np.zeros(len(rows), dtype=bool)
                for node, (offer, at) in enumerate(zip(some, chosen, strict=True)):
                    right[rows == node] = partners[number].goes_right(offer.options[at])[rows == node]
                grower.decide(number, chosen, right[rows != NOWHERE])
        grower.descend()
    return grower.finish_tree()


def joined(trees: Sequence[JointTree], partners: Sequence[PlainPartner], own: int) -> list[Tree]:
    """The trees over the joint columns, with every party's thresholds."""
    firsts = np.cumsum([own, *(one.cuts.n_features for one in partners)])
    out = []
    for joint in trees:
        tree = joint.tree
        for node in np.flatnonzero(joint.owners != OWN):
            partner = partners[joint.owners[node]]
            column, last, default_left = partner.made[joint.rules[node]]
            tree.split_indices[node] = firsts[joint.owners[node]] + column
            cuts = partner.cuts
            tree.split_conditions[node] = cuts.values[column][last] if last >= 0 else cuts.min_values[column]
            tree.default_left[node] = default_left
        out.append(tree)
    return out


def part_cuts(cuts: Cuts, columns: slice) -> Cuts:
    """Cuts of some columns."""
    return Cuts(cuts.values[columns], cuts.min_values[columns])


def joint_parties(
    data: Data, cuts: Cuts, job: XgboostParameters, widths: Sequence[int], *, development: np.ndarray | None = None
) -> tuple[JointGrower, list[PlainPartner]]:
    """A grower on the first columns and partners on the others."""
    if development is None:
        development = np.ones(len(data.labels), dtype=bool)
    learned = data.rows(development)
    ends = np.cumsum(widths)
    constraints = job.constraints_for(cuts.feature_names)
    partners = [
        PlainPartner(f"p{i}", part_cuts(cuts, slice(a, b)), data.matrix[:, a:b], constraints[a:b], seed=i)
        for i, (a, b) in enumerate(pairwise(ends.tolist()))
    ]
    own = part_cuts(cuts, slice(0, ends[0]))
    grower = JointGrower(
        binned(own, data.matrix[:, : ends[0]]),
        data.labels,
        data.weights,
        development,
        own,
        job,
        constraints[: ends[0]],
        [partner.columns for partner in partners],
        total_weight=float(learned.weights.sum(dtype=np.float64)),
        base_score=base_score(learned, job),
    )
    return grower, partners


def joint_json(
    data: Data, cuts: Cuts, job: XgboostParameters, widths: Sequence[int], *, development: np.ndarray | None = None
) -> bytes:
    """The booster that the parties grow, with every party's thresholds put in."""
    if development is None:
        development = np.ones(len(data.labels), dtype=bool)
    grower, partners = joint_parties(data, cuts, job, widths, development=development)
    for _ in range(job.n_estimators):
        grow_tree(grower, partners, development)
    trees = joined(grower.grown, partners, widths[0])
    return booster_json(trees, cuts.feature_names, job, base_score(data.rows(development), job))
