"""The label holder's model on the records it was trained with: what feature holders decided then stands in the leaves.

A model has a column for each split of a feature holder, some hundreds; a record's leaf in a tree says them all. So records carry one column
for each tree, and decisions are put in only for the rows that are scored at the moment. A decision at a split that a record did not come
to is 0, which changes no score. For a held-out value beyond a feature holder's outermost cuts the decision is that of the outermost bin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.scoring import TreeModel
from riskfed.trees.joint_tree import JointTree
from riskfed.trees.tree import Tree

_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class DecidedModel:
    """A `riskfed.scoring.ScoringModel` of records with the label holder's columns and one of leaves for each tree (`records`).

    Attributes:
        model: over the label holder's columns and decision columns.
        own: how many columns the label holder has.
        width: columns of the model.
        ways: of each tree the columns of its decisions, and (n_nodes, d) what they are on the way to each node.
        leaves: (trees, n) uint16 leaf of each training record.
    """

    model: TreeModel
    own: int
    width: int
    ways: tuple[tuple[NDArray[np.int32], NDArray[np.uint8]], ...]
    leaves: NDArray[np.uint16]

    @classmethod
    def of(
        cls, trees: Sequence[Tree], grown: Sequence[JointTree], base_score: float, schema: Schema, own: int
    ) -> DecidedModel:
        """The model of some trees, ``grown`` and over decision columns.

        Args:
            trees: from `riskfed.trees.joint_tree.with_decision_columns`.
            grown: the same, as they were grown.
            base_score: prior PD.
            schema: of the label holder's model.
            own: how many columns the label holder has.
        """
        ways = tuple(
            (tree.split_indices[joint.decision_nodes()], joint.ways()) for tree, joint in zip(trees, grown, strict=True)
        )
        leaves = np.stack([joint.leaves for joint in grown])
        return cls(TreeModel(trees, base_score, schema), own, len(schema.columns), ways, leaves)

    def records(self, records: Records) -> Records:
        """The training records, all of them, with a column of leaves for each tree."""
        columns = records.storage.empty((self.own + len(self.leaves), len(records)), np.float32)
        for number in range(self.own):
            columns[number] = records.column(number)
        columns[self.own :] = self.leaves
        return replace(records, columns=columns)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float32; see `riskfed.scoring.ScoringModel`."""
        return np.concatenate([np.empty(0, np.float32), *map(self.model.margins, self._blocks(matrix))])

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float32; see `riskfed.scoring.ScoringModel`."""
        return np.concatenate([np.empty(0, np.float32), *map(self.model.pd, self._blocks(matrix))])

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, features) float64; see `riskfed.scoring.ScoringModel`."""
        return np.concatenate([self.model.reason_contributions(block) for block in self._blocks(matrix)])

    def explain(self, row: np.ndarray) -> tuple[np.floating, np.ndarray]:
        """See `riskfed.scoring.ScoringModel`."""
        return self.model.explain(next(self._blocks(row[None]))[0])

    def steps(self, column: int) -> np.ndarray:
        """See `riskfed.scoring.ScoringModel`; leaves have none."""
        return self.model.steps(column) if column < self.own else np.empty(0, dtype=np.float32)

    def _blocks(self, matrix: np.ndarray) -> Iterator[np.ndarray]:
        """(k, width) float32 rows of the model, some at a time."""
        for start in range(0, len(matrix), _ROWS_AT_ONCE):
            rows = matrix[start : start + _ROWS_AT_ONCE]
            block = np.zeros((len(rows), self.width), dtype=np.float32)
            block[:, : self.own] = rows[:, : self.own]
            for tree, (columns, ways) in enumerate(self.ways):
                block[:, columns] = ways[rows[:, self.own + tree].astype(np.intp)]
            yield block
