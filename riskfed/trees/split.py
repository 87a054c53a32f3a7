"""Search for the best split of a node, in the float32 arithmetic of XGBoost 3.2's `hist` evaluator.

Gain and weight are those of Chen and Guestrin (2016), equations 5 to 7, with an L1 term. XGBoost mixes double and float32 in
a fixed pattern; which candidate wins, and the last bit of every leaf, depend on that pattern, so it is kept here:

* sums are double; a leaf's weight ``-G / (H + lambda)`` is computed in double and rounded to float32;
* without constraints, a side's gain is ``float32(G^2) / float32(H + lambda)``, the division in float32;
* with monotone constraints it is ``-(2 G w + (H + lambda) w^2)``, every factor and step in float32, w within its bounds;
* gains of sides add up in float32, and the parent's gain is taken off in float32.

Candidates are tried by ascending feature; first with missing values on the right, by ascending bin, the last bin included;
then, if the node has missing values in the feature, with missing values on the left, by descending bin. A later candidate
wins only if it is strictly better, so ties go to the first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.jobs import XgboostParameters
from riskfed.trees.cuts import Cuts

_TWO = np.float32(2)
_ZERO = np.float32(0)


class Regularisation(NamedTuple):
    """What gains and weights depend on beside the sums. Numbers only: compiled code passes it on without counting references.

    Attributes:
        reg_lambda, reg_alpha, min_child_weight: the job's, rounded to float32 and held in double.
        constrained: whether any feature has a monotone constraint, which changes the arithmetic of all.
    """

    reg_lambda: float
    reg_alpha: float
    min_child_weight: float
    constrained: bool


class Evaluator(NamedTuple):
    """What a search depends on beside the sums.

    Attributes:
        offsets: (n_features + 1,) int64 first bin of each feature.
        constraints: (n_features,) int8, 1 increasing, -1 decreasing, 0 free.
        unit: 2^-q, what one fixed-point unit is worth.
        regularisation: see there.
    """

    offsets: NDArray[np.int64]
    constraints: NDArray[np.int8]
    unit: float
    regularisation: Regularisation

    @classmethod
    def of(cls, job: XgboostParameters, cuts: Cuts, bits: int) -> Evaluator:
        """The evaluator of a job on ``cuts`` with ``bits`` fractional bits.

        Raises:
            JobError: a constraint names a column that the cuts do not have.
        """
        return cls.over(job, cuts.n_bins, np.array(job.constraints_for(cuts.feature_names), dtype=np.int8), bits)

    @classmethod
    def over(
        cls, job: XgboostParameters, n_bins: NDArray[np.int64], constraints: NDArray[np.int8], bits: int
    ) -> Evaluator:
        """The evaluator of a job on columns of which only the (n_features,) numbers of bins and constraints are known."""
        return cls(
            offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(n_bins, dtype=np.int64)]),
            constraints=constraints,
            unit=2.0**-bits,
            regularisation=Regularisation(
                reg_lambda=float(np.float32(job.reg_lambda)),
                reg_alpha=float(np.float32(job.reg_alpha)),
                min_child_weight=float(np.float32(job.min_child_weight)),
                constrained=bool(constraints.any()),
            ),
        )


class NodeSums(NamedTuple):
    """What is known of k nodes before they are split.

    Attributes:
        sums: (k, 2) int64 pooled fixed-point g and h, records with missing values included.
        gains: (k,) float32 `node_gain`.
        bounds: (k, 2) float32 between which monotone constraints keep the weights.
    """

    sums: NDArray[np.int64]
    gains: NDArray[np.float32]
    bounds: NDArray[np.float32]

    def where(self, chosen: NDArray[np.bool_]) -> NodeSums:
        """Some of the nodes."""
        return NodeSums(self.sums[chosen], self.gains[chosen], self.bounds[chosen])


class Splits(NamedTuple):
    """The best split of each of k nodes.

    Attributes:
        gains: (k,) float32 loss reduction; 0 where no split reduces the loss.
        features: (k,) int32.
        bins: (k,) int16, the last bin that goes left; -1 if only missing values do.
        default_left: (k,) uint8, 1 if missing values go left.
        left: (k, 2) int64, fixed-point sums of g and h on the left.
    """

    gains: NDArray[np.float32]
    features: NDArray[np.int32]
    bins: NDArray[np.int16]
    default_left: NDArray[np.uint8]
    left: NDArray[np.int64]

    @classmethod
    def none(cls, n_nodes: int) -> Splits:
        """Room for the splits of ``n_nodes`` nodes, none found yet."""
        return cls(
            gains=np.zeros(n_nodes, dtype=np.float32),
            features=np.zeros(n_nodes, dtype=np.int32),
            bins=np.zeros(n_nodes, dtype=np.int16),
            default_left=np.zeros(n_nodes, dtype=np.uint8),
            left=np.zeros((n_nodes, 2), dtype=np.int64),
        )

    def where(self, chosen: NDArray[np.bool_]) -> Splits:
        """The splits of some of the nodes."""
        return Splits(
            self.gains[chosen], self.features[chosen], self.bins[chosen], self.default_left[chosen], self.left[chosen]
        )


@njit(cache=True, nogil=True, error_model="numpy")
def leaf_weight(g: float, h: float, bounds: tuple[np.float32, np.float32], r: Regularisation) -> np.float32:
    """float32 weight of a node with the sums g and h, before shrinkage, within its lower and upper bound."""
    weight = _ZERO
    if h >= r.min_child_weight and h > 0.0:
        weight = np.float32(-_soft_threshold(g, r.reg_alpha) / (h + r.reg_lambda))
    if r.constrained:
        weight = min(max(weight, bounds[0]), bounds[1])
    return weight


@njit(cache=True, nogil=True, error_model="numpy")
def node_gain(g: float, h: float, weight: np.float32, r: Regularisation) -> np.float32:
    """float32 gain of a node with the sums g and h that takes ``weight``."""
    if h <= 0.0:
        return _ZERO
    if r.constrained:
        regularised = np.float32(h) + np.float32(r.reg_lambda)
        return -(_TWO * np.float32(g) * weight + regularised * (weight * weight))
    shrunk = _soft_threshold(g, r.reg_alpha)
    return np.float32(shrunk * shrunk) / np.float32(h + r.reg_lambda)


@njit(cache=True, nogil=True)
def _soft_threshold(g: float, alpha: float) -> float:
    if g > alpha:
        return g - alpha
    if g < -alpha:
        return g + alpha
    return 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _gain_of_sides(
    left: tuple[float, float],
    right: tuple[float, float],
    constraint: int,
    bounds: tuple[np.float32, np.float32],
    r: Regularisation,
) -> np.float32:
    """Gain of both sides, each given by its sums (g, h); minus infinity if the constraint forbids the split."""
    if not r.constrained:
        return node_gain(left[0], left[1], _ZERO, r) + node_gain(right[0], right[1], _ZERO, r)
    left_weight = leaf_weight(left[0], left[1], bounds, r)
    right_weight = leaf_weight(right[0], right[1], bounds, r)
    if (constraint > 0 and left_weight > right_weight) or (constraint < 0 and left_weight < right_weight):
        return np.float32(-np.inf)
    left_gain = node_gain(left[0], left[1], left_weight, r)
    return left_gain + node_gain(right[0], right[1], right_weight, r)


@njit(cache=True, nogil=True, error_model="numpy")
def find_splits(
    histograms: NDArray[np.int64], nodes: NodeSums, evaluator: Evaluator, chosen: NDArray[np.int64], splits: Splits
) -> None:
    """Find the best splits of some of k nodes.

    Args:
        histograms: (k, 2 * total_bins) int64, pooled.
        nodes: the k nodes.
        evaluator: bins, units and parameters.
        chosen: positions of the nodes whose splits are wanted.
        splits: filled in for these; from `Splits.none`.
    """
    for node in chosen:
        for feature in range(evaluator.constraints.shape[0]):
            _try_feature(histograms, nodes, (node, feature), evaluator, splits)


def first_with_gain(
    histograms: NDArray[np.int64], nodes: NodeSums, evaluator: Evaluator, place: tuple[int, int], gain: np.float32
) -> Splits | None:
    """The first split of a node by one feature that has a certain gain; None if there is none.

    Args:
        histograms, nodes, evaluator: as in `find_splits`.
        place: node and feature.
        gain: the best that the node has over all features. The split is returned in place ``node`` of k splits.
    """
    splits = Splits.none(len(nodes.gains))
    # Only what is above counts as better, so the start lies just below.
    splits.gains[place[0]] = np.nextafter(gain, np.float32(-np.inf))
    _try_feature(histograms, nodes, place, evaluator, splits)
    return splits if splits.gains[place[0]] == gain else None


@njit(cache=True, nogil=True, error_model="numpy")
def _try_feature(
    histograms: NDArray[np.int64], nodes: NodeSums, place: tuple[int, int], evaluator: Evaluator, splits: Splits
) -> None:
    node, feature = place
    g, h = _scan(histograms, nodes, (node, feature, 1), evaluator, splits)
    # Sums are integers, so any difference at all means that some record lacks the feature.
    if g != nodes.sums[node, 0] or h != nodes.sums[node, 1]:
        _scan(histograms, nodes, (node, feature, -1), evaluator, splits)


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(
    histograms: NDArray[np.int64],
    nodes: NodeSums,
    scan: tuple[int, int, int],
    evaluator: Evaluator,
    splits: Splits,
) -> tuple[np.int64, np.int64]:
    """Try all bins of one feature; the sums of g and h over them.

    Args:
        scan: node, feature, and 1 for upwards with missing values on the right or -1 for downwards with them on the left.
    """
    node, feature, step = scan
    unit, r, constraint = evaluator.unit, evaluator.regularisation, evaluator.constraints[feature]
    begin, end = evaluator.offsets[feature], evaluator.offsets[feature + 1]
    bounds, parent_gain = (nodes.bounds[node, 0], nodes.bounds[node, 1]), nodes.gains[node]
    total_g, total_h = nodes.sums[node, 0], nodes.sums[node, 1]
    parent_g, parent_h = total_g * unit, total_h * unit
    best = splits.gains[node]
    g = h = np.int64(0)
    for place in range(end - begin):
        index = begin + place if step > 0 else end - 1 - place
        g += histograms[node, 2 * index]
        h += histograms[node, 2 * index + 1]
        scanned = (g * unit, h * unit)
        others = (parent_g - scanned[0], parent_h - scanned[1])
        if scanned[1] < r.min_child_weight or others[1] < r.min_child_weight:
            continue
        left, right = (scanned, others) if step > 0 else (others, scanned)
        gain = _gain_of_sides(left, right, constraint, bounds, r) - parent_gain
        if best < gain < np.inf:
            best = splits.gains[node] = gain
            splits.features[node] = feature
            splits.bins[node] = index - begin if step > 0 else index - begin - 1
            splits.default_left[node] = 0 if step > 0 else 1
            splits.left[node, 0] = g if step > 0 else total_g - g
            splits.left[node, 1] = h if step > 0 else total_h - h
    return g, h


@njit(cache=True, nogil=True, error_model="numpy")
def weigh_children(
    nodes: NodeSums, splits: Splits, evaluator: Evaluator, weights: NDArray[np.float32], gains: NDArray[np.float32]
) -> None:
    """Weights and gains on both sides of k splits. XGBoost clips all of them by the bounds of the node that is split.

    Args:
        nodes, splits: the k nodes and the splits chosen for them.
        weights: (k, 3) float32, filled with the weights of node, left and right child, before shrinkage.
        gains: (k, 2) float32, filled with `node_gain` of left and right child.
    """
    unit, r = evaluator.unit, evaluator.regularisation
    for node in range(weights.shape[0]):
        bounds = (nodes.bounds[node, 0], nodes.bounds[node, 1])
        g, h = splits.left[node, 0] * unit, splits.left[node, 1] * unit
        other_g, other_h = nodes.sums[node, 0] * unit - g, nodes.sums[node, 1] * unit - h
        weights[node, 0] = leaf_weight(g + other_g, h + other_h, bounds, r)
        weights[node, 1] = leaf_weight(g, h, bounds, r)
        weights[node, 2] = leaf_weight(other_g, other_h, bounds, r)
        gains[node, 0] = node_gain(g, h, weights[node, 1], r)
        gains[node, 1] = node_gain(other_g, other_h, weights[node, 2], r)
