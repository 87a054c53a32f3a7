"""Scoring with the trees of a Booster, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError
from riskfed.trees.logit import margin_of, sigmoid
from riskfed.trees.tree import NO_CHILD, Tree

# Records times trees that are followed at once: the state of so many fits the processor's second-level cache.
_CELLS_PER_CHUNK = 65_536


class Predictor:
    """Scores records by their values. Immutable after construction, so threads can share one.

    All trees lie in one set of arrays. Every record stands at one node of every tree, and all of them take one step down at a
    time; leaves lead to themselves, so a step too many does no harm. A missing value takes the default branch: each column
    is held twice, once with minus and once with plus infinity in place of NaN, and a split reads the one that sends it there.
    """

    def __init__(self, trees: Sequence[Tree], base_score: float) -> None:
        """Take over the trees of a model, in the order of boosting.

        Args:
            trees: their arrays are copied.
            base_score: prior PD.
        """
        sizes = np.array([tree.n_nodes for tree in trees], dtype=np.intp)
        self._roots = np.concatenate([np.zeros(1, dtype=np.intp), np.cumsum(sizes)])[:-1].astype(np.intp)
        self._base_margin = margin_of(base_score)
        self._depth = max((_depth(tree) for tree in trees), default=0)
        parts = [_steps(tree, int(root)) for tree, root in zip(trees, self._roots, strict=True)]
        # Twice the feature, plus one where missing values go right.
        self._columns, self._thresholds, self._left, self._right, self._values = (
            np.concatenate([part[i] for part in parts]) if parts else np.empty(0) for i in range(5)
        )
        self._n_columns = int(self._columns.max(initial=0)) // 2 + 1 if parts else 0

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
        if not len(self._roots):
            return margins
        rows_at_once = max(1, _CELLS_PER_CHUNK // len(self._roots))
        for start in range(0, len(matrix), rows_at_once):
            rows = slice(start, start + rows_at_once)
            margins[rows] = self._sum_leaves(matrix[rows])
        return margins

    def pd(self, matrix: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 PD of records, as xgboost's ``predict`` gives, bit for bit. Arguments and errors as in `margins`."""
        return sigmoid(self.margins(matrix))

    def _sum_leaves(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        n_rows, n_features = matrix.shape
        missing = np.isnan(matrix)
        both = np.empty((n_rows, n_features, 2), dtype=np.float32)
        both[:, :, 0] = np.where(missing, np.float32(-np.inf), matrix)
        both[:, :, 1] = np.where(missing, np.float32(np.inf), matrix)
        values = both.reshape(-1)
        first = np.arange(0, len(values), 2 * n_features, dtype=np.intp)
        # (n_trees + 1, n_rows): the base margin stands above the trees, so that all is added in XGBoost's order.
        nodes = np.repeat(self._roots[:, None], n_rows, axis=1)
        for _ in range(self._depth):
            right = values[first + self._columns[nodes]] >= self._thresholds[nodes]
            nodes = np.where(right, self._right[nodes], self._left[nodes])
        leaves = np.empty((len(self._roots) + 1, n_rows), dtype=np.float32)
        leaves[0] = self._base_margin
        leaves[1:] = self._values[nodes]
        # accumulate adds one after the other; sum would add pairwise and round differently.
        return np.asarray(np.add.accumulate(leaves, axis=0, out=leaves)[-1])


def _steps(tree: Tree, root: int) -> tuple[NDArray[np.generic], ...]:
    """Column, threshold, left, right and value of each node, with node ids counted from ``root``."""
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
