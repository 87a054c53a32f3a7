"""Data, cuts and parties for the tests of trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import make_classification

from riskfed.jobs import HorizontalXgboost
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts, cuts_from_order_statistics
from riskfed.trees.grower import Grower
from riskfed.trees.logit import estimate_base_score


class Data(NamedTuple):
    """Records of all parties: (n, f) float32, (n,) float32, (n,) float32."""

    matrix: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def rows(self, rows: Any) -> Data:
        return Data(self.matrix[rows], self.labels[rows], self.weights[rows])


def classification(rows: int, features: int = 8, *, missing: float = 0.0, seed: int = 0) -> Data:
    """scikit-learn's classification problem with unit weights and a share of missing values."""
    matrix, labels = make_classification(
        rows,
        features,
        n_informative=max(2, features // 2),
        n_redundant=1,
        weights=[0.7],
        flip_y=0.05,
        random_state=seed,
    )
    matrix = matrix.astype(np.float32)
    matrix[np.random.default_rng(seed).random(matrix.shape) < missing] = np.nan
    return Data(matrix, labels.astype(np.float32), np.ones(rows, dtype=np.float32))


def quantile_cuts(matrix: np.ndarray, max_bin: int = 64) -> Cuts:
    """Cuts at quantiles of each column."""
    columns = [column[~np.isnan(column)] for column in matrix.T]
    statistics = [
        cuts_from_order_statistics(
            column.min(), np.quantile(column, np.linspace(0, 1, max_bin)[1:-1], method="lower"), column.max()
        )
        if len(column)
        else cuts_from_order_statistics(np.nan, [], np.nan)
        for column in columns
    ]
    return Cuts(tuple(cuts for cuts, _ in statistics), np.array([below for _, below in statistics]))


def binned(cuts: Cuts, matrix: Any) -> np.ndarray:
    """(f, n) codes of an (n, f) matrix."""
    matrix = np.asarray(matrix)
    return cuts.bin(matrix.T.__getitem__, len(matrix))


def base_score(data: Data, job: HorizontalXgboost) -> float:
    """The prior PD that the job gives, or that xgboost estimates."""
    if job.base_score is not None:
        return job.base_score
    weights = data.weights.astype(np.float64)
    return float(
        estimate_base_score(weights[data.labels == 1].sum(), weights[data.labels == 0].sum(), job.scale_pos_weight)
    )


def growers(parts: Sequence[Data], cuts: Cuts, job: HorizontalXgboost, **options: Any) -> list[Grower]:
    """One grower for each party."""
    pooled = Data(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    options = {
        "total_weight": float(pooled.weights.sum(dtype=np.float64)),
        "base_score": base_score(pooled, job),
    } | options
    return [Grower(binned(cuts, part.matrix), part.labels, part.weights, cuts, job, **options) for part in parts]


def grow(parties: Sequence[Grower], n_trees: int) -> list[np.ndarray]:
    """Grow trees together, adding in plain and holding the bounds; the pooled sums in order."""
    sums = []
    for _ in range(n_trees):
        for party in parties:
            party.begin_tree()
        while parties[0].has_open_nodes():
            bounds, own = parties[0].bounds(), [party.histograms() for party in parties]
            sums.append(np.sum(own, axis=0))
            assert all((np.abs(part) <= bounds).all() for part in [*own, sums[-1]])
            assert all((party.bounds() == bounds).all() for party in parties)
            for party in parties:
                party.split(sums[-1])
        for party in parties:
            party.end_tree()
    return sums


def deal(data: Data, parties: int, seed: int = 0) -> list[Data]:
    """Give every row to one party at random; a party may get none."""
    owner = np.random.default_rng(seed).integers(0, parties, len(data.labels))
    return [data.rows(owner == party) for party in range(parties)]


def federated_json(parts: Sequence[Data], cuts: Cuts, job: HorizontalXgboost) -> bytes:
    """The model that the parties grow, after checking that all hold the same one."""
    parties = growers(parts, cuts, job)
    grow(parties, job.n_estimators)
    pooled = Data(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    models = {booster_json(party.trees, cuts.feature_names, job, base_score(pooled, job)) for party in parties}
    assert len(models) == 1
    return models.pop()
