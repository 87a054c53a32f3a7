"""Many records through many trees at once, on words of bits: faster in numpy than XGBoost's own predictor.

A split asks one question of a record. All records of a chunk answer all distinct questions of the forest, one bit each, by comparing whole
columns with thresholds. From there on, eight records are one byte: a tree's way down is a selection among the answers, level by level,
with AND and XOR, which visits all of a level's splits but needs no branch and no look-up. What comes out are the bits of the leaf's
number, the root's decision first. Trees are filled up to the depth of the deepest: a leaf further up asks nothing and has its value below
it everywhere. The work thus doubles with each level, and `Predictor` follows deep trees node by node instead.

Related: QuickScorer (Lucchese et al. 2015, SIGIR), which also turns traversal into bitwise logic, but over leaves.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DEEPEST: Final = 7
"""Levels of splits; leaves are numbered by one byte, and each further level doubles the work."""

_LEAVES_PER_CHUNK: Final = 524_288
"""Records times trees that are held at once: their leaves' numbers fit the processor's second-level cache."""

_ROWS_PER_CHUNK: Final = (256, 8_192)


class Nodes(NamedTuple):
    """The nodes of all trees in one set of arrays; leaves lead to themselves.

    Attributes:
        roots: (n_trees,) intp.
        columns: (n_nodes,) intp twice the column, plus one where missing values go right; 0 at a leaf.
        thresholds: (n_nodes,) float32, smaller values go left; NaN at a leaf.
        left, right: (n_nodes,) intp.
        values: (n_nodes,) float32 of the leaves, 0 at a split.
        depth: of the deepest tree.
    """

    roots: NDArray[np.intp]
    columns: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    values: NDArray[np.float32]
    depth: int


class BitSliced:
    """A forest of 1 to `DEEPEST` levels. Immutable after construction, so threads can share one."""

    def __init__(self, nodes: Nodes) -> None:
        self._depth = nodes.depth
        split = ~np.isnan(nodes.thresholds)
        # Distinct questions, sorted by column: equal ones of different trees are answered once.
        asked = nodes.columns.astype(np.uint64) << np.uint64(32) | nodes.thresholds.view(np.uint32)
        questions, numbers = np.unique(asked[split], return_inverse=True)
        self._n_questions = len(questions)
        # Leaves ask the question behind the last, which everybody answers with 0.
        numbered = np.full(len(nodes.columns), self._n_questions, dtype=np.intp)
        numbered[split] = numbers
        levels = _levels(nodes)
        self._asked = np.concatenate([numbered[level] for level in levels[:-1]])
        self._values = np.ascontiguousarray(nodes.values[levels[-1]].T)
        keys = (questions >> np.uint64(32)).astype(np.intp)
        thresholds = (questions & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)[:, None]
        bounds = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)]
        self._groups = [
            (int(keys[start]) >> 1, bool(keys[start] & 1), slice(start, end), thresholds[start:end])
            for start, end in pairwise(bounds)
            if end > start
        ]
        low, high = _ROWS_PER_CHUNK
        self._rows_at_once = min(high, max(low, _LEAVES_PER_CHUNK // max(1, len(nodes.roots)) // 8 * 8))

    def add_leaves(self, matrix: NDArray[np.float32], margins: NDArray[np.float32]) -> None:
        """Add the values of the leaves that (n, n_columns) records reach, NaN where missing, to their (n,) margins, in place.

        XGBoost adds tree after tree in float32, and the sum depends on that order: so does this.
        """
        for start in range(0, len(matrix), self._rows_at_once):
            rows = slice(start, start + self._rows_at_once)
            sums = margins[rows]
            for values, leaves in zip(self._values, self._leaves(matrix[rows]), strict=True):
                sums += values.take(leaves)

    def _leaves(self, matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(n_trees, n) number of the leaf of each record among the 2^depth of the filled-up tree."""
        answers = self._answers(matrix).take(self._asked, axis=0)
        chosen: list[NDArray[np.uint8]] = []
        for level in range(self._depth):
            bits = answers[(1 << level) - 1 : (2 << level) - 1]
            for decision in chosen:
                # The half below the side that was taken: bits where decision is 0, those of the other half where it is 1.
                low, high = np.split(bits, 2)
                bits = low ^ (decision & (low ^ high))
            chosen.append(bits[0])
        n = len(matrix)
        leaves = np.unpackbits(chosen[0], axis=1, count=n)
        for decision in chosen[1:]:
            leaves <<= 1
            leaves |= np.unpackbits(decision, axis=1, count=n)
        return leaves

    def _answers(self, matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(n_questions + 1, n / 8) packed answers, 0 towards the side that missing values take, and a last row of zeros."""
        columns = np.ascontiguousarray(matrix.T)
        packed = np.zeros((self._n_questions + 1, -(-len(matrix) // 8)), dtype=np.uint8)
        for column, missing_right, rows, thresholds in self._groups:
            # A comparison with NaN is false, so it must ask for the side that missing values do not take.
            compare = np.less if missing_right else np.greater_equal
            packed[rows] = np.packbits(compare(columns[column], thresholds), axis=1)
        return packed


def _levels(nodes: Nodes) -> list[NDArray[np.intp]]:
    """Per level of the filled-up trees (2^level, n_trees) nodes; at even places the child that the answer 0 leads to."""
    missing_right = (nodes.columns & 1).astype(np.bool_)
    on_0 = np.where(missing_right, nodes.right, nodes.left)
    on_1 = np.where(missing_right, nodes.left, nodes.right)
    levels = [nodes.roots[None, :]]
    for _ in range(nodes.depth):
        level = levels[-1]
        levels.append(np.stack([on_0[level], on_1[level]], axis=1).reshape(-1, level.shape[1]))
    return levels
