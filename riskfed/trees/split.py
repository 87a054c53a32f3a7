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

from riskfed.jobs import HorizontalXgboost

_TWO = np.float32(2)
_ZERO = np.float32(0)


class Regularisation(NamedTuple):
    """A job's parameters as the evaluator uses them: rounded to float32, then held in double."""

    reg_lambda: float
    reg_alpha: float
    min_child_weight: float
    constrained: bool

    @classmethod
    def of(cls, job: HorizontalXgboost) -> Regularisation:
        """The view of a job."""
        return cls(
            reg_lambda=float(np.float32(job.reg_lambda)),
            reg_alpha=float(np.float32(job.reg_alpha)),
            min_child_weight=float(np.float32(job.min_child_weight)),
            constrained=any(job.monotone_constraints.values()),
        )


class Splits(NamedTuple):
    """The best split of each of k nodes.

    Attributes:
        gain: (k,) float32 loss reduction; 0 where no split reduces the loss.
        feature: (k,) int32.
        bin: (k,) int16, the last bin that goes left; -1 if only missing values do.
        default_left: (k,) uint8, 1 if missing values go left.
        left: (k, 2) int64, fixed-point sums of g and h on the left.
    """

    gain: NDArray[np.float32]
    feature: NDArray[np.int32]
    bin: NDArray[np.int16]
    default_left: NDArray[np.uint8]
    left: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> Splits:
        """The splits of some of the nodes."""
        return Splits(*(column[chosen] for column in self))

    @classmethod
    def none(cls, n_nodes: int) -> Splits:
        """Room for the splits of ``n_nodes`` nodes, none found yet."""
        return cls(
            gain=np.zeros(n_nodes, dtype=np.float32),
            feature=np.zeros(n_nodes, dtype=np.int32),
            bin=np.zeros(n_nodes, dtype=np.int16),
            default_left=np.zeros(n_nodes, dtype=np.uint8),
            left=np.zeros((n_nodes, 2), dtype=np.int64),
        )


@njit(cache=True, nogil=True, error_model="numpy")
def leaf_weight(g: float, h: float, lower: np.float32, upper: np.float32, regularisation: Regularisation) -> np.float32:
    """float32 weight of a node with the sums g and h, before shrinkage, within the bounds that constraints leave it."""
    if h < regularisation.min_child_weight or h <= 0.0:
        weight = _ZERO
    else:
        weight = np.float32(-_soft_threshold(g, regularisation.reg_alpha) / (h + regularisation.reg_lambda))
    if regularisation.constrained:
        weight = min(max(weight, lower), upper)
    return weight


@njit(cache=True, nogil=True, error_model="numpy")
def node_gain(g: float, h: float, weight: np.float32, regularisation: Regularisation) -> np.float32:
    """float32 gain of a node with the sums g and h that takes ``weight``."""
    if h <= 0.0:
        return _ZERO
    if regularisation.constrained:
        g32, h32 = np.float32(g), np.float32(h)
        return -(_TWO * g32 * weight + (h32 + np.float32(regularisation.reg_lambda)) * (weight * weight))
    shrunk = _soft_threshold(g, regularisation.reg_alpha)
    return np.float32(shrunk * shrunk) / np.float32(h + regularisation.reg_lambda)


@njit(cache=True, nogil=True)
def _soft_threshold(g: float, alpha: float) -> float:
    if g > alpha:
        return g - alpha
    if g < -alpha:
        return g + alpha
    return 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _split_gain(
    g: float,
    h: float,
    parent_g: float,
    parent_h: float,
    constraint: int,
    lower: np.float32,
    upper: np.float32,
    regularisation: Regularisation,
) -> np.float32:
    """Gain of both sides together, (g, h) being the left one; minus infinity if the constraint forbids the split."""
    if not regularisation.constrained:
        left = node_gain(g, h, _ZERO, regularisation)
        return left + node_gain(parent_g - g, parent_h - h, _ZERO, regularisation)
    left_weight = leaf_weight(g, h, lower, upper, regularisation)
    right_weight = leaf_weight(parent_g - g, parent_h - h, lower, upper, regularisation)
    if (constraint > 0 and left_weight > right_weight) or (constraint < 0 and left_weight < right_weight):
        return np.float32(-np.inf)
    left = node_gain(g, h, left_weight, regularisation)
    return left + node_gain(parent_g - g, parent_h - h, right_weight, regularisation)


@njit(cache=True, nogil=True, error_model="numpy")
def find_splits(
    histograms: NDArray[np.int64],
    sums: NDArray[np.int64],
    gains: NDArray[np.float32],
    bounds: NDArray[np.float32],
    offsets: NDArray[np.int64],
    constraints: NDArray[np.int8],
    unit: float,
    regularisation: Regularisation,
    splits: Splits,
) -> None:
    """Find the best split of each of k nodes.

    Args:
        histograms: (k, 2 * total_bins) int64, pooled.
        sums: (k, 2) int64, pooled g and h of each node, missing values included.
        gains: (k,) float32 `node_gain` of each node.
        bounds: (k, 2) float32 lower and upper bound of weights.
        offsets: (n_features + 1,) int64 first bin of each feature.
        constraints: (n_features,) int8, 1 increasing, -1 decreasing, 0 free.
        unit: 2^-q, what one fixed-point unit is worth.
        splits: filled in.
    """
    for node in range(histograms.shape[0]):
        for feature in range(constraints.shape[0]):
            g, h = _scan(
                histograms, sums, gains, bounds, offsets, constraints, unit, regularisation, splits, node, feature, 1
            )
            # Sums are integers, so any difference at all means that some record lacks the feature.
            if g != sums[node, 0] or h != sums[node, 1]:
                _scan(
                    histograms, sums, gains, bounds, offsets, constraints, unit, regularisation, splits, node, feature, -1
                )


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(
    histograms: NDArray[np.int64],
    sums: NDArray[np.int64],
    gains: NDArray[np.float32],
    bounds: NDArray[np.float32],
    offsets: NDArray[np.int64],
    constraints: NDArray[np.int8],
    unit: float,
    regularisation: Regularisation,
    splits: Splits,
    node: int,
    feature: int,
    step: int,
) -> tuple[int, int]:
    """Try the bins of one feature upwards (step 1, missing right) or downwards (step -1, missing left); sums of all bins."""
    lower, upper = bounds[node, 0], bounds[node, 1]
    total_g, total_h = sums[node, 0], sums[node, 1]
    parent_g, parent_h = total_g * unit, total_h * unit
    begin, end = (offsets[feature], offsets[feature + 1]) if step > 0 else (offsets[feature + 1] - 1, offsets[feature] - 1)
    g = h = np.int64(0)
    for index in range(begin, end, step):
        g += histograms[node, 2 * index]
        h += histograms[node, 2 * index + 1]
        scanned_h = h * unit
        if scanned_h < regularisation.min_child_weight or parent_h - scanned_h < regularisation.min_child_weight:
            continue
        left_g, left_h = (g, h) if step > 0 else (total_g - g, total_h - h)
        gain = _split_gain(
            left_g * unit, left_h * unit, parent_g, parent_h, constraints[feature], lower, upper, regularisation
        )
        gain -= gains[node]
        if gain > splits.gain[node] and gain < np.inf:
            splits.gain[node] = gain
            splits.feature[node] = feature
            splits.bin[node] = index - offsets[feature] - (0 if step > 0 else 1)
            splits.default_left[node] = 0 if step > 0 else 1
            splits.left[node, 0] = left_g
            splits.left[node, 1] = left_h
    return g, h


@njit(cache=True, nogil=True, error_model="numpy")
def weigh_children(
    sums: NDArray[np.int64],
    bounds: NDArray[np.float32],
    left: NDArray[np.int64],
    unit: float,
    regularisation: Regularisation,
    weights: NDArray[np.float32],
    gains: NDArray[np.float32],
) -> None:
    """Weights and gains on both sides of k chosen splits. XGBoost clips both by the bounds of the node that is split.

    Args:
        sums, bounds: (k, 2) of the nodes, as in `find_splits`.
        left: (k, 2) int64 sums of g and h on the left.
        unit: 2^-q.
        weights: (k, 3) float32, filled with the weights of node, left and right child, before shrinkage.
        gains: (k, 2) float32, filled with `node_gain` of left and right child.
    """
    for node in range(sums.shape[0]):
        lower, upper = bounds[node, 0], bounds[node, 1]
        g, h = left[node, 0] * unit, left[node, 1] * unit
        other_g, other_h = sums[node, 0] * unit - g, sums[node, 1] * unit - h
        weights[node, 0] = leaf_weight(g + other_g, h + other_h, lower, upper, regularisation)
        weights[node, 1] = leaf_weight(g, h, lower, upper, regularisation)
        weights[node, 2] = leaf_weight(other_g, other_h, lower, upper, regularisation)
        gains[node, 0] = node_gain(g, h, weights[node, 1], regularisation)
        gains[node, 1] = node_gain(other_g, other_h, weights[node, 2], regularisation)
