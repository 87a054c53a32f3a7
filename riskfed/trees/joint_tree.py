"""A tree of which some splits are other parties': what the label holder has of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.trees.tree import Tree

OWN: Final = -1
"""Owner of the label holder's splits, and of leaves."""


@dataclass(frozen=True, eq=False)
class JointTree:
    """A tree, and whose splits it has.

    Attributes:
        tree: at a partner's split, index and threshold mean nothing outside of the grower; a 1 of its decision goes right.
        owners: (n_nodes,) int16 number of the partner whose split it is, or `OWN`.
        rules: (n_nodes,) int32 number of the split among its owner's, over all trees in turn; -1 where the owner is `OWN`.
        leaves: (n,) uint16 leaf of each training record, held-out ones too.
    """

    tree: Tree
    owners: NDArray[np.int16]
    rules: NDArray[np.int32]
    leaves: NDArray[np.uint16]

    def splits_of(self, partner: int) -> int:
        """How many splits a partner has in the tree."""
        return int((self.owners == partner).sum())

    def decision_nodes(self) -> NDArray[np.int64]:
        """Nodes with a partner's split."""
        return np.flatnonzero(self.owners != OWN)

    def ways(self) -> NDArray[np.uint8]:
        """(n_nodes, d) for each node the decisions of the tree's d `decision_nodes` that lead there: 1 right, 0 left or not on the way."""
        tree, places = self.tree, {int(node): at for at, node in enumerate(self.decision_nodes())}
        ways = np.zeros((tree.n_nodes, len(places)), dtype=np.uint8)
        for node in range(1, tree.n_nodes):  # a parent comes before its children
            parent = int(tree.parents[node])
            ways[node] = ways[parent]
            if parent in places:
                ways[node, places[parent]] = node != tree.left_children[parent]
        return ways


def splits_by_partner(trees: Sequence[JointTree], partners: int) -> list[int]:
    """How many splits each partner has in some trees."""
    return [sum(tree.splits_of(partner) for tree in trees) for partner in range(partners)]


def decision_columns(trees: Sequence[JointTree], first: int, partners: int) -> list[NDArray[np.int64]]:
    """For each tree the columns of its `JointTree.decision_nodes`: each partner's splits in turn, from column ``first`` on."""
    firsts = np.cumsum([first, *splits_by_partner(trees, partners)], dtype=np.int64)
    return [firsts[tree.owners[nodes]] + tree.rules[nodes] for tree in trees for nodes in [tree.decision_nodes()]]


def with_decision_columns(trees: Sequence[JointTree], first: int, partners: int) -> list[Tree]:
    """The trees over the label holder's columns and one column of 0 and 1 for each split of each partner.

    Args:
        trees: all that are kept, from the first.
        first: number of the label holder's columns.
        partners: number of partners.
    """
    made = []
    for joint, columns in zip(trees, decision_columns(trees, first, partners), strict=True):
        nodes = joint.decision_nodes()
        indices, conditions = joint.tree.split_indices.copy(), joint.tree.split_conditions.copy()
        indices[nodes], conditions[nodes] = columns, np.float32(0.5)
        made.append(replace(joint.tree, split_indices=indices, split_conditions=conditions, split_bins=None))
    return made
