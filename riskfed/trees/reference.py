"""Plain xgboost on pooled records with the federation's cuts: what federated trees are compared with.

Needs xgboost; nothing else in this package does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError
from riskfed.jobs import XgboostParameters
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.cuts import MAX_BINS, MISSING, Cuts, cuts_from_order_statistics
from riskfed.trees.tree import Tree

if TYPE_CHECKING:
    import xgboost


def train_pooled(
    matrix: NDArray[np.float32],
    labels: ArrayLike,
    weights: ArrayLike | None,
    cuts: Cuts,
    job: XgboostParameters,
    *,
    base_score: float | None = None,
    watched: tuple[NDArray[np.float32], ArrayLike] | None = None,
    nthread: int = 1,
) -> xgboost.Booster:
    """Train xgboost itself on all records in one place.

    Args:
        matrix, labels, weights: (n, n_features) float32 with NaN where missing, (n,) 0 or 1, (n,) or None.
        cuts: the cuts that xgboost shall use.
        job: parameters.
        base_score: prior PD to be given to xgboost; None leaves it to ``job.base_score``, or else to xgboost's own estimate.
        watched: matrix and labels of held-out records. With them, and ``job.early_stopping_rounds``, XGBoost stops early and
            the trees up to the best one are kept; otherwise ``job.n_estimators`` trees are grown.
        nthread: threads of xgboost. With one, its sums have a fixed order.

    Raises:
        ConfigurationError: xgboost cannot be brought to use exactly these cuts.
    """
    import xgboost

    names, max_bin = list(cuts.feature_names), max(2, int(cuts.n_bins.max()))
    layout = {"feature_names": names, "max_bin": max_bin, "nthread": nthread}
    anchor = _matrix_with_cuts(cuts, layout)
    pooled = xgboost.QuantileDMatrix(matrix, labels, weight=weights, ref=anchor, **layout)
    parameters = xgboost_parameters(job, cuts.feature_names) | {"max_bin": max_bin, "nthread": nthread}
    if base_score is not None:
        parameters["base_score"] = base_score
    if watched is None or job.early_stopping_rounds is None:
        return xgboost.train(parameters, pooled, job.n_estimators)
    held_out = xgboost.QuantileDMatrix(*watched, ref=pooled, **layout)
    return _stopped_early(parameters, pooled, held_out, job)


def train_on_bins(
    matrix: NDArray[np.float32],
    labels: ArrayLike,
    weights: ArrayLike | None,
    cuts: Cuts,
    job: XgboostParameters,
    *,
    base_score: float | None = None,
    watched: tuple[NDArray[np.float32], ArrayLike] | None = None,
) -> bytes:
    """Train xgboost itself on the numbers of the bins, and put the cuts into its trees: for cuts that xgboost cannot be given.

    A tree is grown from bins, and what stands for a bin makes no difference to it. Where `train_pooled` takes the cuts, this gives the
    same bytes.

    Args:
        matrix, labels, weights, cuts, job, base_score, watched: as for `train_pooled`.

    Returns:
        JSON of the booster.
    """
    numbered = [cuts_from_order_statistics(0.0, np.arange(n, dtype=np.float32), n - 1.0) for n in cuts.n_bins.tolist()]
    bins = Cuts(tuple(points for points, _ in numbered), np.array([low for _, low in numbered]), cuts.schema)
    held_out = None if watched is None else (_bin_numbers(watched[0], cuts), watched[1])
    booster = train_pooled(
        _bin_numbers(matrix, cuts), labels, weights, bins, job, base_score=base_score, watched=held_out
    )
    trees, prior, names = parse_booster(bytes(booster.save_raw("json")))
    return booster_json([_with_cuts(tree.with_bins(bins), cuts) for tree in trees], names, job, prior)


def _bin_numbers(matrix: NDArray[np.float32], cuts: Cuts) -> NDArray[np.float32]:
    """(n, n_features) float32 numbers of bins, NaN where missing."""
    codes = cuts.bin(matrix.T.__getitem__, len(matrix)).T.astype(np.float32)
    codes[(codes == MISSING) & (cuts.n_bins < MAX_BINS)] = np.nan
    return codes


def _with_cuts(tree: Tree, cuts: Cuts) -> Tree:
    """A tree that was grown on numbers of bins, with the cuts for thresholds."""
    conditions, last = tree.split_conditions.copy(), tree.split_bins
    for node in np.flatnonzero(~tree.is_leaf).tolist():
        feature = tree.split_indices[node]
        at = -1 if last is None else int(last[node])
        conditions[node] = cuts.values[feature][at] if at >= 0 else cuts.min_values[feature]
    return replace(tree, split_conditions=conditions)


def _stopped_early(
    parameters: dict[str, Any], pooled: xgboost.DMatrix, held_out: xgboost.DMatrix, job: XgboostParameters
) -> xgboost.Booster:
    import xgboost

    booster = xgboost.train(
        parameters | {"eval_metric": job.eval_metric},
        pooled,
        job.n_estimators,
        evals=[(held_out, "held_out")],
        early_stopping_rounds=job.early_stopping_rounds,
        verbose_eval=False,
    )
    kept = booster[: booster.best_iteration + 1]
    kept.set_attr(best_iteration=None, best_score=None)
    return kept


def xgboost_parameters(job: XgboostParameters, columns: tuple[str, ...]) -> dict[str, Any]:
    """The parameters with which ``xgboost.train`` does what the job asks for."""
    parameters: dict[str, Any] = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "depthwise",
        "max_depth": job.max_depth,
        "learning_rate": job.learning_rate,
        "reg_lambda": job.reg_lambda,
        "reg_alpha": job.reg_alpha,
        "gamma": job.gamma,
        "min_child_weight": job.min_child_weight,
        "max_bin": job.max_bin,
        "scale_pos_weight": job.scale_pos_weight,
    }
    if job.base_score is not None:
        parameters["base_score"] = job.base_score
    if any(job.monotone_constraints.values()):
        parameters["monotone_constraints"] = job.constraints_for(columns)
    return parameters


def cuts_of(matrix: xgboost.QuantileDMatrix) -> Cuts:
    """The cuts that xgboost made for a matrix, without a schema."""
    pointers, values = matrix.get_quantile_cut()
    ranges = list(zip(pointers[:-1].tolist(), pointers[1:].tolist(), strict=True))
    # xgboost puts the minimum in front of each feature's cuts.
    return Cuts(
        values=tuple(values[begin + 1 : end].astype(np.float32) for begin, end in ranges),
        min_values=np.array([values[begin] for begin, _ in ranges], dtype=np.float32),
    )


def _matrix_with_cuts(cuts: Cuts, layout: dict[str, Any]) -> xgboost.QuantileDMatrix:
    """A small matrix from which xgboost derives exactly ``cuts``.

    xgboost takes no cuts from outside, but it takes them from another matrix, and where a feature has no more distinct values
    than ``max_bin``, its cuts are those values above the smallest one, and a last one that follows from the largest.
    """
    import xgboost

    columns = [_values_with_cuts(points, low) for points, low in zip(cuts.values, cuts.min_values, strict=True)]
    rows = np.full((max(1, *map(len, columns)), cuts.n_features), np.nan, dtype=np.float32)
    for feature, column in enumerate(columns):
        rows[: len(column), feature] = column
    anchor = xgboost.QuantileDMatrix(rows, **layout)
    made = cuts_of(anchor)
    for feature, name in enumerate(cuts.feature_names):
        if not (
            np.array_equal(made.values[feature], cuts.values[feature])
            and made.min_values[feature] == cuts.min_values[feature]
        ):
            raise ConfigurationError(
                f"xgboost cannot be given the cuts of {name}: the last cut must follow from the one before it, and the minimum "
                "from a value below the first, by XGBoost's rule (see cuts_from_order_statistics)"
            )
    return anchor


def _values_with_cuts(points: NDArray[np.float32], below: np.float32) -> NDArray[np.float32]:
    """Distinct values of a column that gets the cuts ``points`` and the minimum ``below``; none if there is no such column."""
    inner, last = points[:-1], points[-1]
    # The smallest value is known only through the rounded numbers that follow from it: try the neighbours of both inverses.
    guesses = [(float(below) + 1e-5) / 2, (float(last) - 1e-5) / 2]
    tried = np.concatenate([np.zeros(1, dtype=np.float32), *(_neighbours(np.float32(guess)) for guess in guesses)])
    for smallest in tried[tried < points[0]]:
        made, made_below = cuts_from_order_statistics(smallest, inner, inner[-1] if len(inner) else smallest)
        if made_below == below and made[-1] == last:
            return np.append(smallest, inner)
    return np.empty(0, dtype=np.float32)


def _neighbours(value: np.float32, reach: int = 8) -> NDArray[np.float32]:
    """The float32 numbers nearest to a value, itself among them."""
    return np.asarray(value + np.arange(-reach, reach + 1, dtype=np.float32) * np.spacing(value))


def with_last_cuts_of_xgboost(cuts: Cuts) -> Cuts:
    """The same cuts but the last of each feature, which becomes what xgboost derives from the one before it.

    So `train_pooled` can be given cuts from which some were left out. Where no value is missing, no split is at a last cut, and trees are
    the same.
    """
    values, minima = list(cuts.values), cuts.min_values.copy()
    for feature, points in enumerate(cuts.values):
        if len(points) > 1:
            values[feature], _ = cuts_from_order_statistics(minima[feature], points[:-1], points[-2])
        else:
            values[feature], minima[feature] = cuts_from_order_statistics(0.0, (), 0.0)
    return Cuts(tuple(values), minima, cuts.schema)


def identical_trees(left: Sequence[Tree], right: Sequence[Tree]) -> int:
    """How many trees, in the same place, are equal to the last bit in children, features, thresholds, leaves and defaults."""
    return sum(_identical(a, b) for a, b in zip(left, right, strict=False))


def _identical(left: Tree, right: Tree) -> bool:
    names = ("left_children", "right_children", "split_indices", "split_conditions", "default_left")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)
