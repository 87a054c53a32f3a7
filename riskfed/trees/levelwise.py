"""How trees grow level by level, as in XGBoost's `hist` with ``grow_policy=depthwise``, whoever counts and whoever holds the columns.

All choices follow from summed histograms alone. `riskfed.trees.grower.Grower` grows on columns that every party has, of which each has
some records; `riskfed.trees.joint_grower.JointGrower` on records that every party has, of which each has some columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import LocalProtocolError
from riskfed.jobs import XgboostParameters
from riskfed.trees.cuts import Cuts
from riskfed.trees.draft import FREE, Draft, Level, child_bounds
from riskfed.trees.histogram import derive_siblings
from riskfed.trees.partition import RowRanges
from riskfed.trees.split import Evaluator, NodeSums, Splits, find_splits, leaf_weight, node_gain, weigh_children
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.tree import Tree
from riskfed.trees.workers import Workers

_LEAST_GAIN = np.float32(1e-6)
_CELLS_FOR_THREADS = 1 << 15


class LevelwiseGrower:
    """One party's trees, and the level of nodes that is open.

    Args:
        rows: the party's records.
        cuts: of the columns by which records are sorted.
        evaluator: of the columns that are searched for splits.
        job: the parameters.
        bits: fractional bits of the histograms.
        workers: the threads that search.

    Attributes:
        trees: the trees grown so far.
        bits: see above.
    """

    def __init__(
        self,
        rows: TrainingRows,
        cuts: Cuts,
        evaluator: Evaluator,
        job: XgboostParameters,
        bits: int,
        workers: Workers,
    ) -> None:
        self.trees: list[Tree] = []
        self.bits = bits
        self._rows, self._cuts, self._evaluator, self._job, self._workers = rows, cuts, evaluator, job, workers
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
        # Histograms of the level above, and where among them the parent of each two siblings is.
        self._parents: NDArray[np.int64] = np.empty((0, 0), dtype=np.int64)
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
        root, self._totals, self._faint = self._rows.begin_tree(2.0**self.bits)
        self._draft = Draft(self._cuts, self._job.max_depth, self._job.learning_rate)
        self._level = Level.root(root)

    def abandon_tree(self) -> None:
        """Forget an unfinished tree, if there is one. The margins are still those of `trees`, so it can be begun anew."""
        self._clear()

    def has_open_nodes(self) -> bool:
        """Whether the tree can still grow, that is whether another sum is needed."""
        return len(self._level.ids) > 0

    def end_tree(self) -> Tree:
        """Add the leaves to the margins of the records, in float32, and the tree to `trees`.

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

    def _complete(self, summed: NDArray[np.int64], totals: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
        """Histograms of all open nodes, from those of the nodes that are summed.

        Args:
            summed: (w, 2 b) int64 histograms of the `_wanted` nodes.
            totals: (2,) int64 sums of g and h over all records; read at the root only.

        Returns:
            (k, 2 b) int64, and whether every hessian is 0 or more, as it must be if the sums are sums over records.
        """
        if self._depth == 0:
            self._open_root(totals.copy())
            return summed.copy(), bool((summed[:, 1::2] >= 0).all() and totals[1] >= 0)
        wanted = self._wanted()
        histograms = np.empty((2 * len(wanted), summed.shape[1]), dtype=np.int64)
        return histograms, derive_siblings(self._parents, self._positions, summed, wanted, histograms)

    def _search(self, histograms: NDArray[np.int64]) -> Splits:
        """The best split of each open node."""
        nodes, splits = self._level.sums, Splits.none(len(self._level.ids))
        # Few candidates are sooner tried than handed to another thread.
        threaded = histograms.size >= _CELLS_FOR_THREADS
        shares = self._workers.shares(len(splits.gains)) if threaded else [np.arange(len(splits.gains))]
        self._workers.map(lambda some: find_splits(histograms, nodes, self._evaluator, some, splits), shares)
        return splits

    def _close_leaves(self, histograms: NDArray[np.int64], splits: Splits) -> NDArray[np.bool_]:
        """Which open nodes are split; the others are leaves from now on."""
        chosen = self._worthwhile(self._level.sums, splits)
        rest = self._level.where(~chosen)
        self._leaves.append((rest.ranges, self._tree().values(rest.ids)))
        self._parents, self._positions = histograms, np.flatnonzero(chosen)
        return chosen

    def _open_root(self, sums: NDArray[np.int64]) -> None:
        g, h = (float(value) * self._evaluator.unit for value in sums)
        weight = np.float32(leaf_weight(g, h, FREE, self._evaluator.regularisation))
        gain = np.array([node_gain(g, h, weight, self._evaluator.regularisation)], dtype=np.float32)
        self._tree().set_root(weight, h)
        self._level = self._level._replace(sums=self._level.sums._replace(sums=sums.reshape(1, 2), gains=gain))

    def _worthwhile(self, nodes: NodeSums, splits: Splits) -> NDArray[np.bool_]:
        """Which splits are made: XGBoost wants more than 1e-6, no less than gamma, and a hessian above zero on both sides."""
        enough = (splits.gains > _LEAST_GAIN) & (splits.gains >= np.float32(self._job.gamma))
        return np.asarray(enough & (splits.left[:, 1] != 0) & (splits.left[:, 1] != nodes.sums[:, 1]))

    def _descend(self, level: Level, splits: Splits, constraints: NDArray[np.int8]) -> None:
        """Make the splits of some nodes, and open those of their children that can be split again.

        Args:
            level: the k nodes.
            splits: of each, on the columns by which records are sorted.
            constraints: (k,) monotone constraint on each split.
        """
        weights = np.empty((len(level.ids), 3), dtype=np.float32)
        gains = np.empty((len(level.ids), 2), dtype=np.float32)
        weigh_children(level.sums, splits, self._evaluator, weights, gains)
        sums = np.stack([splits.left, level.sums.sums - splits.left], axis=1)
        hessians = sums[:, :, 1] * self._evaluator.unit
        hessians = np.column_stack([hessians.sum(axis=1), hessians])
        children = self._tree().expand(level.ids, splits, weights, hessians)
        bounds = child_bounds(level.sums.bounds, weights[:, 1:], constraints)

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
