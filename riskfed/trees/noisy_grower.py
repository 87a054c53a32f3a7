"""Trees by the ordinary search for splits, from histograms that carry noise.

Three things differ from `riskfed.trees.grower.Grower`. Every open node is summed, not one of two siblings: both together cost no more of
a privacy budget, and a difference would carry the noise of two. Histograms are made consistent: the bins of a column that is never
missing must add up to the node's own sums, which were seen before, and the least-squares correction is to spread what they lack evenly
(Hay et al. 2010, "Boosting the accuracy of differentially private histograms through consistency", PVLDB 3). And a hessian may come out
negative."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from riskfed.jobs import XgboostParameters
from riskfed.trees.cuts import Cuts
from riskfed.trees.levelwise import LevelwiseGrower
from riskfed.trees.split import Evaluator
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.tree import Tree
from riskfed.trees.workers import Workers


class NoisyGrower(LevelwiseGrower):
    """Grows trees on one party's records, level by level, from pooled sums with noise. Monotone constraints hold as without.

    Args:
        rows: the party's records.
        cuts: shared by all parties.
        job: the parameters, `steadied`.
        bits: fractional bits of the sums of g and h.
        workers: the threads that search.
    """

    def __init__(self, rows: TrainingRows, cuts: Cuts, job: XgboostParameters, bits: int, workers: Workers) -> None:
        super().__init__(rows, cuts, Evaluator.of(job, cuts, bits), job, bits, workers)

    def histograms(self) -> NDArray[np.int64]:
        """1-D int64, g and h in turn: this party's histograms of all open nodes, and at the root its totals besides.

        Raises:
            LocalProtocolError: no node is open.
        """
        self._expect_open_nodes()
        parts = self._rows.histograms(self._level.ranges).reshape(-1)
        return parts if self._depth > 0 else np.append(parts, self._totals)

    def split(self, pooled: NDArray[np.int64]) -> None:
        """Split the open nodes by the sum of what all parties' `histograms` returned, with noise, and sort the records into the children.

        Raises:
            LocalProtocolError: no node is open.
        """
        self._expect_open_nodes()
        nodes = len(self._level.ids)
        size = nodes * 2 * self._cuts.total_bins
        if self._depth == 0:
            # With a hessian of 0 nothing is split, and a negative one is no cover.
            self._open_root(np.array([pooled[size], max(int(pooled[size + 1]), 0)], dtype=np.int64))
        histograms = consistent(pooled[:size].reshape(nodes, -1), self._level.sums.sums, self._cuts)
        splits = self._search(histograms)
        chosen = self._close_leaves(histograms, splits)
        made = splits.where(chosen)
        self._descend(self._level.where(chosen), made, self._evaluator.constraints[made.features])

    def resume(self, trees: Sequence[Tree]) -> None:
        """Take over trees that were grown before on the same cuts."""
        for tree in trees:
            bound = tree if tree.split_bins is not None else tree.with_bins(self._cuts)
            self._rows.add_tree(bound)
            self.trees.append(bound)


def consistent(histograms: NDArray[np.int64], sums: NDArray[np.int64], cuts: Cuts) -> NDArray[np.int64]:
    """Histograms whose bins add up to their nodes' sums, in all columns that are never missing.

    Args:
        histograms: (k, 2 * total_bins) int64 of k nodes.
        sums: (k, 2) int64 g and h of these.
        cuts: bins; its schema says which columns may be missing, and without one all may.
    """
    corrected = histograms.copy()
    for column, may_miss in enumerate(_may_miss(cuts)):
        if may_miss:
            continue
        span = slice(2 * int(cuts.offsets[column]), 2 * int(cuts.offsets[column + 1]))
        bins = corrected[:, span].reshape(len(sums), -1, 2)
        lacking = sums - bins.sum(axis=1)
        each, left = np.divmod(lacking, bins.shape[1])
        first = np.arange(bins.shape[1])[None, :, None] < left[:, None, :]
        corrected[:, span] += (each[:, None, :] + first).reshape(len(sums), -1)
    return corrected


def steadied(job: XgboostParameters, scale_g: float, scale_h: float, bins: int) -> XgboostParameters:
    """The job with regularisation that keeps splits and leaves from following noise.

    A side of a split is a sum of up to half of the bins, whose noise has a standard deviation of up to sqrt(bins) / 2 times a bin's once
    they are consistent. A side must weigh twice that, and lambda grows by it, so that a leaf just as heavy as its noise is halved.

    Args:
        job: as asked.
        scale_g, scale_h: standard deviation of the noise of a bin's g and h.
        bins: most of a column.
    """
    side = math.sqrt(bins) / 2
    return job.model_copy(
        update={
            "reg_lambda": job.reg_lambda + side * scale_g,
            "min_child_weight": max(job.min_child_weight, 2 * side * scale_h),
        }
    )


def _may_miss(cuts: Cuts) -> list[bool]:
    if cuts.schema is None:
        return [True] * cuts.n_features
    return [feature.nullable for feature in cuts.schema.features for _ in feature.columns]
