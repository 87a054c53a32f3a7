"""What a feature holder tells the label holder of one customer, as bits: decisions at its splits, or the leaves that they leave possible.

Leaf sets are the bit vectors of QuickScorer (Lucchese et al., SIGIR 2015): a decision at a split rules out the leaves on the other side,
and what no decision of a tree rules out stays possible. The label holder, which decides at its own splits, ends at the same leaf as with
the decisions. It does not learn the decisions at splits below a side that another decision of the same feature holder has ruled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import LocalProtocolError, RegistryError, RemoteProtocolError
from riskfed.trees.tree import Tree


class LeafMask(NamedTuple):
    """Where a feature holder's split stands in its tree. Leaves are numbered from 0, from left to right.

    Attributes:
        tree: number of the tree in the model.
        n_leaves: of the tree.
        first, middle, end: leaves of the split's left subtree are first to middle - 1, those of its right one middle to end - 1.
    """

    tree: int
    n_leaves: int
    first: int
    middle: int
    end: int


def pack_decisions(decisions: NDArray[np.uint8]) -> bytes:
    """(k,) decisions as bits, the first in the lowest bit of the first byte; unused bits are 0."""
    return np.packbits(decisions, bitorder="little").tobytes()


def columns_of_decisions(answer: bytes, splits: int) -> NDArray[np.float32]:
    """The label holder's (splits,) float32 columns from `pack_decisions`.

    Raises:
        RemoteProtocolError: not that many bits.
    """
    return _unpacked(answer, splits).astype(np.float32)


def leaf_masks_of(trees: Sequence[Tree], columns: range) -> tuple[LeafMask, ...]:
    """Where each split of a feature holder stands, as both sides need it for leaf sets.

    Args:
        trees: of the label holder's model, all of them.
        columns: the feature holder's in that model.

    Returns:
        One mask for each column.

    Raises:
        LocalProtocolError: a column has no split, or more than one.
    """
    masks: dict[int, LeafMask] = {}
    found = 0
    for number, tree in enumerate(trees):
        left, right = tree.left_children, tree.right_children
        ends = _leaf_ranges(left, right)
        for node in np.flatnonzero(left >= 0).tolist():
            column = int(tree.split_indices[node])
            if column in columns:
                middle = ends[int(left[node])][1]
                masks[column] = LeafMask(number, ends[0][1], ends[node][0], middle, ends[node][1])
                found += 1
    if len(masks) != len(columns) or found != len(columns):
        raise LocalProtocolError(
            f"the trees have {found} splits on {len(masks)} of a feature holder's {len(columns)} columns; expected one on each"
        )
    return tuple(masks[column] for column in columns)


def check_masks(masks: Sequence[LeafMask]) -> None:
    """Refuse masks that are none.

    Raises:
        RegistryError: they leave their trees, or are out of order.
    """
    sizes = {mask.tree: mask.n_leaves for mask in masks}
    for mask in masks:
        ordered = 0 <= mask.first < mask.middle < mask.end <= mask.n_leaves == sizes[mask.tree]
        if mask.tree < 0 or not ordered:
            raise RegistryError("the leaf masks of a part do not fit together; take it from the vault's models again")


class LeafSets:
    """Writes and reads leaf sets: for each tree with a mask, in order, one bit a leaf, 1 where it is possible; packed as `pack_decisions`.

    Args:
        masks: of a feature holder's splits.
    """

    def __init__(self, masks: Sequence[LeafMask]) -> None:
        sizes = {mask.tree: mask.n_leaves for mask in masks}
        trees = sorted(sizes)
        starts = dict(zip(trees, accumulate((sizes[tree] for tree in trees), initial=0)))
        places = [[starts[mask.tree] + leaf for leaf in mask[2:]] for mask in masks]
        self._first, self._middle, self._end = np.array(places, dtype=np.intp).reshape(-1, 3).T
        self._leaves = sum(sizes.values())

    def write(self, decisions: NDArray[np.uint8]) -> bytes:
        """What (len(masks),) decisions leave possible."""
        right = decisions.astype(bool)
        # Ranges that are ruled out begin with +1 and end with -1; a leaf is possible where none is open.
        open_ranges = np.zeros(self._leaves + 1, dtype=np.int32)
        np.add.at(open_ranges, np.where(right, self._first, self._middle), 1)
        np.add.at(open_ranges, np.where(right, self._middle, self._end), -1)
        return pack_decisions((np.cumsum(open_ranges[:-1]) == 0).astype(np.uint8))

    def columns(self, answer: bytes) -> NDArray[np.float32]:
        """The label holder's (len(masks),) float32 columns; 0 at splits that the sets tell nothing of.

        Raises:
            RemoteProtocolError: not sets that decisions at these splits can give.
        """
        possible = np.concatenate([[0], np.cumsum(_unpacked(answer, self._leaves), dtype=np.int32)])
        right = possible[self._end] > possible[self._middle]
        if self.write(right.astype(np.uint8)) != answer:
            raise RemoteProtocolError(
                "the leaf sets of a feature holder are none that its splits can give; its operator must act"
            )
        return right.astype(np.float32)


def _unpacked(answer: bytes, bits: int) -> NDArray[np.uint8]:
    found = np.unpackbits(np.frombuffer(answer, dtype=np.uint8), bitorder="little")
    if len(answer) != -(-bits // 8) or found[bits:].any():
        raise RemoteProtocolError(
            f"a feature holder answered {len(answer)} bytes; expected {bits} bits; its operator must act"
        )
    return found[:bits]


def _leaf_ranges(left: NDArray[np.int32], right: NDArray[np.int32]) -> dict[int, tuple[int, int]]:
    """Of each node, the first leaf below it and the one behind its last. A leaf stands below itself."""
    ranges: dict[int, tuple[int, int]] = {}
    leaves, path = 0, [0]
    while path:
        node = path.pop()
        if node < 0:  # both children are done
            node = ~node
            ranges[node] = (ranges[int(left[node])][0], ranges[int(right[node])][1])
        elif left[node] < 0:
            ranges[node] = (leaves, leaves + 1)
            leaves += 1
        else:
            path += [~node, int(right[node]), int(left[node])]
    return ranges
