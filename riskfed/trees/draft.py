"""A tree while it grows, and the level of nodes that is open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from riskfed.trees.cuts import Cuts
from riskfed.trees.partition import RowRanges
from riskfed.trees.split import NodeSums, Splits
from riskfed.trees.tree import NO_CHILD, NO_PARENT, Tree

FREE = (-np.finfo(np.float32).max, np.finfo(np.float32).max)
"""Bounds that bound nothing."""


class Level(NamedTuple):
    """The open nodes of one level, siblings side by side.

    Attributes:
        ids: (k,) int32.
        ranges: the party's records in each.
        sums: what is known of each.
    """

    ids: NDArray[np.int32]
    ranges: RowRanges
    sums: NodeSums

    @classmethod
    def root(cls, ranges: RowRanges) -> Level:
        """The root, as the one node of ``ranges``. Its sums and gain are not known yet: zero."""
        return cls(
            np.zeros(1, dtype=np.int32),
            ranges,
            NodeSums(np.zeros((1, 2), dtype=np.int64), np.zeros(1, dtype=np.float32), np.array([FREE])),
        )

    @classmethod
    def empty(cls, no_rows: RowRanges) -> Level:
        """No open node."""
        nothing = np.zeros(1, dtype=np.bool_)
        root = cls.root(no_rows)
        return cls(root.ids[nothing], no_rows, root.sums.where(nothing))

    def where(self, chosen: NDArray[np.bool_]) -> Level:
        """Some of the nodes."""
        return Level(self.ids[chosen], self.ranges.where(chosen), self.sums.where(chosen))


def child_bounds(
    bounds: NDArray[np.float32], weights: NDArray[np.float32], constraint: NDArray[np.int8]
) -> NDArray[np.float32]:
    """Bounds of the children of k splits: the node's own, cut at the middle of the children's weights where constrained.

    Args:
        bounds: (k, 2) float32 of the nodes that are split.
        weights: (k, 2) float32 weights of left and right child.
        constraint: (k,) constraint of the split's feature.

    Returns:
        (k, 2, 2) float32: child, then lower and upper.
    """
    children = np.repeat(bounds[:, None, :], 2, axis=1)
    middle = (weights[:, 0] + weights[:, 1]) / np.float32(2)
    rising, falling = constraint > 0, constraint < 0
    children[rising, 0, 1] = children[rising, 1, 0] = middle[rising]
    children[falling, 0, 0] = children[falling, 1, 1] = middle[falling]
    return children


class Draft:
    """Collects splits, level by level, and becomes a `Tree`. Weights are scaled by the learning rate where XGBoost does it."""

    def __init__(self, cuts: Cuts, max_depth: int, learning_rate: float) -> None:
        capacity = 2 ** (max_depth + 1) - 1
        self._cuts = cuts
        self._thresholds = np.concatenate(cuts.values)
        self._learning_rate = np.float32(learning_rate)
        self._n_nodes = 1
        self._left = np.full(capacity, NO_CHILD, dtype=np.int32)
        self._parents = np.full(capacity, NO_PARENT, dtype=np.int32)
        self._features = np.zeros(capacity, dtype=np.int32)
        self._bins = np.zeros(capacity, dtype=np.int16)
        self._conditions = np.zeros(capacity, dtype=np.float32)
        self._default_left = np.zeros(capacity, dtype=np.uint8)
        self._weights = np.zeros(capacity, dtype=np.float32)
        self._gains = np.zeros(capacity, dtype=np.float32)
        self._hessians = np.zeros(capacity, dtype=np.float32)

    def set_root(self, weight: np.float32, hessian: float) -> None:
        """Give the root its weight before shrinkage and its sum of hessians."""
        self._weights[0] = weight
        self._conditions[0] = self._learning_rate * weight
        self._hessians[0] = hessian

    def values(self, nodes: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 values of nodes that are leaves."""
        return self._conditions[nodes]

    def expand(
        self, nodes: NDArray[np.int32], splits: Splits, weights: NDArray[np.float32], hessians: NDArray[np.float64]
    ) -> NDArray[np.int32]:
        """Turn leaves into splits.

        Args:
            nodes: (k,) int32 leaves in ascending order.
            splits: their k splits.
            weights: (k, 3) float32 weights of node, left and right child, before shrinkage.
            hessians: (k, 3) sums of hessians of the same.

        Returns:
            (k, 2) int32 ids of left and right children.
        """
        children = np.arange(self._n_nodes, self._n_nodes + 2 * len(nodes), dtype=np.int32).reshape(-1, 2)
        self._n_nodes += 2 * len(nodes)
        self._left[nodes] = children[:, 0]
        self._parents[children] = nodes[:, None]
        self._features[nodes], self._bins[nodes] = splits.features, splits.bins
        self._default_left[nodes], self._gains[nodes] = splits.default_left, splits.gains
        position = self._cuts.offsets[splits.features] + splits.bins
        self._conditions[nodes] = np.where(
            splits.bins < 0, self._cuts.min_values[splits.features], self._thresholds[np.maximum(position, 0)]
        )
        self._weights[nodes] = weights[:, 0]
        self._weights[children] = self._conditions[children] = weights[:, 1:] * self._learning_rate
        self._hessians[nodes] = hessians[:, 0]
        self._hessians[children] = hessians[:, 1:]
        return children

    def finish(self) -> Tree:
        """The tree as it stands."""
        used = slice(self._n_nodes)
        left = self._left[used].copy()
        return Tree(
            left_children=left,
            right_children=np.where(left == NO_CHILD, NO_CHILD, left + 1).astype(np.int32),
            parents=self._parents[used].copy(),
            split_indices=self._features[used].copy(),
            split_conditions=self._conditions[used].copy(),
            default_left=self._default_left[used].copy(),
            base_weights=self._weights[used].copy(),
            loss_changes=self._gains[used].copy(),
            sum_hessian=self._hessians[used].copy(),
            split_bins=self._bins[used].copy(),
        )
