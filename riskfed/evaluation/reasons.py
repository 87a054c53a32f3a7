"""Reason codes: which features speak most against an applicant, and how often each does.

A contribution is what a feature adds to the margin (log-odds of default): for trees the SHAP value (`riskfed.trees.contributions`), for a
scorecard beta * (WoE - mean WoE). Where a lender has to state the principal reasons of a refusal (12 CFR 1002.9, official
interpretation 9(b)(2)-1: more than four are not likely to help the applicant), these are the adverse ones, largest first.

Reasons are computed where the records are. Counts of them can be added up over banks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError
from riskfed.schema import Schema

MOST_REASONS: Final = 4
"""Principal reasons stated to an applicant, at most."""

NO_REASON: Final = -1

DECIMALS: Final = 9
"""Contributions are compared to so many decimals. What differs by less is rounding, which another machine may do otherwise."""


def grouped(contributions: ArrayLike, schema: Schema) -> NDArray[np.float64]:
    """Contributions of features from those of encoded columns: the columns of a one-hot feature are added up.

    Args:
        contributions: (n, n_columns) to the margin, or (n, n_columns + 1) with the expected margin in the last column, as
            `Contributions.of` and xgboost give them; that column is left out.
        schema: the schema that encoded the records.

    Returns:
        (n, n_features) float64, in the schema's order.

    Raises:
        ConfigurationError: another shape.
    """
    values = np.asarray(contributions, dtype=np.float64)
    widths = [len(feature.columns) for feature in schema.features]
    n_columns = sum(widths)
    if values.ndim != 2 or values.shape[1] not in {n_columns, n_columns + 1}:
        raise ConfigurationError(
            f"got contributions of shape {values.shape}, expected (n, {n_columns}) or (n, {n_columns + 1}): pass those of the "
            "schema's encoded columns"
        )
    starts = np.cumsum([0, *widths[:-1]])
    return np.asarray(np.add.reduceat(values[:, :n_columns], starts, axis=1))


def adverse_reasons(contributions: ArrayLike, most: int = MOST_REASONS) -> NDArray[np.int16]:
    """The features that raise each record's PD, the largest contribution first.

    Contributions are rounded to `DECIMALS` decimals first; what is then equal is ranked in the schema's order, and what is then 0 is no
    reason.

    Args:
        contributions: (n, n_features) to the margin, above 0 where the feature raises the PD.
        most: reasons for a record, at least 1.

    Returns:
        (n, most) int16 positions of features, `NO_REASON` (-1) behind the last reason.

    Raises:
        ConfigurationError: not a matrix, a contribution that is not finite, or ``most`` below 1.
    """
    values = np.asarray(contributions, dtype=np.float64)
    if values.ndim != 2 or most < 1:
        raise ConfigurationError(
            f"got contributions of shape {values.shape} and most={most}, expected (n, n_features) and 1 at least"
        )
    if not np.isfinite(values).all():
        raise ConfigurationError("a contribution is not finite: score complete records with a sound model")
    rounded = np.round(values, DECIMALS)
    ranked = np.argsort(-rounded, axis=1, kind="stable")[:, :most]
    adverse = np.take_along_axis(rounded, ranked, axis=1) > 0
    reasons = np.full((len(values), most), NO_REASON, dtype=np.int16)
    reasons[:, : ranked.shape[1]] = np.where(adverse, ranked, NO_REASON)
    return reasons


def reason_counts(reasons: NDArray[np.int16], n_features: int) -> NDArray[np.int64]:
    """How many records have each feature as their first reason, and among all of their reasons.

    The counts say what a group of records was told: before they are published, the least cell has to be kept.

    Args:
        reasons: (n, most) positions of features from `adverse_reasons`, `NO_REASON` where there is none.
        n_features: number of features.

    Returns:
        (n_features, 2) int64 counts: the first reason, and among the reasons.

    Raises:
        ConfigurationError: a position outside of the features.
    """
    reasons = np.asarray(reasons)
    if reasons.ndim != 2 or reasons.min(initial=NO_REASON) < NO_REASON or reasons.max(initial=NO_REASON) >= n_features:
        raise ConfigurationError(
            f"got reasons of shape {reasons.shape} that are not all positions of {n_features} features: pass what "
            "adverse_reasons gave for these features"
        )
    counts = [np.bincount(some[some != NO_REASON], minlength=n_features) for some in (reasons[:, :1], reasons)]
    return np.stack(counts, axis=1).astype(np.int64)
