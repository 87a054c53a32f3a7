"""A forest without pointers: nodes level by level, so that one bit for each says how they hang together.

Of a tree whose nodes are numbered level by level, left before right, the k-th split (from 0) has the nodes 2k + 1 and 2k + 2 as children:
all nodes but the root are children, in the order of their parents (Jacobson 1989, "Space-efficient static trees and graphs", FOCS). Which
nodes are splits is therefore all there is to say about a shape, and trees that follow each other need no marks between them: a tree ends
where it has one leaf more than splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from riskfed.trees.bit_sliced import Nodes
from riskfed.trees.tree import NO_CHILD, NO_PARENT, Tree

_Scalar = TypeVar("_Scalar", bound=np.generic)


class LevelOrder(NamedTuple):
    """What of some trees matters for scoring, tree after tree, each level by level.

    Attributes:
        is_split: (n_nodes,) whether a node is a split.
        columns: (n_splits,) intp.
        thresholds: (n_splits,) float32; smaller values go left.
        default_left: (n_splits,) whether missing values go left.
        leaves: (n_leaves,) float32 values.

    `is_split` must be whole (`is_whole`) for `trees_of` and `nodes_of`.
    """

    is_split: NDArray[np.bool_]
    columns: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    default_left: NDArray[np.bool_]
    leaves: NDArray[np.float32]

    def values(self) -> NDArray[np.float32]:
        """(n_nodes,) float32: the threshold of a split, the value of a leaf."""
        values = np.empty(len(self.is_split), dtype=np.float32)
        values[self.is_split], values[~self.is_split] = self.thresholds, self.leaves
        return values


class _Links(NamedTuple):
    """How nodes hang together: (n_trees,) first node of each tree; (n_nodes,) tree, and left child for splits, counted from the forest's
    first node."""

    roots: NDArray[np.intp]
    tree: NDArray[np.intp]
    left: NDArray[np.intp]


def level_order(trees: Sequence[Tree]) -> LevelOrder:
    """The trees, their nodes renumbered where they stood in another order."""
    numbered = [(tree, _order(tree)) for tree in trees]
    is_split = _joined(np.bool_, (~tree.is_leaf[order] for tree, order in numbered))
    values = _joined(np.float32, (tree.split_conditions[order] for tree, order in numbered))
    columns = _joined(np.intp, (tree.split_indices[order] for tree, order in numbered))
    default_left = _joined(np.bool_, (tree.default_left[order] != 0 for tree, order in numbered))
    return LevelOrder(is_split, columns[is_split], values[is_split], default_left[is_split], values[~is_split])


def trees_of(forest: LevelOrder) -> list[Tree]:
    """The trees, as XGBoost's arrays; gains, covers and the weights of splits, which nobody kept, are NaN."""
    links = _links(forest.is_split)
    inner = forest.is_split
    first = links.roots[links.tree]
    left = np.where(inner, links.left - first, NO_CHILD).astype(np.int32)
    right = np.where(inner, links.left - first + 1, NO_CHILD).astype(np.int32)
    parents = np.full(len(inner), NO_PARENT, dtype=np.int32)
    own = (np.arange(len(inner)) - first)[inner]
    parents[links.left[inner]] = parents[links.left[inner] + 1] = own
    columns, default_left = np.zeros(len(inner), dtype=np.int32), np.zeros(len(inner), dtype=np.uint8)
    columns[inner], default_left[inner] = forest.columns, forest.default_left
    values = forest.values()
    weights = np.where(inner, np.float32(np.nan), values)
    unknown = np.full(len(inner), np.nan, dtype=np.float32)
    arrays: tuple[NDArray[Any], ...] = (
        left,
        right,
        parents,
        columns,
        values,
        default_left,
        weights,
        unknown,
        unknown,
    )
    bounds = pairwise([*links.roots.tolist(), len(inner)])
    return [Tree(*(array[start:end] for array in arrays)) for start, end in bounds]


def nodes_of(forest: LevelOrder) -> Nodes:
    """The nodes, ready to score with."""
    links, inner = _links(forest.is_split), forest.is_split
    own = np.arange(len(inner), dtype=np.intp)
    columns, thresholds = np.zeros(len(inner), dtype=np.intp), np.full(len(inner), np.nan, dtype=np.float32)
    columns[inner], thresholds[inner] = 2 * forest.columns + ~forest.default_left, forest.thresholds
    leaves = np.zeros(len(inner), dtype=np.float32)
    leaves[~inner] = forest.leaves
    left, right = np.where(inner, links.left, own), np.where(inner, links.left + 1, own)
    return Nodes(links.roots, columns, thresholds, left, right, leaves, _depth(links, inner))


def _order(tree: Tree) -> NDArray[np.intp]:
    """The nodes of a tree, level by level."""
    level, levels = np.zeros(1, dtype=np.intp), []
    while len(level):
        levels.append(level)
        splits = level[~tree.is_leaf[level]]
        level = np.stack([tree.left_children[splits], tree.right_children[splits]], axis=1).reshape(-1).astype(np.intp)
    return np.concatenate(levels)


def is_whole(is_split: NDArray[np.bool_]) -> bool:
    """Whether the bits of some nodes are those of trees, the last one complete; nothing else can be wrong with them."""
    awaited = _awaited(is_split)
    return not len(awaited) or bool(awaited[-1] < awaited[:-1].min(initial=0))


def _awaited(is_split: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(n_nodes,) nodes that are announced and have not come, less one for each root: a split announces two, every node is one."""
    return np.cumsum(np.where(is_split, 1, -1), dtype=np.intp)


def _links(is_split: NDArray[np.bool_]) -> _Links:
    awaited = _awaited(is_split)
    lowest = np.minimum.accumulate(np.concatenate([[0], awaited]))
    ends = np.flatnonzero(awaited < lowest[:-1])
    roots = np.concatenate([[0], ends + 1])[: len(ends)].astype(np.intp)
    tree = np.repeat(np.arange(len(ends)), np.diff(np.concatenate([roots, [len(is_split)]])))
    before: NDArray[np.intp] = np.cumsum(is_split) - is_split  # splits before each node, in all trees
    return _Links(roots, tree, roots[tree] + 2 * (before - before[roots][tree]) + 1)


def _depth(links: _Links, is_split: NDArray[np.bool_]) -> int:
    """Splits on the longest path."""
    depth, level = 0, links.roots[is_split[links.roots]]
    while len(level):
        depth += 1
        children = np.concatenate([links.left[level], links.left[level] + 1])
        level = children[is_split[children]]
    return depth


def _joined(dtype: type[_Scalar], parts: Iterable[NDArray[Any]]) -> NDArray[_Scalar]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts]).astype(dtype)
