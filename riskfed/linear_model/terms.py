"""The terms of a linear score: what a feature adds to the log-odds of default.

* `WoeTerm`: coefficient times the weight of evidence of the bin that a record falls into, as in a scorecard (`riskfed.scorecard`). The
  weights are centred: their mean over the development rows is 0, so that a term is 0 for the average loan.
* `StandardTerm`: coefficient times (value - mean) / scale of an encoded column; a missing value counts as the mean.

Terms are added in their order, one after the other, so that the same record gives the same bits alone and among others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from riskfed.errors import SchemaError
from riskfed.schema import Schema
from riskfed.scorecard.bins import FeatureBins, check_bins

Column = Callable[[int], NDArray[np.float32]]
"""Gives the (n,) float32 values of an encoded column by its position, NaN where missing."""
Position = Annotated[int, Field(ge=0)]
Points = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Record(BaseModel):
    """Base of the classes that are written as JSON: immutable, strict, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class WoeTerm(Record):
    """A feature in bins.

    Attributes:
        feature, columns, edges, groups, special: as in `FeatureBins`.
        woes: centred weight of evidence of each bin, higher is safer, the one of missing values last.
        coefficient: of the WoE, on the log-odds of default.
        points: whole points of each bin; see `WoeTerm.of`.
    """

    kind: Literal["woe"] = "woe"
    feature: str
    columns: tuple[Position, ...] = Field(min_length=1)
    edges: tuple[float, ...] = ()
    groups: tuple[tuple[Position, ...], ...] = ()
    special: tuple[float, ...] = ()
    woes: tuple[float, ...]
    coefficient: float
    points: tuple[Points, ...]

    @classmethod
    def of(cls, bins: FeatureBins, woes: Sequence[float], coefficient: float, factor: float) -> WoeTerm:
        """Make a term.

        Args:
            bins: k bins.
            woes: k centred weights of evidence.
            coefficient: of the WoE.
            factor: points for each unit of log-odds (`riskfed.scorecard.points.ScoreScale.factor`).
        """
        return cls(
            feature=bins.feature,
            columns=bins.columns,
            edges=bins.edges,
            groups=bins.groups,
            special=bins.special,
            woes=tuple(woes),
            coefficient=coefficient,
            points=tuple(round(-factor * coefficient * woe) for woe in woes),
        )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not len(self.bins) == len(self.woes) == len(self.points):
            raise ValueError("bins, weights of evidence and points differ in number")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must rise")
        return self

    @property
    def bins(self) -> FeatureBins:
        """How values fall into the bins."""
        return FeatureBins(self.feature, self.columns, self.edges, self.groups, self.special)

    @property
    def shares(self) -> tuple[float, ...]:
        """What each bin adds to the log-odds of default."""
        return tuple(self.coefficient * woe for woe in self.woes)

    def contribution(self, column: Column) -> NDArray[np.float64]:
        """(n,) share of the term in the log-odds of default."""
        shares: NDArray[np.float64] = np.array(self.shares)[self.bins.codes(column)]
        return shares

    def suits(self, schema: Schema) -> bool:
        """Whether feature, columns and bins are the schema's."""
        try:
            check_bins(self.bins, schema)
        except SchemaError:
            return False
        return True


class StandardTerm(Record):
    """An encoded column in units of its standard deviation.

    Attributes:
        feature: that the column is of.
        column: position of the encoded column.
        mean, scale: of the column over the development rows; the scale is above 0.
        coefficient: on the log-odds of default.
    """

    kind: Literal["standard"] = "standard"
    feature: str
    column: Position
    mean: float
    scale: float = Field(gt=0)
    coefficient: float

    @property
    def columns(self) -> tuple[int, ...]:
        """The one column."""
        return (self.column,)

    def contribution(self, column: Column) -> NDArray[np.float64]:
        """(n,) share of the term in the log-odds of default; 0 where the value is missing."""
        values = column(self.column).astype(np.float64)
        shares = self.coefficient * ((values - self.mean) / self.scale)
        return np.where(np.isnan(values), 0.0, shares)

    def share(self, value: float) -> float:
        """`contribution` of one value, to the bit."""
        return 0.0 if math.isnan(value) else self.coefficient * ((value - self.mean) / self.scale)

    def suits(self, schema: Schema) -> bool:
        """Whether the column is the feature's in the schema."""
        names = [feature.name for feature in schema.features for _ in feature.columns]
        return self.column < len(names) and names[self.column] == self.feature


Term = WoeTerm | StandardTerm


class LinearScore(Record):
    """One party's terms.

    Attributes:
        columns: names of its encoded columns, as its part of the schema has them.
        terms: in the order in which they are added.
    """

    columns: tuple[str, ...]
    terms: tuple[Annotated[Term, Field(discriminator="kind")], ...]

    @model_validator(mode="after")
    def _within_columns(self) -> Self:
        if any(place >= len(self.columns) for term in self.terms for place in term.columns):
            raise ValueError("a term reads a column that is not there")
        return self

    def contributions(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, len(terms)) float64 shares in the log-odds of default of (n, len(columns)) float32 records, NaN where missing."""
        encoded = np.asarray(matrix, dtype=np.float32)
        shares = np.zeros((len(encoded), len(self.terms)))
        for number, term in enumerate(self.terms):
            shares[:, number] = term.contribution(lambda place: encoded[:, place])
        return shares

    def partial(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) float64 sum of all terms. Arguments as in `contributions`."""
        total = np.zeros(len(matrix))
        for share in self.contributions(matrix).T:
            total += share
        return total

    def suits(self, schema: Schema) -> bool:
        """Whether columns and terms are those of a schema."""
        return self.columns == schema.columns and all(term.suits(schema) for term in self.terms)
