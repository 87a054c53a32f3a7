"""One party's side of growing trees from summed histograms.

    grower = Grower(codes, labels, weights, cuts, job, total_weight=..., base_score=...)
    for _ in range(job.n_estimators):
        grower.begin_tree()
        while grower.has_open_nodes():
            local = grower.histograms()        # leaves the party, protected
            grower.split(pooled)               # the sum of all parties' local arrays
        grower.end_tree()

Trees grow level by level as in XGBoost's `hist` with ``grow_policy=depthwise``. All choices follow from the pooled numbers
alone, so all parties grow the same tree; a party's own records only decide what it adds to the next sum. Nothing here does
any I/O, and a party may hold no record at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.cuts import Cuts
from riskfed.trees.draft import Draft, Level, child_bounds
from riskfed.trees.gradient import effective_weights, fill_gradients
from riskfed.trees.histogram import build_histograms, fixed_point_bits, workspace
from riskfed.trees.logit import margin_of
from riskfed.trees.partition import add_leaves, add_sibling_leaves, partition_rows
from riskfed.trees.split import Regularisation, Splits, find_splits, leaf_weight, node_gain, weigh_children
from riskfed.trees.tree import Tree

_LEAST_GAIN = np.float32(1e-6)


class Grower:
    """Grows the pooled trees on one party's records.

    Attributes:
        trees: the trees grown so far.
        margins: (n,) float32 margin of each record under `trees`.
        bits: fractional bits q of the histograms.
        sum_bound: no number in a pooled histogram is larger than this in size.
    """

    def __init__(
        self,
        codes: NDArray[np.uint8],
        labels: ArrayLike,
        weights: ArrayLike,
        cuts: Cuts,
        job: HorizontalXgboost,
        *,
        total_weight: float,
        base_score: float,
        bits: int | None = None,
    ) -> None:
        """Take one party's records.

        Args:
            codes: (n, n_features) uint8 from `Cuts.bin`; n may be 0.
            labels: (n,) 0 or 1.
            weights: (n,) float32 sample weights, without ``scale_pos_weight``.
            cuts: the cuts shared by all parties.
            job: the parameters shared by all parties.
            total_weight: sum of the sample weights of all parties, the same number at each; it fixes `bits`.
            base_score: prior PD of the pooled records (see `logit.estimate_base_score`).
            bits: fewer fractional bits than int64 has room for, for narrower sums. From 34 on, the trees stay identical to
                XGBoost's in practice; below 26 leaves differ visibly.

        Raises:
            ConfigurationError: shapes or types do not fit together, or `bits` does not fit int64.
            ContractError: a label is not 0 or 1, or a weight is negative or not finite.
            JobError: a constraint names an unknown column; a weight sum or prior PD is impossible.
        """
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != cuts.n_features:
            raise ConfigurationError(f"got {codes.dtype} codes of shape {codes.shape}, expected uint8 (n, {cuts.n_features})")
        labels = np.asarray(labels)
        if labels.shape != (len(codes),):
            raise ConfigurationError(f"got labels of shape {labels.shape}, expected ({len(codes)},)")
        self.trees: list[Tree] = []
        self._job, self._cuts = job, cuts
        self._regularisation = Regularisation.of(job)
        self._constraints = np.array(job.constraints_for(cuts.feature_names), dtype=np.int8)
        # A default weighs up to scale_pos_weight times its sample weight.
        heaviest = total_weight * max(1.0, job.scale_pos_weight)
        self.bits = _checked_bits(bits, fixed_point_bits(heaviest))
        # Rounding adds half a unit a record and float32 products 2^-24 of the whole: covered by 2^-20 of the whole and 2^32.
        self.sum_bound = math.ceil(heaviest * 2**self.bits * (1 + 2**-20)) + 2**32

        self._codes = np.ascontiguousarray(codes).reshape(-1)
        self._columns = np.ascontiguousarray(codes.T)
        self._labels = labels.astype(np.uint8)
        self._weights = effective_weights(labels, np.asarray(weights, dtype=np.float32), job.scale_pos_weight)
        self.margins = np.full(len(codes), margin_of(base_score), dtype=np.float32)
        self._gradients = np.empty(2 * len(codes), dtype=np.int64)
        self._rows = np.empty(len(codes), dtype=np.int32)
        self._buffer = np.empty(len(codes), dtype=np.int32)
        self._counts = workspace(cuts.n_features)
        self.abandon_tree()

    def begin_tree(self) -> None:
        """Compute the gradients of all records from their margins and open the root.

        Raises:
            LocalProtocolError: the tree before was neither ended nor abandoned.
        """
        if self._draft is not None:
            raise LocalProtocolError("begin_tree: the tree before is unfinished; call end_tree or abandon_tree")
        fill_gradients(self.margins, self._labels, self._weights, 2.0**self.bits, self._gradients)
        self._rows[:] = np.arange(len(self._rows), dtype=np.int32)
        self._draft = Draft(self._cuts, self._job.max_depth, self._job.learning_rate)
        self._level = Level.root(len(self._rows))

    def abandon_tree(self) -> None:
        """Forget an unfinished tree, if there is one; margins are as they were before it."""
        self._draft: Draft | None = None
        self._depth = 0
        self._level = Level.empty()
        # Pooled histogram of the parent of each pair of siblings in the level.
        self._parents = np.empty((0, 2 * self._cuts.total_bins), dtype=np.int64)
        # What end_tree adds to the margins: arguments of add_leaves and of add_sibling_leaves, level by level.
        self._leaves: list[tuple[NDArray[np.generic], ...]] = []
        self._twins: list[tuple[NDArray[np.generic], ...]] = []

    def has_open_nodes(self) -> bool:
        """Whether the tree can still grow, that is whether another sum is needed."""
        return len(self._level.nodes) > 0

    def histograms(self) -> NDArray[np.int64]:
        """This party's part of the sum that the next splits need.

        Returns:
            1-D int64, of the same length at all parties. At the root, its histogram and the sums of g and h over all records.
            Below, a histogram for each pair of open siblings: that of the child with the smaller pooled hessian, since the
            other's is the parent's less this.

        Raises:
            LocalProtocolError: no node is open.
        """
        self._expect_open_nodes()
        wanted = self._wanted()
        parts = np.empty((len(wanted), 2 * self._cuts.total_bins), dtype=np.int64)
        begins, ends = self._level.begins[wanted], self._level.ends[wanted]
        build_histograms(
            self._codes, self._gradients, self._rows, begins, ends, self._cuts.n_bins, self._counts, parts
        )
        if self._depth > 0:
            return parts.reshape(-1)
        return np.concatenate([parts.reshape(-1), self._gradients.reshape(-1, 2).sum(axis=0)])

    def split(self, pooled: NDArray[np.int64]) -> None:
        """Split the open nodes by the pooled sum, and sort this party's records into the children.

        Args:
            pooled: the sum of what all parties' `histograms` returned, of the same shape.

        Raises:
            LocalProtocolError: no node is open.
            RemoteProtocolError: the sum has another shape or type, or holds numbers that no records give.
        """
        self._expect_open_nodes()
        histograms = self._complete(pooled)
        level, unit = self._level, 2.0**-self.bits
        splits = Splits.none(len(level.nodes))
        find_splits(
            histograms,
            level.sums,
            level.gains,
            level.bounds,
            self._cuts.offsets,
            self._constraints,
            unit,
            self._regularisation,
            splits,
        )
        chosen = self._worthwhile(level, splits)
        rest = level.where(~chosen)
        self._leaves.append((rest.begins, rest.ends, self._tree().values(rest.nodes)))
        self._descend(level.where(chosen), splits.where(chosen), histograms[chosen])

    def end_tree(self) -> Tree:
        """Add the leaves to the margins of this party's records, in float32, and the tree to `trees`.

        Raises:
            LocalProtocolError: no tree was begun, or nodes are still open.
        """
        if self.has_open_nodes():
            raise LocalProtocolError("end_tree: nodes are still open")
        tree = self._tree().finish()
        for leaves in self._leaves:
            add_leaves(self._rows, *leaves, self.margins)
        for twins in self._twins:
            add_sibling_leaves(self._columns, self._rows, *twins, self.margins)
        self.trees.append(tree)
        self.abandon_tree()
        return tree

    def resume(self, trees: Sequence[Tree]) -> None:
        """Take over trees that were grown before, on the same cuts: the margins become what they were then, to the last bit.

        Raises:
            LocalProtocolError: this grower has trees already, or a tree has thresholds that are not among the cuts.
        """
        if self.trees or self._draft is not None:
            raise LocalProtocolError("resume: only a grower without trees can take over others")
        codes = self._codes.reshape(-1, self._cuts.n_features)
        for tree in trees:
            bound = tree if tree.split_bins is not None else tree.with_bins(self._cuts)
            bound.add_margins(codes, self.margins)
            self.trees.append(bound)

    def _tree(self) -> Draft:
        if self._draft is None:
            raise LocalProtocolError("no tree was begun")
        return self._draft

    def _expect_open_nodes(self) -> None:
        if not self.has_open_nodes():
            raise LocalProtocolError("no node is open: the tree was not begun, or is complete")

    def _wanted(self) -> NDArray[np.int64]:
        """Positions in the level of the nodes whose histograms are summed: the root, or the smaller of each two siblings."""
        if self._depth == 0:
            return np.zeros(1, dtype=np.int64)
        hessians = self._level.sums[:, 1].reshape(-1, 2)
        left = np.arange(0, len(self._level.nodes), 2, dtype=np.int64)
        return left + (hessians[:, 1] < hessians[:, 0])

    def _complete(self, pooled: NDArray[np.int64]) -> NDArray[np.int64]:
        """(k, 2 * total_bins) pooled histograms of all open nodes, from those that were summed."""
        wanted = self._wanted()
        size = len(wanted) * 2 * self._cuts.total_bins
        expected = (size + 2,) if self._depth == 0 else (size,)
        if pooled.dtype != np.int64 or pooled.shape != expected:
            raise RemoteProtocolError(f"got a {pooled.dtype} sum of shape {pooled.shape}, expected int64 {expected}")
        summed = pooled[:size].reshape(len(wanted), -1)
        if self._depth == 0:
            histograms = summed
            self._open_root(pooled[size:])
        else:
            histograms = np.empty((2 * len(wanted), summed.shape[1]), dtype=np.int64)
            histograms[wanted] = summed
            np.subtract(self._parents, summed, out=self._parents)
            histograms[wanted ^ 1] = self._parents
        # No record has a negative hessian, in neither sibling: a sum that was garbled on its way shows here.
        if (histograms[:, 1::2] < 0).any():
            raise RemoteProtocolError("the pooled sum holds negative hessians: a party or the protection is at fault")
        return histograms

    def _open_root(self, sums: NDArray[np.int64]) -> None:
        if sums[1] < 0:
            raise RemoteProtocolError("the pooled sum of hessians is negative: a party or the protection is at fault")
        g, h = (sums * 2.0**-self.bits).tolist()
        lower, upper = self._level.bounds[0]
        weight = leaf_weight(g, h, lower, upper, self._regularisation)
        gain = np.array([node_gain(g, h, weight, self._regularisation)], dtype=np.float32)
        self._tree().set_root(np.float32(weight), h)
        self._level = self._level._replace(sums=sums.reshape(1, 2), gains=gain)

    def _worthwhile(self, level: Level, splits: Splits) -> NDArray[np.bool_]:
        """Which splits are made: XGBoost wants more than 1e-6, no less than gamma, and a hessian above zero on both sides."""
        right = level.sums[:, 1] - splits.left[:, 1]
        enough = (splits.gain > _LEAST_GAIN) & (splits.gain >= np.float32(self._job.gamma))
        return np.asarray(enough & (splits.left[:, 1] != 0) & (right != 0))

    def _descend(self, level: Level, splits: Splits, histograms: NDArray[np.int64]) -> None:
        """Make the splits of some nodes, and open those of their children that can be split again."""
        unit = 2.0**-self.bits
        weights = np.empty((len(level.nodes), 3), dtype=np.float32)
        gains = np.empty((len(level.nodes), 2), dtype=np.float32)
        weigh_children(level.sums, level.bounds, splits.left, unit, self._regularisation, weights, gains)
        sums = np.stack([splits.left, level.sums - splits.left], axis=1)
        hessians = sums[:, :, 1] * unit
        hessians = np.column_stack([hessians.sum(axis=1), hessians])
        children = self._tree().expand(level.nodes, splits, weights, hessians)
        bounds = child_bounds(level.bounds, weights[:, 1:], self._constraints[splits.feature])

        growing = self._can_grow(hessians[:, 1:])
        done = level.where(~growing)
        ended = splits.where(~growing)
        values = self._tree().values(children[~growing])
        self._twins.append((done.begins, done.ends, ended.feature, ended.bin, ended.default_left, values))
        begins, ends = self._sort_rows(level.where(growing), splits.where(growing))
        self._depth += 1
        self._parents = histograms[growing]
        self._level = Level(
            nodes=children[growing].reshape(-1),
            begins=begins,
            ends=ends,
            sums=sums[growing].reshape(-1, 2),
            gains=gains[growing].reshape(-1),
            bounds=bounds[growing].reshape(-1, 2),
        )

    def _can_grow(self, hessians: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which pairs of siblings, (k, 2) hessians, need histograms: those where one has enough for two children."""
        if self._depth + 1 >= self._job.max_depth:
            return np.zeros(len(hessians), dtype=np.bool_)
        # The slack covers rounding, so that no split is lost; what XGBoost would not split is found out later anyway.
        least = 2 * self._regularisation.min_child_weight * (1 - 1e-9)
        return np.asarray((hessians >= least).any(axis=1))

    def _sort_rows(self, level: Level, splits: Splits) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sort the rows of nodes into their children; ranges of the children, siblings side by side."""
        middles = np.empty(len(level.nodes), dtype=np.int64)
        partition_rows(
            self._columns,
            self._rows,
            level.begins,
            level.ends,
            splits.feature,
            splits.bin,
            splits.default_left,
            self._buffer,
            middles,
        )
        begins = np.column_stack([level.begins, middles]).reshape(-1)
        return begins, np.column_stack([middles, level.ends]).reshape(-1)


def _checked_bits(bits: int | None, most: int) -> int:
    if bits is None:
        return most
    if not 1 <= bits <= most:
        raise ConfigurationError(f"{bits} fractional bits asked for; with these weights 1 to {most} are possible")
    return bits
