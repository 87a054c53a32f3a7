"""Any released model, ready to score: XGBoost's trees, scorecards and linear models in parts. No xgboost and no training code is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from riskfed.errors import RegistryError, RiskfedError
from riskfed.evaluation.reasons import grouped
from riskfed.linear import transfer_model as transfer_models
from riskfed.linear_model import StandardTerm, VerticalLogisticModel, is_vertical_logistic
from riskfed.linear_model import model as linear_models
from riskfed.model_format import format_of
from riskfed.schema import Schema
from riskfed.scorecard import card as scorecards
from riskfed.scorecard.bins import FeatureBins, RecordBins
from riskfed.scorecard.card import Scorecard
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
        """(n,) probability of default, float32 for trees as XGBoost gives it, float64 for the others."""
        ...

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, len(schema.features)) float64 share of each feature in the log-odds, against the average loan; above 0 is adverse."""
        ...

    def explain(self, row: np.ndarray) -> tuple[np.floating, np.ndarray]:
        """One (len(schema.columns),) float32 record, in one pass: what `margins` gives it, and `reason_contributions`, to the last bit."""
        ...

    def steps(self, column: int) -> np.ndarray:
        """(k,) float32 rising values of an encoded column at which margins may change; between two of them they do not, or go straight."""
        ...


def pd_of(margins: np.ndarray) -> np.ndarray:
    """(n,) PD of a model's (n,) margins: of trees' float32 ones as XGBoost gives it, of others' float64 ones in float64."""
    if margins.dtype == np.float32:
        return sigmoid(margins)
    with np.errstate(over="ignore"):  # far below 0 the exponential is infinite, and the PD the 0 that it should be
        return np.asarray(1 / (1 + np.exp(-margins)))


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
            (_Binned(variable.feature_bins, [row.woe for row in variable.bins], variable.coefficient), place, mean)
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
        """Edges of the bins; see `ScoringModel`."""
        return _edges([variable.feature_bins for variable in self.card.variables], column)


_SPREAD: Final = np.arange(-12, 13) / 4
"""Of a standardised column, the values that are tried: quarters of a standard deviation around the mean."""


class LinearModel:
    """A linear model in parts: the own terms, and of each partner its partial score."""

    def __init__(self, model: VerticalLogisticModel, schema: Schema) -> None:
        self.model = model
        names = [feature.name for feature in schema.features]
        self._places = [names.index(name) for name in (*(term.feature for term in model.own.terms), *model.partners)]
        self._n_features, self._n_own = len(names), len(model.own.columns)
        self._terms = [
            term if isinstance(term, StandardTerm) else _Binned(term.bins, term.woes, term.coefficient)
            for term in model.own.terms
        ]

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64; see `ScoringModel`."""
        return self.model.margins(matrix)

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64; see `ScoringModel`."""
        return pd_of(self.margins(matrix))

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        """The terms themselves, which are 0 for the average loan, and a partner's whole partial score; see `ScoringModel`."""
        shares = np.zeros((len(matrix), self._n_features))
        for place, share in zip(self._places, self.model.contributions(matrix).T, strict=True):
            shares[:, place] += share
        return shares

    def explain(self, row: np.ndarray) -> tuple[np.floating, np.ndarray]:
        """float64, and (len(schema.features),) float64; see `ScoringModel`. Plain Python, as a scorecard's."""
        values = row.tolist()
        parts = [
            term.share(values[term.column]) if isinstance(term, StandardTerm) else term.share(values)
            for term in self._terms
        ]
        parts += [0.0 if math.isnan(score) else score for score in values[self._n_own :]]
        margin, shares = self.model.intercept, np.zeros(self._n_features)
        for place, share in zip(self._places, parts, strict=True):
            margin += share
            shares[place] += share
        return np.float64(margin), shares

    def steps(self, column: int) -> np.ndarray:
        """Edges of the bins; of a standardised column, quarters of a standard deviation around the mean. See `ScoringModel`."""
        terms = self.model.own.terms
        edges = _edges([term.bins for term in terms if not isinstance(term, StandardTerm)], column)
        spread = [
            (term.mean + term.scale * _SPREAD).astype(np.float32)
            for term in terms
            if isinstance(term, StandardTerm) and term.column == column
        ]
        return np.unique(np.concatenate([edges, *spread]))


class _Binned:
    """A feature in bins, for one record: what arrays give for many, to the bit."""

    def __init__(self, bins: FeatureBins, woes: Sequence[float], coefficient: float) -> None:
        self._bins = RecordBins(bins)
        self._shares = [coefficient * woe for woe in woes]

    def share(self, values: list[float]) -> float:
        """Coefficient times WoE of the bin that a record, as numbers, falls into."""
        return self._shares[self._bins.code(values)]


def _edges(bins: Sequence[FeatureBins], column: int) -> np.ndarray:
    """(k,) rising float32 values of an encoded column at which a bin ends."""
    return np.unique(
        np.concatenate([np.empty(0, dtype=np.float32), *(each.steps for each in bins if column in each.columns)])
    )


def is_scorecard(data: bytes) -> bool:
    """Whether a model's JSON is a scorecard's."""
    return format_of(data) == scorecards.FORMAT


def read_model(data: bytes, schema: Schema) -> ScoringModel:
    """Read a model's JSON.

    Raises:
        RegistryError: it is no model, or one of another schema.
    """
    match format_of(data):
        case scorecards.FORMAT:
            return ScorecardModel(_read_card(data, schema), schema)
        case linear_models.FORMAT:
            return LinearModel(_read_linear(data, schema), schema)
        case transfer_models.FORMAT:
            return transfer_models.TransferScorer(transfer_models.TransferModel.from_bytes(data), schema)
    try:
        trees, base_score, columns = parse_booster(data)
    except RiskfedError as error:
        raise RegistryError(f"{error}; register it again") from None
    _check_columns(columns, schema)
    return TreeModel(trees, base_score, schema)


def scale_of(data: bytes) -> ScoreScale | None:
    """The scale that a model brings with it; None for trees, which have none of their own."""
    if is_scorecard(data):
        return Scorecard.from_bytes(data).scale
    return VerticalLogisticModel.from_bytes(data).scale if is_vertical_logistic(data) else None


def _read_card(data: bytes, schema: Schema) -> Scorecard:
    """A scorecard whose variables are the schema's."""
    read = Scorecard.from_bytes(data)
    _check_columns(read.columns, schema)
    if unknown := {variable.feature for variable in read.variables} - {feature.name for feature in schema.features}:
        raise RegistryError(f"the scorecard has {len(unknown)} variables that its schema does not have")
    return read


def _read_linear(data: bytes, schema: Schema) -> VerticalLogisticModel:
    """A linear model whose terms and partners are the schema's."""
    model = VerticalLogisticModel.from_bytes(data)
    _check_columns(model.columns, schema)
    theirs = tuple(feature.name for feature in schema.features if feature.holder != schema.label_holder)
    if theirs != model.partners or not all(term.suits(schema) for term in model.own.terms):
        raise RegistryError(
            "the terms or partners of the linear model are not those of its schema; register the model with the schema that it was "
            "trained on"
        )
    return model


def _check_columns(columns: Sequence[str], schema: Schema) -> None:
    if tuple(columns) != schema.columns:
        raise RegistryError(
            f"the model's columns are not the {len(schema.columns)} of its schema, in order; register the model with the schema that it "
            "was trained on"
        )
