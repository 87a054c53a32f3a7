"""Plain xgboost on pooled records with the federation's cuts: what federated trees are compared with.

Needs xgboost; nothing else in this package does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.cuts import Cuts, cuts_from_order_statistics
from riskfed.trees.tree import Tree

if TYPE_CHECKING:
    import xgboost


def train_pooled(
    matrix: NDArray[np.float32],
    labels: ArrayLike,
    weights: ArrayLike | None,
    cuts: Cuts,
    job: HorizontalXgboost,
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


def _stopped_early(
    parameters: dict[str, Any], pooled: xgboost.DMatrix, held_out: xgboost.DMatrix, job: HorizontalXgboost
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


def xgboost_parameters(job: HorizontalXgboost, columns: tuple[str, ...]) -> dict[str, Any]:
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


def identical_trees(left: Sequence[Tree], right: Sequence[Tree]) -> int:
    """How many trees, in the same place, are equal to the last bit in children, features, thresholds, leaves and defaults."""
    return sum(_identical(a, b) for a, b in zip(left, right, strict=False))


def _identical(left: Tree, right: Tree) -> bool:
    names = ("left_children", "right_children", "split_indices", "split_conditions", "default_left")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)
