"""The scorecard as banks release it: bins, weights of evidence, coefficients and points; enough to print it, to score and to judge it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from riskfed.errors import RegistryError
from riskfed.scorecard import tables
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.points import ScoreScale

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT: Final = "riskfed scorecard 1"
"""Stands in every scorecard's JSON, so that a reader can tell it from XGBoost's."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CardBin(_Record):
    """One bin of a variable.

    Attributes:
        label: the bin in words.
        goods, bads: development loans; None in a reduced release, and where there are some but fewer than the job's least_cell
            (`riskfed.scorecard.woe`). A bin without a single loan, or with too few, has a WoE of 0.
        woe: ln(share of all goods / share of all bads); higher is safer.
        points: whole points that the printed card gives; `exact_points` before rounding.
    """

    label: str
    goods: int | None
    bads: int | None
    woe: float
    points: int
    exact_points: float


class CardVariable(_Record):
    """One variable of the model.

    Attributes:
        feature, columns, edges, groups, special: as in `FeatureBins`.
        bins: in that order, the one of missing values last.
        iv: information value.
        coefficient, standard_error, wald_z, p_value: of the WoE, on the log-odds of default.
        vif: variance inflation factor.
        mean_woe: over the development loans; reasons are measured from here.
    """

    feature: str
    columns: tuple[int, ...]
    edges: tuple[float, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    special: tuple[float, ...] = ()
    bins: tuple[CardBin, ...]
    iv: float
    coefficient: float
    standard_error: float
    wald_z: float
    p_value: float
    vif: float | None
    mean_woe: float

    @property
    def feature_bins(self) -> FeatureBins:
        """How values fall into the bins."""
        return FeatureBins(self.feature, self.columns, self.edges, self.groups, self.special)


class Candidate(_Record):
    """A feature that could have entered: its information value, its bins (0 points where it is not in the model), and why it is not
    in the model ("" where it is).
    """

    feature: str
    iv: float
    bins: tuple[CardBin, ...]
    left_out: str


_Binned = TypeVar("_Binned", CardVariable, Candidate)


class SelectionStep(_Record):
    """One step of the choice of variables: what was done with which feature, with the test's statistic and p-value."""

    action: Literal["enter", "remove", "wrong sign"]
    feature: str
    statistic: float
    p_value: float


class Fit(_Record):
    """How the regression was fitted, on the development loans.

    Attributes:
        intercept, intercept_error: and its standard error.
        log_likelihood, null_log_likelihood, aic, bic: unpenalised; natural logarithms.
        iterations: Newton steps of the last fit.
    """

    rows: int
    defaults: int
    intercept: float
    intercept_error: float
    log_likelihood: float
    null_log_likelihood: float
    aic: float
    bic: float
    iterations: int
    ridge: float
    firth: bool


class Scorecard(_Record):
    """A whole scorecard.

    Attributes:
        columns: names of the encoded columns, as the schema has them.
        base_score, base_odds, pdo: the scale, see `riskfed.scorecard.points`.
        base_points, exact_base_points: points that every applicant begins with, rounded and not; those of the variables are added.
        variables: in the schema's order.
        candidates: all features that were looked at, in the schema's order.
    """

    format: Literal["riskfed scorecard 1"] = FORMAT
    columns: tuple[str, ...]
    base_score: float
    base_odds: float
    pdo: float
    base_points: int
    exact_base_points: float
    variables: tuple[CardVariable, ...]
    candidates: tuple[Candidate, ...]
    selection: tuple[SelectionStep, ...] = ()
    fit: Fit

    @property
    def scale(self) -> ScoreScale:
        """The scale of its points."""
        return ScoreScale(self.base_score, self.base_odds, self.pdo)

    @classmethod
    def from_bytes(cls, data: bytes) -> Scorecard:
        """Read a scorecard.

        Raises:
            RegistryError: not one, or a damaged one.
        """
        try:
            card = cls.model_validate(json.loads(data))
        except (ValueError, RecursionError, ValidationError):
            raise RegistryError("the scorecard's JSON is damaged; it must be released or registered again") from None
        for variable in card.variables:
            if len(variable.bins) != len(variable.feature_bins) or max(variable.columns, default=0) >= len(
                card.columns
            ):
                raise RegistryError(
                    f"the scorecard's bins of {variable.feature} do not belong together; register it again"
                )
        return card

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal scorecards give equal bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    def without_counts(self) -> Scorecard:
        """The card of a reduced release: no bin says how many loans it has."""
        none: dict[str, None] = {"goods": None, "bads": None}

        def bare(part: _Binned) -> _Binned:
            return part.model_copy(update={"bins": tuple(row.model_copy(update=none) for row in part.bins)})

        return self.model_copy(
            update={"variables": tuple(map(bare, self.variables)), "candidates": tuple(map(bare, self.candidates))}
        )

    @property
    def rounding(self) -> float:
        """Most by which the sum of the card's whole points can be off the exact points: at most half a point for each variable and for
        the base.
        """
        most = [max(abs(row.points - row.exact_points) for row in variable.bins) for variable in self.variables]
        return abs(self.base_points - self.exact_base_points) + sum(most)

    def points_card(self) -> DataFrame:
        """The printed card; see `riskfed.scorecard.tables`."""
        return tables.points_card(self)

    def binning_table(self, feature: str) -> DataFrame:
        """One candidate's bins; see `riskfed.scorecard.tables`."""
        return tables.binning_table(self, feature)

    def coefficients_table(self) -> DataFrame:
        """The regression; see `riskfed.scorecard.tables`."""
        return tables.coefficients_table(self)

    def as_text(self) -> str:
        """The card in Markdown, for a page or a terminal."""
        return tables.as_text(self)

    def contributions(self, column: Callable[[int], np.ndarray]) -> np.ndarray:
        """(n, variables) float64 coefficient times WoE of each record: summed and with the intercept, the log-odds of default."""
        parts = []
        for variable in self.variables:
            values = np.array([row.woe for row in variable.bins]) * variable.coefficient
            parts.append(values[variable.feature_bins.codes(column)])
        return np.stack(parts, axis=1) if parts else np.zeros((len(column(0)), 0))

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64 log-odds of default of (n, len(columns)) float32 encoded records, NaN where missing."""
        encoded = np.asarray(matrix, dtype=np.float32)
        margins = np.full(len(encoded), self.fit.intercept)
        for part in self.contributions(lambda position: encoded[:, position]).T:
            margins += part  # one variable after the other: the same sum wherever it is made
        return margins

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64 probability of default. Arguments as in `margins`."""
        return np.asarray(1 / (1 + np.exp(-self.margins(matrix))))
