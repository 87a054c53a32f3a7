"""Scoring with the trees of a Booster, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError
from riskfed.trees.bit_sliced import DEEPEST, BitSliced, Nodes
from riskfed.trees.logit import margin_of, sigmoid
from riskfed.trees.tree import NO_CHILD, Tree

_CELLS_PER_CHUNK: Final = 65_536
"""Records times trees that are followed at once: the state of so many fits the processor's second-level cache."""

_MANY: Final = 128
"""Records from which on whole columns are compared (`riskfed.trees.bit_sliced`); fewer do not make up for its fixed cost."""


class Predictor:
    """Scores records by their values. Immutable after construction, so threads can share one.

    Many records through trees of ordinary depth: `riskfed.trees.bit_sliced`. A few records, or deep trees: every record stands at one
    node of every tree, and all of them take one step down at a time; leaves lead to themselves, so a step too many does no harm. A
    missing value takes the default branch: each column is held twice, once with minus and once with plus infinity in place of NaN,
    and a split reads the one that sends it there. Both ways end at the same leaves, whose values are added in XGBoost's order.
    """

    def __init__(self, trees: Sequence[Tree] | Nodes, base_score: float) -> None:
        """Take over the trees of a model, in the order of boosting.

        Args:
            trees: their arrays are copied; or all of their nodes at once, which are not.
            base_score: prior PD.
        """
        self._base_margin = margin_of(base_score)
        self._nodes = trees if isinstance(trees, Nodes) else _nodes_of(trees)
        self._n_columns = int(self._nodes.columns.max(initial=-2)) // 2 + 1

    @cached_property
    def _bit_sliced(self) -> BitSliced:
        # Whoever scores single applicants need not spend its time and memory.
        return BitSliced(self._nodes)

    def margins(self, matrix: ArrayLike) -> NDArray[np.float32]:
        """Margin (log-odds) of records, the float32 that xgboost's ``predict(output_margin=True)`` gives, bit for bit.

        Args:
            matrix: (n, n_features) numbers, rounded to float32; NaN where missing.

        Returns:
            (n,) float32.

        Raises:
            ConfigurationError: not a matrix, or fewer columns than the trees use.
        """
        matrix = np.asarray(matrix, dtype=np.float32)
        if matrix.ndim != 2 or matrix.shape[1] < self._n_columns:
            raise ConfigurationError(
                f"got records of shape {matrix.shape}, expected (n, at least {self._n_columns}): encode them by the schema"
            )
        margins = np.full(len(matrix), self._base_margin, dtype=np.float32)
        if len(self._nodes.roots):
            self._add_leaves(matrix, margins)
        return margins

    def pd(self, matrix: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 PD of records, as xgboost's ``predict`` gives, bit for bit. Arguments and errors as in `margins`."""
        return sigmoid(self.margins(matrix))

    def goes_right(self, row: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(n_nodes,) whether one record, (n_features,) float32, goes right at each node, also where it does not come; no at leaves."""
        return np.asarray(_both(row[None]).take(self._nodes.columns) >= self._nodes.thresholds)

    def margin_of_way(self, right: NDArray[np.bool_]) -> np.float32:
        """The margin of the record that `goes_right` was asked about: the one that `margins` gives."""
        nodes = self._nodes
        if not len(nodes.roots):
            return self._base_margin
        steps = np.where(right, nodes.right, nodes.left)
        at = nodes.roots
        for _ in range(nodes.depth):
            at = steps.take(at)
        leaves = np.empty(len(at) + 1, dtype=np.float32)
        leaves[0] = self._base_margin
        nodes.values.take(at, out=leaves[1:], mode="clip")  # no place is outside: the mode spares a buffer
        return np.float32(np.add.accumulate(leaves)[-1])

    def _add_leaves(self, matrix: NDArray[np.float32], margins: NDArray[np.float32]) -> None:
        """Add the leaves of (n, n_features) records to their (n,) margins, in place."""
        if len(matrix) >= _MANY and 1 <= self._nodes.depth <= DEEPEST:
            self._bit_sliced.add_leaves(matrix, margins)
            return
        rows_at_once = max(1, _CELLS_PER_CHUNK // len(self._nodes.roots))
        for start in range(0, len(matrix), rows_at_once):
            rows = slice(start, start + rows_at_once)
            margins[rows] = self._sum_leaves(matrix[rows])

    def _sum_leaves(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        nodes, n_rows = self._nodes, len(matrix)
        values = _both(matrix).reshape(-1)
        first = np.arange(0, len(values), 2 * matrix.shape[1], dtype=np.intp)
        at = np.repeat(nodes.roots[:, None], n_rows, axis=1)
        for _ in range(nodes.depth):
            right = values.take(first + nodes.columns.take(at)) >= nodes.thresholds.take(at)
            at = np.where(right, nodes.right.take(at), nodes.left.take(at))
        # (n_trees + 1, n_rows): the base margin stands above the trees, so that all is added in XGBoost's order.
        leaves = np.empty((len(nodes.roots) + 1, n_rows), dtype=np.float32)
        leaves[0] = self._base_margin
        leaves[1:] = nodes.values.take(at)
        # accumulate adds one after the other; sum would add pairwise and round differently.
        return np.asarray(np.add.accumulate(leaves, axis=0, out=leaves)[-1])


def _both(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, n_features, 2) values with minus, then with plus infinity in place of NaN."""
    both = np.repeat(matrix, 2, axis=1).reshape(*matrix.shape, 2)
    missing = np.isnan(matrix)
    if missing.any():
        both[missing] = (-np.inf, np.inf)
    return both


def _nodes_of(trees: Sequence[Tree]) -> Nodes:
    sizes = np.array([tree.n_nodes for tree in trees], dtype=np.intp)
    roots = np.concatenate([np.zeros(1, dtype=np.intp), np.cumsum(sizes)])[:-1].astype(np.intp)
    parts = [_steps(tree, int(root)) for tree, root in zip(trees, roots, strict=True)]
    empty = (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32))
    columns, thresholds, left, right, values = (
        np.concatenate([empty[kind], *(part[place] for part in parts)]) for place, kind in enumerate((0, 1, 0, 0, 1))
    )
    return Nodes(roots, columns, thresholds, left, right, values, max((_depth(tree) for tree in trees), default=0))


def _steps(tree: Tree, root: int) -> tuple[NDArray[np.generic], ...]:
    """Columns, thresholds, left, right and values of `Nodes`, with node ids counted from ``root``."""
    own = np.arange(root, root + tree.n_nodes, dtype=np.intp)
    leaf = tree.left_children == NO_CHILD
    return (
        np.where(leaf, 0, 2 * tree.split_indices.astype(np.intp) + (tree.default_left == 0)),
        # Nothing compares with NaN: at a leaf the step goes "left", to the leaf itself.
        np.where(leaf, np.float32(np.nan), tree.split_conditions),
        np.where(leaf, own, tree.left_children + root),
        np.where(leaf, own, tree.right_children + root),
        np.where(leaf, tree.split_conditions, np.float32(0)),
    )


def _depth(tree: Tree) -> int:
    depths = np.zeros(tree.n_nodes, dtype=np.int32)
    for node in np.flatnonzero(~tree.is_leaf):
        depths[[tree.left_children[node], tree.right_children[node]]] = depths[node] + 1
    return int(depths.max())
