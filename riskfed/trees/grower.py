"""One party's side of growing trees from summed histograms.

    grower = Grower(codes, labels, weights, cuts, job, total_weight=..., base_score=..., threads=2)
    for _ in range(job.n_estimators):
        grower.begin_tree()
        while grower.has_open_nodes():
            local = grower.histograms()        # leaves the party, protected
            grower.split(pooled)               # the sum of all parties' local arrays
        grower.end_tree()

Trees grow level by level as in XGBoost's `hist` with ``grow_policy=depthwise``. All choices follow from the pooled numbers
alone, so all parties grow the same tree; a party's own records only decide what it adds to the next sum. Nothing here does
any I/O, and a party may hold no record at all.

Where equality with XGBoost ends: a gradient below 2^-q is rounded away, which XGBoost's double sums keep. It takes records
with margins beyond 16 or so (PD within 1e-7 of 0 or 1), and shows in a leaf only if such records are alone in it and neither
``reg_lambda`` nor ``min_child_weight`` outweighs them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import LocalProtocolError, RemoteProtocolError
from riskfed.jobs import HorizontalXgboost
from riskfed.storage import MEMORY, Storage
from riskfed.trees.cuts import Cuts
from riskfed.trees.draft import FREE, Draft, Level, child_bounds
from riskfed.trees.histogram import derive_siblings, fixed_point_bits
from riskfed.trees.logit import margin_of
from riskfed.trees.partition import RowRanges
from riskfed.trees.split import Evaluator, NodeSums, Splits, find_splits, leaf_weight, node_gain, weigh_children
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.tree import Tree
from riskfed.trees.workers import Workers

_LEAST_GAIN = np.float32(1e-6)
_CELLS_FOR_THREADS = 1 << 15
_Sums = NDArray[np.int64]


class Grower:
    """Grows the pooled trees on one party's records.

    Args:
        codes: (n_features, n) uint8 from `Cuts.bin`; n may be 0.
        labels: (n,) 0 or 1.
        weights: (n,) float32 sample weights, without ``scale_pos_weight``.
        cuts: the cuts shared by all parties.
        job: the parameters shared by all parties.
        total_weight: sum of the sample weights of all parties, the same number at each; it fixes `bits`.
        base_score: prior PD of the pooled records (see `logit.estimate_base_score`).
        bits: fewer fractional bits than int64 has room for, for narrower sums. From 34 on, the trees stay identical to
            XGBoost's in practice; below 26 leaves differ visibly.
        storage: where arrays of about the records' size are made.
        threads: how many work on the records. Trees do not depend on it.

    Raises:
        ConfigurationError: shapes or types do not fit together, or there is no room for `bits` fractional bits.
        ContractError: a label is not 0 or 1, or a weight is negative or not finite.
        JobError: a constraint names an unknown column; a weight sum or prior PD is impossible.

    Attributes:
        trees: the trees grown so far.
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
        storage: Storage = MEMORY,
        threads: int = 1,
    ) -> None:
        self.trees: list[Tree] = []
        self._job, self._cuts = job, cuts
        # A default weighs up to scale_pos_weight times its sample weight.
        heaviest = total_weight * max(1.0, job.scale_pos_weight)
        self.bits = fixed_point_bits(heaviest, bits)
        # Rounding adds half a unit a record, and float32 products 2^-24 of the whole: covered by 2^32 and 2^-20 of the whole.
        self.sum_bound = math.ceil(heaviest * 2**self.bits * (1 + 2**-20)) + 2**32
        self._evaluator = Evaluator.of(job, cuts, self.bits)

        self._workers = Workers(threads)
        self._rows = TrainingRows(
            codes,
            labels,
            weights,
            cuts,
            scale_pos_weight=job.scale_pos_weight,
            margin=margin_of(base_score),
            storage=storage,
            workers=self._workers,
        )
        self._draft: Draft | None = None
        self._clear()

    @property
    def margins(self) -> NDArray[np.float32]:
        """(n,) float32 margin of each record under `trees`."""
        return self._rows.margins

    def _clear(self) -> None:
        self._draft = None
        self._depth = 0
        self._level = Level.empty(self._rows.no_rows())
        # Pooled histograms of the level above, and where among them the parent of each two siblings is.
        self._parents: _Sums = np.empty((0, 2 * self._cuts.total_bins), dtype=np.int64)
        self._positions = np.empty(0, dtype=np.int64)
        # What end_tree adds to the margins: leaves, and splits whose children are both leaves, with their values.
        self._leaves: list[tuple[RowRanges, NDArray[np.float32]]] = []
        self._twins: list[tuple[RowRanges, Splits, NDArray[np.float32]]] = []

    def begin_tree(self) -> None:
        """Compute the gradients of all records from their margins and open the root.

        Raises:
            LocalProtocolError: the tree before was neither ended nor abandoned.
        """
        if self._draft is not None:
            raise LocalProtocolError("begin_tree: the tree before is unfinished; call end_tree or abandon_tree")
        root, self._totals = self._rows.begin_tree(2.0**self.bits)
        self._draft = Draft(self._cuts, self._job.max_depth, self._job.learning_rate)
        self._level = Level.root(root)

    def abandon_tree(self) -> None:
        """Forget an unfinished tree, if there is one. The margins are still those of `trees`, so it can be begun anew."""
        self._clear()

    def has_open_nodes(self) -> bool:
        """Whether the tree can still grow, that is whether another sum is needed."""
        return len(self._level.ids) > 0

    def histograms(self) -> _Sums:
        """This party's part of the sum that the next splits need.

        Returns:
            1-D int64, of the same length at all parties. At the root, its histogram and the sums of g and h over all records.
            Below, a histogram for each two open siblings: that of the child with the smaller pooled hessian, since the
            other's is the parent's less this.

        Raises:
            LocalProtocolError: no node is open.
        """
        self._expect_open_nodes()
        parts = self._rows.histograms(self._level.ranges.where(self._wanted())).reshape(-1)
        return parts if self._depth > 0 else np.append(parts, self._totals)

    def split(self, pooled: _Sums) -> None:
        """Split the open nodes by the pooled sum, and sort this party's records into the children.

        Args:
            pooled: the sum of what all parties' `histograms` returned, of the same shape.

        Raises:
            LocalProtocolError: no node is open.
            RemoteProtocolError: the sum has another shape or type, or holds numbers that no records give.
        """
        self._expect_open_nodes()
        histograms = self._complete(pooled)
        level, splits = self._level, Splits.none(len(self._level.ids))
        # Few candidates are sooner tried than handed to another thread.
        shares = (
            self._workers.shares(len(level.ids))
            if histograms.size >= _CELLS_FOR_THREADS
            else [np.arange(len(level.ids))]
        )
        self._workers.map(lambda nodes: find_splits(histograms, level.sums, self._evaluator, nodes, splits), shares)
        chosen = self._worthwhile(level.sums, splits)
        rest = level.where(~chosen)
        self._leaves.append((rest.ranges, self._tree().values(rest.ids)))
        self._parents, self._positions = histograms, np.flatnonzero(chosen)
        self._descend(level.where(chosen), splits.where(chosen))

    def end_tree(self) -> Tree:
        """Add the leaves to the margins of this party's records, in float32, and the tree to `trees`.

        Raises:
            LocalProtocolError: no tree was begun, or nodes are still open.
        """
        if self.has_open_nodes():
            raise LocalProtocolError("end_tree: nodes are still open")
        tree = self._tree().finish()
        for ranges, values in self._leaves:
            self._rows.add_leaves(ranges, values)
        for ranges, splits, values in self._twins:
            self._rows.add_sibling_leaves(ranges, splits, values)
        self.trees.append(tree)
        self._clear()
        return tree

    def resume(self, trees: Sequence[Tree]) -> None:
        """Take over trees that were grown before on the same cuts. Margins become what they were then, to the last bit.

        Raises:
            LocalProtocolError: this grower has trees already, or a tree has thresholds that are not among the cuts.
        """
        if self.trees or self._draft is not None:
            raise LocalProtocolError("resume: only a grower without trees can take over others")
        bound = [tree if tree.split_bins is not None else tree.with_bins(self._cuts) for tree in trees]
        for tree in bound:
            self._rows.add_tree(tree)
        self.trees.extend(bound)

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
        hessians = self._level.sums.sums[:, 1].reshape(-1, 2)
        left = np.arange(0, len(self._level.ids), 2, dtype=np.int64)
        return left + (hessians[:, 1] < hessians[:, 0])

    def _complete(self, pooled: _Sums) -> _Sums:
        """(k, 2 * total_bins) pooled histograms of all open nodes, from those that were summed."""
        wanted = self._wanted()
        size = len(wanted) * 2 * self._cuts.total_bins
        expected = (size + 2,) if self._depth == 0 else (size,)
        if pooled.dtype != np.int64 or pooled.shape != expected:
            raise RemoteProtocolError(f"got a {pooled.dtype} sum of shape {pooled.shape}, expected int64 {expected}")
        summed = pooled[:size].reshape(len(wanted), -1)
        if self._depth == 0:
            histograms = summed.copy()
            self._open_root(pooled[size:].copy())
            plausible = bool((summed[:, 1::2] >= 0).all() and pooled[-1] >= 0)
        else:
            histograms = np.empty((2 * len(wanted), summed.shape[1]), dtype=np.int64)
            plausible = derive_siblings(self._parents, self._positions, summed, wanted, histograms)
        if not plausible:
            raise RemoteProtocolError("the pooled sum holds negative hessians: a party or the protection is at fault")
        return histograms

    def _open_root(self, sums: _Sums) -> None:
        g, h = (float(value) * self._evaluator.unit for value in sums)
        weight = np.float32(leaf_weight(g, h, FREE, self._evaluator.regularisation))
        gain = np.array([node_gain(g, h, weight, self._evaluator.regularisation)], dtype=np.float32)
        self._tree().set_root(weight, h)
        self._level = self._level._replace(sums=self._level.sums._replace(sums=sums.reshape(1, 2), gains=gain))

    def _worthwhile(self, nodes: NodeSums, splits: Splits) -> NDArray[np.bool_]:
        """Which splits are made: XGBoost wants more than 1e-6, no less than gamma, and a hessian above zero on both sides."""
        enough = (splits.gains > _LEAST_GAIN) & (splits.gains >= np.float32(self._job.gamma))
        return np.asarray(enough & (splits.left[:, 1] != 0) & (splits.left[:, 1] != nodes.sums[:, 1]))

    def _descend(self, level: Level, splits: Splits) -> None:
        """Make the splits of some nodes, and open those of their children that can be split again."""
        weights = np.empty((len(level.ids), 3), dtype=np.float32)
        gains = np.empty((len(level.ids), 2), dtype=np.float32)
        weigh_children(level.sums, splits, self._evaluator, weights, gains)
        sums = np.stack([splits.left, level.sums.sums - splits.left], axis=1)
        hessians = sums[:, :, 1] * self._evaluator.unit
        hessians = np.column_stack([hessians.sum(axis=1), hessians])
        children = self._tree().expand(level.ids, splits, weights, hessians)
        bounds = child_bounds(level.sums.bounds, weights[:, 1:], self._evaluator.constraints[splits.features])

        grow = self._can_grow(hessians[:, 1:])
        self._twins.append((level.ranges.where(~grow), splits.where(~grow), self._tree().values(children[~grow])))
        self._depth += 1
        self._positions = self._positions[grow]
        self._level = Level(
            ids=children[grow].reshape(-1),
            ranges=self._rows.sort(level.ranges.where(grow), splits.where(grow)),
            sums=NodeSums(sums[grow].reshape(-1, 2), gains[grow].reshape(-1), bounds[grow].reshape(-1, 2)),
        )

    def _can_grow(self, hessians: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which pairs of siblings, (k, 2) hessians, need histograms: those of which one has enough for two children."""
        if self._depth + 1 >= self._job.max_depth:
            return np.zeros(len(hessians), dtype=np.bool_)
        # The slack covers rounding, so that no split is lost: what XGBoost would not split is found out with its histogram.
        least = 2 * self._evaluator.regularisation.min_child_weight * (1 - 1e-9)
        return np.asarray((hessians >= least).any(axis=1))
