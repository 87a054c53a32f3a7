"""What the regression sees of a party's records: weights of evidence of bins, or standardised columns, in fixed point.

Both are centred on the development rows, so that a customer of whom a party knows nothing adds 0 to the score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from riskfed.linear.descent import INPUT_BITS, fixed_inputs
from riskfed.linear_model import LinearScore, StandardTerm, WoeTerm
from riskfed.protocols.records import Records
from riskfed.protocols.vertical_logistic.vectors import STANDARD_BOUND
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scorecard.woe import BinnedFeature

_Column = Callable[[int], NDArray[np.float32]]


class Input(Protocol):
    """One column of the design."""

    @property
    def feature(self) -> str:
        """The feature that it is of."""
        ...

    def values(self, column: _Column) -> NDArray[np.int64]:
        """(n,) fixed-point values of records, given by column."""
        ...

    def term(self, coefficient: float, scale: ScoreScale) -> WoeTerm | StandardTerm:
        """What it is in the model."""
        ...


@dataclass(frozen=True, slots=True)
class WoeInput:
    """Weights of evidence of a feature's bins, less their mean.

    Attributes:
        binned: the bins.
        woes: of each bin, centred, multiples of 2^-24: scoring and training see the same numbers.
    """

    binned: BinnedFeature
    woes: tuple[float, ...]

    @classmethod
    def of(cls, binned: BinnedFeature, records: Records) -> WoeInput:
        """Centre on development rows."""
        codes = binned.bins.codes(records.column)
        rows = np.bincount(codes, minlength=len(binned.bins)).tolist()
        mean = math.fsum(count * woe for count, woe in zip(rows, binned.woe, strict=True)) / len(codes)
        fixed = fixed_inputs(np.array(binned.woe) - mean)
        return cls(binned, tuple((fixed / 2.0**INPUT_BITS).tolist()))

    @property
    def feature(self) -> str:
        """See `Input`."""
        return self.binned.bins.feature

    def values(self, column: _Column) -> NDArray[np.int64]:
        """See `Input`."""
        return np.asarray(fixed_inputs(np.array(self.woes))[self.binned.bins.codes(column)])

    def term(self, coefficient: float, scale: ScoreScale) -> WoeTerm:
        """See `Input`."""
        return WoeTerm.of(self.binned.bins, self.woes, coefficient, scale.factor)


@dataclass(frozen=True, slots=True)
class StandardInput:
    """An encoded column less its mean, in standard deviations; a missing value is 0.

    Attributes:
        feature: that the column is of.
        column: its position.
        mean, scale: of the development rows' known values.
    """

    feature: str
    column: int
    mean: float
    scale: float

    def values(self, column: _Column) -> NDArray[np.int64]:
        """See `Input`."""
        standard = (column(self.column).astype(np.float64) - self.mean) / self.scale
        return fixed_inputs(np.clip(np.nan_to_num(standard, nan=0.0), -STANDARD_BOUND, STANDARD_BOUND))

    def term(self, coefficient: float, scale: ScoreScale) -> StandardTerm:  # noqa: ARG002  a column has no points
        """See `Input`."""
        return StandardTerm(
            feature=self.feature, column=self.column, mean=self.mean, scale=self.scale, coefficient=coefficient
        )


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """A party's design.

    Attributes:
        columns: its inputs, in order.
        design: (n, m) int64 of all common customers, fixed point.
        left_out: features that took no part.
    """

    columns: tuple[Input, ...]
    design: NDArray[np.int64]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, columns: Sequence[Input], records: Records, schema: Schema) -> Inputs:
        """Of a party's records of all common customers."""
        design = records.storage.empty((len(records), len(columns)), np.int64)
        for number, column in enumerate(columns):
            design[:, number] = column.values(records.column)
        known = {column.feature for column in columns}
        left_out = tuple(feature.name for feature in schema.features if feature.name not in known)
        return cls(tuple(columns), design, left_out)

    def score(self, names: tuple[str, ...], coefficients: Sequence[float], scale: ScoreScale) -> LinearScore:
        """The party's part of the model.

        Args:
            names: of its encoded columns.
            coefficients: (m,).
            scale: of points.
        """
        pairs = zip(self.columns, coefficients, strict=True)
        return LinearScore(columns=names, terms=tuple(column.term(value, scale) for column, value in pairs))


def woe_inputs(binned: Sequence[BinnedFeature], records: Records) -> list[Input]:
    """Those features whose bins differ, centred on development rows."""
    return [WoeInput.of(feature, records) for feature in binned if feature.separates]


def standard_inputs(schema: Schema, records: Records) -> list[Input]:
    """Every encoded column that is not constant on development rows."""
    found, at = list[Input](), 0
    for feature in schema.features:
        for column in range(at, at + len(feature.columns)):
            values = records.column(column).astype(np.float64)
            known = values[~np.isnan(values)]
            if len(known) and (scale := float(known.std())) > 0:
                found.append(StandardInput(feature.name, column, float(known.mean()), scale))
        at += len(feature.columns)
    return found
