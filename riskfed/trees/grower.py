"""One party's side of growing trees from summed histograms.

    grower = Grower(codes, labels, weights, cuts, job, total_weight=..., base_score=..., threads=2)
    for _ in range(job.n_estimators):
        grower.begin_tree()
        while grower.has_open_nodes():
            local = grower.histograms()        # leaves the party, protected, in as many bits as grower.bounds() have
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

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import LocalProtocolError, RemoteProtocolError
from riskfed.jobs import XgboostParameters
from riskfed.storage import MEMORY, Storage
from riskfed.trees.cuts import Cuts
from riskfed.trees.histogram import fixed_point_bits
from riskfed.trees.levelwise import LevelwiseGrower
from riskfed.trees.logit import margin_of
from riskfed.trees.split import Evaluator
from riskfed.trees.sum_bounds import SumBounds
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.tree import Tree
from riskfed.trees.workers import Workers

_Sums = NDArray[np.int64]


class Grower(LevelwiseGrower):
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
        job: XgboostParameters,
        *,
        total_weight: float,
        base_score: float,
        bits: int | None = None,
        storage: Storage = MEMORY,
        threads: int = 1,
    ) -> None:
        # A default weighs up to scale_pos_weight times its sample weight.
        heaviest = total_weight * max(1.0, job.scale_pos_weight)
        bits = fixed_point_bits(heaviest, bits)
        self._bounds = SumBounds(heaviest, bits, base_score, cuts.total_bins)
        self.sum_bound = self._bounds.gradients
        workers = Workers(threads)
        rows = TrainingRows(
            codes,
            labels,
            weights,
            cuts,
            scale_pos_weight=job.scale_pos_weight,
            margin=margin_of(base_score),
            storage=storage,
            workers=workers,
        )
        super().__init__(rows, cuts, Evaluator.of(job, cuts, bits), job, bits, workers)

    def histograms(self) -> _Sums:
        """This party's part of the sum that the next splits need.

        Returns:
            1-D int64, of the same length at all parties. At the root, its histogram, the sums of g and h over all records, and
            whether there are faint ones (see `riskfed.trees.sum_bounds`). Below, a histogram for each two open siblings: that of the
            child with the smaller pooled hessian, since the other's is the parent's less this.

        Raises:
            LocalProtocolError: no node is open.
        """
        self._expect_open_nodes()
        parts = self._rows.histograms(self._level.ranges.where(self._wanted())).reshape(-1)
        return parts if self._depth > 0 else np.concatenate([parts, self._totals, [int(self._faint > 0)]])

    def bounds(self) -> _Sums:
        """Bounds of the sum of all parties' `histograms`, of the same shape, in absolute value; the same at all parties.

        No party's own numbers are above them either. Where a bound is 0, so is the sum.

        Raises:
            LocalProtocolError: no node is open.
        """
        self._expect_open_nodes()
        if self._depth == 0:
            return self._bounds.at_root()
        hessians = self._level.sums.sums[self._wanted(), 1]
        return self._bounds.below(self._parents[self._positions], hessians).reshape(-1)

    def split(self, pooled: _Sums) -> None:
        """Split the open nodes by the pooled sum, and sort this party's records into the children.

        Args:
            pooled: the sum of what all parties' `histograms` returned, of the same shape.

        Raises:
            LocalProtocolError: no node is open.
            RemoteProtocolError: the sum has another shape or type, or holds numbers that no records give.
        """
        self._expect_open_nodes()
        wanted = len(self._wanted())
        size = wanted * 2 * self._cuts.total_bins
        expected = (size + 3,) if self._depth == 0 else (size,)
        if pooled.dtype != np.int64 or pooled.shape != expected:
            raise RemoteProtocolError(f"got a {pooled.dtype} sum of shape {pooled.shape}, expected int64 {expected}")
        histograms, plausible = self._complete(pooled[:size].reshape(wanted, -1), pooled[size : size + 2])
        if not plausible:
            raise RemoteProtocolError("the pooled sum holds negative hessians: a party or the protection is at fault")
        if self._depth == 0:
            self._bounds.learn_root(histograms[0], faint=bool(pooled[-1]))
        splits = self._search(histograms)
        chosen = self._close_leaves(histograms, splits)
        made = splits.where(chosen)
        self._descend(self._level.where(chosen), made, self._evaluator.constraints[made.features])

    def end_tree(self) -> Tree:
        """See `LevelwiseGrower.end_tree`."""
        tree = super().end_tree()
        self._bounds.learn_tree(tree)
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
            self._bounds.learn_tree(tree)
        self.trees.extend(bound)
