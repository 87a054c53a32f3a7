"""The label holder's part of a linear model: its own terms, the intercept, the scale of points, and who adds the rest."""

from __future__ import annotations

import json
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from riskfed.errors import RegistryError
from riskfed.linear_model.card import model_text
from riskfed.linear_model.terms import LinearScore, Record
from riskfed.model_format import format_of
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale

FORMAT: Final = "riskfed vertical logistic 1"
"""Stands in the model's JSON, so that a reader can tell it from XGBoost's and a scorecard's."""


class VerticalLogisticModel(Record):
    """The label holder's part.

    A model without partners is a logistic regression over the own columns alone: the fallback for customers whom a partner does not know.

    Attributes:
        columns: names of the encoded columns: the own ones, then one for each partner, named like it: its partial score.
        intercept: log-odds of default of the average loan.
        own: terms over the own columns.
        partners: feature holders with a part in it, in the order of their columns.
        base_score, base_odds, pdo: the scale, see `riskfed.scorecard.points`.
        rows, defaults: development loans.
    """

    format: Literal["riskfed vertical logistic 1"] = FORMAT
    columns: tuple[str, ...]
    intercept: float
    own: LinearScore
    partners: tuple[str, ...] = ()
    base_score: float
    base_odds: float = Field(gt=0)
    pdo: float = Field(gt=0)
    rows: int = Field(ge=0)
    defaults: int = Field(ge=0)

    @model_validator(mode="after")
    def _columns_of_all(self) -> Self:
        if self.columns[: len(self.own.columns)] != self.own.columns:
            raise ValueError("the columns do not begin with the own ones")
        if len(self.columns) != len(self.own.columns) + len(self.partners):
            raise ValueError("the columns are not the own ones and one for each partner")
        if not abs(self.exact_base_points) < 2**31:
            raise ValueError("the base points are too many to be points")
        return self

    @property
    def scale(self) -> ScoreScale:
        """The scale of its points."""
        return ScoreScale(self.base_score, self.base_odds, self.pdo)

    @property
    def exact_base_points(self) -> float:
        """Points that every applicant begins with, not rounded."""
        return self.scale.offset - self.scale.factor * self.intercept

    @property
    def base_points(self) -> int:
        """Whole points that every applicant begins with; those of the terms are added."""
        return round(self.exact_base_points)

    @property
    def rounding(self) -> float:
        """Most by which whole points of base and own terms are off their exact sum."""
        factor = self.scale.factor
        most = [
            max(abs(points + factor * share) for points, share in zip(term.points, term.shares, strict=True))
            for term in self.own.terms
            if term.kind == "woe"
        ]
        return abs(self.base_points - self.exact_base_points) + sum(most)

    @classmethod
    def from_bytes(cls, data: bytes) -> VerticalLogisticModel:
        """Read a model.

        Raises:
            RegistryError: not one, or a damaged one.
        """
        try:
            return cls.model_validate_json(data)
        except (ValueError, ValidationError):
            raise RegistryError(
                "the JSON of a vertical logistic model is damaged; it must be released or registered again"
            ) from None

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal models give equal bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shares in the log-odds of default: of each own term, and behind them of each partner.

        Args:
            matrix: (n, len(columns)) float32 records. A missing value of an own column falls into its own bin or counts as the mean; a
                missing partial score counts as 0, the average loan's.

        Returns:
            (n, len(own.terms) + len(partners)) float64.
        """
        encoded = np.asarray(matrix, dtype=np.float32)
        n_own = len(self.own.columns)
        theirs = encoded[:, n_own:].astype(np.float64)
        own = self.own.contributions(encoded[:, :n_own])
        return np.concatenate([own, np.where(np.isnan(theirs), 0.0, theirs)], axis=1)

    def margins(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) float64 log-odds of default. Arguments as in `contributions`."""
        margins = np.full(len(matrix), self.intercept)
        for share in self.contributions(matrix).T:
            margins += share  # one after the other: the same sum wherever it is made
        return margins

    def as_text(self, schema: Schema) -> str:
        """The points card in Markdown: own bins, and the partners' partial scores as one row each.

        Args:
            schema: of the model; its names of bins' values are printed.
        """
        return model_text(self, schema)


def is_vertical_logistic(data: bytes) -> bool:
    """Whether a model's JSON is a `VerticalLogisticModel`'s, sound or not."""
    return format_of(data) == FORMAT
