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
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.cuts import Cuts
from riskfed.trees.draft import Draft, NodeState
from riskfed.trees.gradient import effective_weights, fill_gradients
from riskfed.trees.histogram import build_histograms, fixed_point_bits, workspace
from riskfed.trees.logit import margin_of
from riskfed.trees.partition import add_leaves, add_sibling_leaves, partition_rows
from riskfed.trees.split import Regularisation, Splits, find_splits
from riskfed.trees.tree import Tree


class _Twins(NamedTuple):
    """A split both of whose children are leaves at once: records need not be sorted into them."""

    begin: int
    end: int
    feature: int
    bin: int
    default_left: int
    left_value: np.float32
    right_value: np.float32


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
        self._draft: Draft | None = None

    def begin_tree(self) -> None:
        """Compute the gradients of all records from their margins and open the root.

        Raises:
            LocalProtocolError: the tree before was not ended.
        """
        if self._draft is not None:
            raise LocalProtocolError("begin_tree: the tree before is unfinished; call end_tree or abandon_tree")
        fill_gradients(self.margins, self._labels, self._weights, 2.0**self.bits, self._gradients)
        self._rows[:] = np.arange(len(self._rows), dtype=np.int32)
        self._draft = Draft(self._job, self._cuts, self._constraints, self._regularisation, 2.0**-self.bits)
        self._level = [NodeState.root(len(self._rows))]
        self._pooled = np.zeros((0, 2 * self._cuts.total_bins), dtype=np.int64)
        self._leaves: list[tuple[int, int, np.float32]] = []
        self._twins: list[_Twins] = []

    def has_open_nodes(self) -> bool:
        """Whether the tree can still grow, that is whether another sum is needed."""
        return self._draft is not None and bool(self._level)

    def histograms(self) -> NDArray[np.int64]:
        """This party's part of the sum that the next splits need.

        Returns:
            1-D int64. At the root, its histogram and the sums of g and h over all records. Below, one histogram for each pair
            of open siblings: that of the child with the smaller pooled hessian, the other being the parent's less this.
            All parties give the same length.

        Raises:
            LocalProtocolError: no node is open.
        """
        self._expect_open("histograms")
        requested = self._level if self._at_root else [self._level[index] for index in self._smaller()]
        parts = np.empty((len(requested), 2 * self._cuts.total_bins), dtype=np.int64)
        begins = np.array([node.begin for node in requested], dtype=np.int64)
        ends = np.array([node.end for node in requested], dtype=np.int64)
        build_histograms(
            self._codes, self._gradients, self._rows, begins, ends, self._cuts.n_bins, self._counts, parts
        )
        if not self._at_root:
            return parts.reshape(-1)
        return np.concatenate([parts.reshape(-1), self._gradients.reshape(-1, 2).sum(axis=0)])

    def split(self, pooled: NDArray[np.int64]) -> None:
        """Split the open nodes by the pooled sum and sort this party's records into the children.

        Args:
            pooled: the sum of what all parties' `histograms` returned.

        Raises:
            LocalProtocolError: no node is open.
            RemoteProtocolError: the sum has the wrong shape or type, or numbers that no records can give.
        """
        draft = self._expect_open("split")
        histograms = self._all_histograms(self._checked_sum(pooled))
        splits = Splits.none(len(self._level))
        find_splits(
            histograms,
            np.array([(node.g, node.h) for node in self._level], dtype=np.int64),
            np.array([node.gain for node in self._level], dtype=np.float32),
            np.array([(node.lower, node.upper) for node in self._level], dtype=np.float32),
            self._cuts.offsets,
            self._constraints,
            2.0**-self.bits,
            self._regularisation,
            splits,
        )
        expanded = [index for index in range(len(self._level)) if draft.is_worth(splits, index)]
        for index in sorted(set(range(len(self._level))) - set(expanded)):
            node = self._level[index]
            self._leaves.append((node.begin, node.end, draft.leaf_value(node.id)))
        families = [(index, draft.expand(self._level[index], splits, index)) for index in expanded]
        self._sort_records(families, splits, histograms)

    def end_tree(self) -> Tree:
        """Add the tree's leaves to the margins of this party's records, in float32, and append the tree to `trees`.

        Raises:
            LocalProtocolError: nodes are still open, or no tree was begun.
        """
        if self._draft is None or self._level:
            raise LocalProtocolError("end_tree: nodes are still open, or no tree was begun")
        begins, ends, values = (np.array(column) for column in zip(*self._leaves, strict=True)) if self._leaves else _NOTHING
        add_leaves(self._rows, begins.astype(np.int64), ends.astype(np.int64), values.astype(np.float32), self.margins)
        if self._twins:
            begins, ends, features, bins, default_left, *values = (np.array(c) for c in zip(*self._twins, strict=True))
            add_sibling_leaves(
                self._columns,
                self._rows,
                begins.astype(np.int64),
                ends.astype(np.int64),
                features.astype(np.int32),
                bins.astype(np.int16),
                default_left.astype(np.uint8),
                np.stack(values, axis=1).astype(np.float32),
                self.margins,
            )
        tree = self._draft.finish()
        self._draft = None
        self.trees.append(tree)
        return tree
