"""A grown regression tree, in the arrays of XGBoost's JSON, and the way of records through it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import LocalProtocolError
from riskfed.trees.cuts import Cuts

if TYPE_CHECKING:
    from riskfed.trees.partition import Paths

NO_CHILD = -1
NO_PARENT = 2147483647


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree. Node 0 is the root; nodes are numbered level by level, left before right.

    Attributes:
        left_children, right_children: (n_nodes,) int32, -1 at a leaf.
        parents: (n_nodes,) int32, 2147483647 at the root.
        split_indices: (n_nodes,) int32 feature of the split, 0 at a leaf.
        split_conditions: (n_nodes,) float32; at a split the threshold (smaller values go left), at a leaf its value.
        default_left: (n_nodes,) uint8, 1 where missing values go left.
        base_weights: (n_nodes,) float32; at a leaf its value, at a split the node's own weight before shrinkage.
        loss_changes: (n_nodes,) float32 loss reduction of the split, 0 at a leaf.
        sum_hessian: (n_nodes,) float32.
        split_bins: (n_nodes,) int16 last bin that goes left, -1 if only missing values do; None in a tree read from a file.
    """

    left_children: NDArray[np.int32]
    right_children: NDArray[np.int32]
    parents: NDArray[np.int32]
    split_indices: NDArray[np.int32]
    split_conditions: NDArray[np.float32]
    default_left: NDArray[np.uint8]
    base_weights: NDArray[np.float32]
    loss_changes: NDArray[np.float32]
    sum_hessian: NDArray[np.float32]
    split_bins: NDArray[np.int16] | None = None

    @property
    def n_nodes(self) -> int:
        """Number of nodes, leaves included."""
        return len(self.left_children)

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """(n_nodes,) whether a node is a leaf."""
        return np.asarray(self.left_children == NO_CHILD)

    def with_bins(self, cuts: Cuts) -> Tree:
        """The tree with `split_bins` found from its thresholds, for a tree that was grown on ``cuts`` and read from a file."""
        bins = np.zeros(self.n_nodes, dtype=np.int16)
        for node in np.flatnonzero(~self.is_leaf):
            points, threshold = cuts.values[self.split_indices[node]], self.split_conditions[node]
            place = int(np.searchsorted(points, threshold))
            if place < len(points) and points[place] == threshold:
                bins[node] = place
            elif threshold == cuts.min_values[self.split_indices[node]]:
                bins[node] = -1
            else:
                raise LocalProtocolError(f"node {node} splits at a threshold that is not among the cuts")
        return replace(self, split_bins=bins)

    def leaf_of(self, codes: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Leaf in which each record ends, by its bin codes.

        A value at or beyond the last cut or below the minimum has the code of the nearest bin. It is sent where the records of
        that bin went in training, as XGBoost does with binned data; `Predictor`, which sees the value, can differ there.

        Args:
            codes: (n_features, n) uint8 from `Cuts.bin`.

        Returns:
            (n,) int32 node ids.

        Raises:
            LocalProtocolError: the tree was read from a file; use `with_bins` first.
        """
        # Compiled code is loaded here and not above: reading and writing trees works without numba.
        from riskfed.trees.partition import find_leaves

        leaves = np.empty(codes.shape[1], dtype=np.int32)
        find_leaves(codes, self._paths(), leaves)
        return leaves

    def add_margins(self, codes: NDArray[np.uint8], margins: NDArray[np.float32]) -> None:
        """Add the leaf of each record to its margin, in place, in float32. Arguments and errors as in `leaf_of`."""
        from riskfed.trees.partition import add_leaf_of_each

        add_leaf_of_each(codes, self._paths(), self.split_conditions, margins)

    def _paths(self) -> Paths:
        if self.split_bins is None:
            raise LocalProtocolError("the tree has no bins; call with_bins(cuts) first")
        from riskfed.trees.partition import Paths

        children = self.left_children, self.right_children
        return Paths(*children, self.split_indices, self.split_bins, self.default_left)
