"""Any released model, ready to score: XGBoost's trees and scorecards alike. No xgboost and no training code is needed."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from riskfed.errors import RegistryError, RiskfedError
from riskfed.evaluation.reasons import grouped
from riskfed.schema import Schema
from riskfed.scorecard.card import FORMAT, CardVariable, Scorecard
from riskfed.scorecard.points import ScoreScale
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.contributions import Contributions
from riskfed.trees.logit import sigmoid
from riskfed.trees.predictor import Predictor
from riskfed.trees.tree import Tree


class ScoringModel(Protocol):
    """A model that scores encoded records."""

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds of default of (n, len(schema.columns)) float32 encoded records, NaN where missing."""
        ...

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) probability of default, float32 for trees as XGBoost gives it, float64 for a scorecard."""
        ...

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, len(schema.features)) float64 share of each feature in the log-odds, against the average loan; above 0 is adverse."""
        ...

    def explain(self, row: np.ndarray) -> tuple[np.floating, np.ndarray]:
        """One (len(schema.columns),) float32 record, in one pass: what `margins` gives it, and `reason_contributions`, to the last bit."""
        ...

    def steps(self, column: int) -> np.ndarray:
        """(k,) float32 rising values of an encoded column at which margins may change; between two of them they do not."""
        ...


def pd_of(margins: np.ndarray) -> np.ndarray:
    """(n,) PD of a model's (n,) margins: of trees' float32 ones as XGBoost gives it, of a scorecard's float64 ones in float64."""
    return sigmoid(margins) if margins.dtype == np.float32 else np.asarray(1 / (1 + np.exp(-margins)))


class TreeModel:
    """Gradient-boosted trees."""

    def __init__(self, trees: Sequence[Tree], base_score: float, schema: Schema) -> None:
        self._predictor = Predictor(trees, base_score)
        self.trees = tuple(trees)
        self._base_score, self._schema = base_score, schema
        widths = [len(feature.columns) for feature in schema.features]
        self._starts = np.cumsum([0, *widths[:-1]])

    @cached_property
    def _contributions(self) -> Contributions:
        # Its tables take time and memory that whoever only scores need not spend.
        return Contributions(self.trees, self._base_score, len(self._schema.columns))

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float32; see `ScoringModel`."""
        return self._predictor.margins(matrix)

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float32; see `ScoringModel`."""
        return pd_of(self.margins(matrix))

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Exact TreeSHAP values; see `ScoringModel`."""
        return grouped(self._contributions.of(matrix)[:, :-1], self._schema)

    def explain(self, row: np.ndarray) -> tuple[np.floating, np.ndarray]:
        """float32, and (len(schema.features),) float64; see `ScoringModel`."""
        right = self._predictor.goes_right(row)
        shares = self._contributions.of_way(right)
        return self._predictor.margin_of_way(right), np.add.reduceat(shares, self._starts)

    def steps(self, column: int) -> np.ndarray:
        """The trees' thresholds on the column; see `ScoringModel`."""
        return self._steps.get(column, np.empty(0, dtype=np.float32))

    @cached_property
    def _steps(self) -> dict[int, np.ndarray]:
        if not self.trees:
            return {}
        columns = np.concatenate([tree.split_indices[~tree.is_leaf] for tree in self.trees])
        thresholds = np.concatenate([tree.split_conditions[~tree.is_leaf] for tree in self.trees])
        return {column: np.unique(thresholds[columns == column]) for column in np.unique(columns).tolist()}


class ScorecardModel:
    """A scorecard."""

    def __init__(self, card: Scorecard, schema: Schema) -> None:
        self.card = card
        names = [feature.name for feature in schema.features]
        self._places = [names.index(variable.feature) for variable in card.variables]
        self._n_features = len(names)
        means = [variable.coefficient * variable.mean_woe for variable in card.variables]
        self._means = np.array(means)
        self._variables = [
            (_Variable(variable), place, mean)
            for variable, place, mean in zip(card.variables, self._places, means, strict=True)
        ]

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64; see `ScoringModel`."""
        return self.card.margins(matrix)

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64; see `ScoringModel`."""
        return pd_of(self.margins(matrix))

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Coefficient times the distance of the WoE from its mean; see `ScoringModel`."""
        encoded = np.asarray(matrix, dtype=np.float32)
        shares = np.zeros((len(encoded), self._n_features))
        shares[:, self._places] = self.card.contributions(lambda position: encoded[:, position]) - self._means
        return shares

    def explain(self, row: np.ndarray) -> tuple[np.floating, np.ndarray]:
        """float64, and (len(schema.features),) float64; see `ScoringModel`. Plain Python: of single numbers it is faster than numpy."""
        values = row.tolist()
        margin, shares = self.card.fit.intercept, np.zeros(self._n_features)
        for variable, place, mean in self._variables:
            share = variable.share(values)
            margin += share
            shares[place] = share - mean
        return np.float64(margin), shares

    def steps(self, column: int) -> np.ndarray:
        """Edges of the bins; a special value begins a step and ends it. See `ScoringModel`."""
        found = [np.empty(0, dtype=np.float32)]
        for variable in self.card.variables:
            if column in variable.columns:
                special = np.array(variable.special, dtype=np.float32)
                ends = np.nextafter(special, np.float32(np.inf))
                found += [np.array(variable.edges, dtype=np.float32), special, ends]
                if variable.groups:
                    found.append(np.ones(1, dtype=np.float32))
        return np.unique(np.concatenate(found))


class _Variable:
    """A scorecard's variable, for one record: what `FeatureBins.codes` and `Scorecard.contributions` do, without arrays."""

    def __init__(self, variable: CardVariable) -> None:
        self._columns = variable.columns
        self._edges = np.array(variable.edges, dtype=np.float32).tolist()
        self._group_of = {level: number for number, levels in enumerate(variable.groups) for level in levels}
        regular = variable.feature_bins.regular
        special = np.array(variable.special, dtype=np.float32).tolist()
        self._special = {value: regular + number for number, value in enumerate(special)}
        self._shares: list[float] = (np.array([row.woe for row in variable.bins]) * variable.coefficient).tolist()

    def share(self, values: list[float]) -> float:
        """Coefficient times WoE of the bin that a record, as numbers, falls into."""
        value = values[self._columns[0]]
        if math.isnan(value):  # the last bin is that of missing values
            return self._shares[-1]
        if self._group_of:
            ones = [self._group_of[level] for level, column in enumerate(self._columns) if values[column] == 1]
            return self._shares[max(ones, default=0)]
        special = self._special.get(value)
        return self._shares[bisect_right(self._edges, value) if special is None else special]


def is_scorecard(data: bytes) -> bool:
    """Whether a model's JSON is a scorecard's."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("format") == FORMAT


def read_model(data: bytes, schema: Schema) -> ScoringModel:
    """Read a model's JSON.

    Raises:
        RegistryError: it is no model, or one of another schema.
    """
    if is_scorecard(data):
        card = Scorecard.from_bytes(data)
        _check_columns(card.columns, schema)
        if unknown := {variable.feature for variable in card.variables} - {feature.name for feature in schema.features}:
            raise RegistryError(f"the scorecard has {len(unknown)} variables that its schema does not have")
        return ScorecardModel(card, schema)
    try:
        trees, base_score, columns = parse_booster(data)
    except RiskfedError as error:
        raise RegistryError(f"{error}; register it again") from None
    _check_columns(columns, schema)
    return TreeModel(trees, base_score, schema)


def scale_of(data: bytes) -> ScoreScale | None:
    """The scale that a model brings with it; None for trees, which have none of their own."""
    return Scorecard.from_bytes(data).scale if is_scorecard(data) else None


def _check_columns(columns: Sequence[str], schema: Schema) -> None:
    if tuple(columns) != schema.columns:
        raise RegistryError(
            f"the model's columns are not the {len(schema.columns)} of its schema, in order; register the model with the schema that it "
            "was trained on"
        )
