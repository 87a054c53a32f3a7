"""Trees whose splits are drawn, and whose leaves are summed: one sum a tree, of as many numbers as it has leaves.

Extremely randomised trees with a random cut of a random feature (Geurts, Ernst and Wehenkel 2006, "Extremely randomized trees", Machine
Learning 63, with K = 1: "totally randomized"), boosted by Newton steps as XGBoost's are. Splits that look at no record spend none of a
privacy budget (Maddock et al. 2022, "Federated Boosted Decision Trees with Differential Privacy", ACM CCS: "totally random"): all of it
goes into the leaves.

A split is drawn among the bins that can reach its node, so that none is empty by construction. What is drawn follows from a seed through
SHAKE-256, so that all parties draw the same trees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import LocalProtocolError
from riskfed.jobs import XgboostParameters
from riskfed.trees.cuts import Cuts
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.tree import NO_CHILD, NO_PARENT, Tree

_WORDS: Final = 4
"""Drawn for each split: feature, column, bin, side of missing values."""


class NoisySums(NamedTuple):
    """What is known of the sums of g and h in a leaf.

    Attributes:
        unit: what one fixed-point unit is worth.
        scale: standard deviation of the noise of a sum of g, in units of g.
    """

    unit: float
    scale: float


class RandomTreeGrower:
    """Grows trees on one party's records: drawn splits, and leaves from pooled sums.

    Args:
        rows: the party's records.
        cuts: shared by all parties.
        job: the parameters.
        seed: of the splits, the same at all parties.
        bits: fractional bits of the sums of g and h.
        noise: of the pooled sums.

    Attributes:
        trees: the trees grown so far.
    """

    def __init__(
        self, rows: TrainingRows, cuts: Cuts, job: XgboostParameters, seed: bytes, bits: int, noise: NoisySums
    ) -> None:
        self.trees: list[Tree] = []
        self.bits = bits
        self._rows, self._cuts, self._job, self._seed, self._noise = rows, cuts, job, seed, noise
        self._features = _columns_of_features(cuts)
        self._drawn: Tree | None = None

    def leaf_sums(self) -> NDArray[np.int64]:
        """Draw the next tree. (2 l,) int64 fixed-point sums of g and h of this party's records in each of its l leaves, in turn."""
        seed = self._seed + len(self.trees).to_bytes(4, "big")
        self._drawn = random_tree(self._cuts, self._features, self._job.max_depth, seed)
        self._rows.begin_tree(2.0**self.bits)
        sums = np.zeros((self._drawn.n_nodes, 2), dtype=np.int64)
        np.add.at(sums, self._rows.leaves_of(self._drawn), self._rows.gradients())
        return np.asarray(sums[self._drawn.is_leaf].reshape(-1))

    def end_tree(self, pooled: NDArray[np.int64]) -> Tree:
        """Give the tree its leaves, by the sum of what all parties' `leaf_sums` returned, maybe with noise; and records their margins.

        Raises:
            LocalProtocolError: no tree was drawn.
        """
        if self._drawn is None:
            raise LocalProtocolError("end_tree: no tree was begun; call leaf_sums first")
        tree = with_leaves(self._drawn, pooled.reshape(-1, 2), self._noise, self._job)
        self._drawn = None
        self.resume([tree])
        return tree

    def resume(self, trees: Sequence[Tree]) -> None:
        """Take over trees that were grown before on the same cuts."""
        for tree in trees:
            bound = tree if tree.split_bins is not None else tree.with_bins(self._cuts)
            self._rows.add_tree(bound)
            self.trees.append(bound)


def random_tree(cuts: Cuts, features: Sequence[tuple[int, ...]], max_depth: int, seed: bytes) -> Tree:
    """Draw a tree: every node above `max_depth` is split, unless all bins that reach it are one. Leaves are 0.

    Args:
        cuts: bins of the columns.
        features: the columns of each feature; features are equally likely, and of one its columns.
        max_depth: levels of splits.
        seed: another one gives another tree.
    """
    words = iter(np.frombuffer(hashlib.shake_256(seed).digest(8 * _WORDS << max_depth), dtype="<u8").tolist())
    parents, depths = [NO_PARENT], [0]
    reach = [(np.zeros(cuts.n_features, dtype=np.int64), cuts.n_bins - 1)]
    splits: list[tuple[int, int, int, int]] = []
    for node in range(2 ** (max_depth + 1)):
        if node == len(parents):
            break
        split = None if depths[node] == max_depth else _draw(words, features, *reach[node])
        splits.append((NO_CHILD, 0, 0, 0) if split is None else (len(parents), *split))
        if split is not None:
            parents += [node, node]
            depths += [depths[node] + 1] * 2
            reach += _sides(*reach[node], split)
    left, columns, bins, default_left = (np.array(part) for part in zip(*splits, strict=True))
    return _tree(cuts, np.array(parents, dtype=np.int32), (left, columns, bins, default_left))


def with_leaves(tree: Tree, sums: NDArray[np.int64], noise: NoisySums, job: XgboostParameters) -> Tree:
    """The tree with weights by the sums of its leaves.

    Args:
        tree: drawn.
        sums: (l, 2) int64 sums of g and h of its leaves, by rising node.
        noise: of the sums.
        job: shrinkage and regularisation.
    """
    totals = np.zeros((tree.n_nodes, 2), dtype=np.int64)
    totals[tree.is_leaf] = sums
    # A cover is no sum of hessians any more but what is known of it, and one of 0 could not be divided by.
    covers = np.where(tree.is_leaf, np.maximum(totals[:, 1], 1) * noise.unit, 0.0)
    for node in range(tree.n_nodes - 1, 0, -1):
        totals[tree.parents[node]] += totals[node]
        covers[tree.parents[node]] += covers[node]
    weights = np.array(
        [newton_weight(g * noise.unit, h * noise.unit, noise.scale, job) for g, h in totals.tolist()],
        dtype=np.float32,
    )
    values = weights * np.float32(job.learning_rate)
    return replace(
        tree,
        split_conditions=np.where(tree.is_leaf, values, tree.split_conditions),
        base_weights=np.where(tree.is_leaf, values, weights),
        sum_hessian=covers.astype(np.float32),
    )


def newton_weight(g: float, h: float, scale: float, job: XgboostParameters) -> float:
    """XGBoost's leaf weight for sums with noise: 0 where h is below ``min_child_weight`` or not above 0, else

        -g / (h + lambda + scale^2 / h)

    which for lambda 0 is the mean of the weight after g was seen, if it is normal with variance 1 (log-odds) before, and -g is h times
    the weight and normal noise. It shrinks the leaves of few records, which are mostly noise.
    """
    if not h > 0 or h < job.min_child_weight:
        return 0.0
    alpha = job.reg_alpha
    beyond = g - alpha if g > alpha else g + alpha if g < -alpha else 0.0
    return -beyond / (h + job.reg_lambda + scale * scale / h)


def _draw(
    words: Iterator[int], features: Sequence[tuple[int, ...]], low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[int, int, int] | None:
    """Column, bin and default direction of a split between the (f,) first and last bins that reach a node; None where there is none."""
    kind, which, where, side = (next(words) for _ in range(_WORDS))
    splittable = low < high
    open_ = [some for columns in features if (some := [column for column in columns if splittable[column]])]
    if not open_:
        return None
    columns = open_[kind % len(open_)]
    column = columns[which % len(columns)]
    return column, int(low[column]) + where % int(high[column] - low[column]), side & 1


def _sides(
    low: NDArray[np.int64], high: NDArray[np.int64], split: tuple[int, int, int]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The bins that reach the left and the right child."""
    column, last, _ = split
    left_high, right_low = high.copy(), low.copy()
    left_high[column], right_low[column] = last, last + 1
    return [(low, left_high), (right_low, high)]


def _tree(cuts: Cuts, parents: NDArray[np.int32], splits: tuple[NDArray[np.int64], ...]) -> Tree:
    left, columns, bins, default_left = splits
    thresholds = np.concatenate(cuts.values)[cuts.offsets[columns] + bins]
    nothing = np.zeros(len(parents), dtype=np.float32)
    return Tree(
        left_children=left.astype(np.int32),
        right_children=np.where(left == NO_CHILD, NO_CHILD, left + 1).astype(np.int32),
        parents=parents,
        split_indices=columns.astype(np.int32),
        split_conditions=np.where(left == NO_CHILD, nothing, thresholds),
        default_left=default_left.astype(np.uint8),
        base_weights=nothing,
        loss_changes=nothing,
        sum_hessian=nothing,
        split_bins=bins.astype(np.int16),
    )


def _columns_of_features(cuts: Cuts) -> list[tuple[int, ...]]:
    """Positions of each feature's columns; each column is a feature where there is no schema."""
    if cuts.schema is None:
        return [(column,) for column in range(cuts.n_features)]
    found, at = [], 0
    for feature in cuts.schema.features:
        found.append(tuple(range(at, at + len(feature.columns))))
        at += len(feature.columns)
    return found
