"""What the target keeps of transfer learning: its encoder and the direction of default, by which it scores its customers alone.

    score  s = Phi . tanh(x W),    log-odds of default = intercept + slope s

The Taylor loss is a square: its best score of a customer with PD q is s = (q - p) / (p (1 - p)), p the default rate, so s estimates
p + p (1 - p) s. `calibrated` takes the line in log-odds that is nearest to that over the common customers, and then the intercept with
which their mean PD is p.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from riskfed.errors import RegistryError
from riskfed.linear.encoders import Encoder, embedded
from riskfed.linear.rank_inputs import KNOTS, RankInputs, width_for
from riskfed.schema import Schema

FORMAT: Final = "riskfed transfer 1"
"""Stands in every such model's JSON."""
_LEAST_PD: Final = 1e-3
_RIDGE: Final = 1e-6
_HALVINGS: Final = 80
_NEWTON_STEPS: Final = 100
_LONGEST_STEP: Final = 1.0
_ENOUGH: Final = 1e-12


class TransferModel(BaseModel):
    """The target's model.

    Attributes:
        columns: names of its encoded columns, as its part of the schema has them.
        knots: `RankInputs.knots`.
        weights: f rows of d numbers, W.
        direction: d numbers, Phi.
        intercept, slope: from the score to the log-odds.
        base_rate: p, default rate of the label holder's teaching customers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["riskfed transfer 1"] = FORMAT
    columns: tuple[str, ...] = Field(min_length=1)
    knots: tuple[tuple[float, ...], ...] = Field(repr=False)
    weights: tuple[tuple[float, ...], ...] = Field(repr=False)
    direction: tuple[float, ...] = Field(min_length=1)
    intercept: float
    slope: float
    base_rate: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.knots) != len(self.columns) or any(len(knots) != KNOTS for knots in self.knots):
            raise ValueError(f"knots: expected {KNOTS} of each of {len(self.columns)} columns")
        if any(list(knots) != sorted(knots) for knots in self.knots):
            raise ValueError("knots: expected rising ones")
        if len(self.weights) != width_for(len(self.columns)):
            raise ValueError(f"weights: expected {width_for(len(self.columns))} rows, got {len(self.weights)}")
        if any(len(row) != len(self.direction) for row in self.weights):
            raise ValueError(f"weights: expected {len(self.direction)} numbers in each row")
        return self

    @classmethod
    def of(
        cls,
        columns: tuple[str, ...],
        ranks: RankInputs,
        encoder: Encoder,
        taught: tuple[NDArray[np.float64], float],
        inputs: NDArray[np.float64],
    ) -> TransferModel:
        """The finished model.

        Args:
            columns: names of the encoded columns.
            ranks, encoder: the target's.
            taught: (d,) Phi and the base rate, as the label holder says at the end.
            inputs: (N, f) of the common customers, to calibrate on.
        """
        direction, base_rate = taught
        intercept, slope = calibrated(_scores(inputs, encoder.weights, direction), base_rate)
        return cls(
            columns=columns,
            knots=tuple(map(tuple, ranks.knots.tolist())),
            weights=tuple(map(tuple, encoder.weights.tolist())),
            direction=tuple(direction.tolist()),
            intercept=intercept,
            slope=slope,
            base_rate=base_rate,
        )

    def to_bytes(self) -> bytes:
        """JSON; equal models give equal bytes."""
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> TransferModel:
        """Undo `to_bytes`.

        Raises:
            RegistryError: it is none.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise RegistryError(
                f"not a transfer model: {error.error_count()} fields are wrong; register it again"
            ) from None


class TransferScorer:
    """A transfer model as a `riskfed.scoring.ScoringModel`.

    Args:
        model: the model.
        schema: of the target's columns.

    Raises:
        RegistryError: the schema has other columns.
    """

    def __init__(self, model: TransferModel, schema: Schema) -> None:
        if model.columns != schema.columns:
            raise RegistryError(
                f"the model's columns are not the {len(schema.columns)} of its schema, in order; register the model with the schema that "
                "it was trained on"
            )
        self.model = model
        self._ranks = RankInputs(np.array(model.knots, dtype=np.float32))
        self._weights = np.array(model.weights)
        self._direction = np.array(model.direction)
        self._feature_columns: list[list[int]] = []
        for feature in schema.features:
            first = sum(map(len, self._feature_columns))
            self._feature_columns.append(list(range(first, first + len(feature.columns))))
        self._usual = self._ranks.inputs(self._ranks.knots.T).mean(axis=0)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64; see `riskfed.scoring.ScoringModel`."""
        return self._margins(self._ranks.inputs(matrix))

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64; see `riskfed.scoring.ScoringModel`."""
        return np.asarray(1 / (1 + np.exp(-self.margins(matrix))))

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, features) float64: by how much the log-odds would fall were the feature's inputs the mean ones of the target's customers.

        One feature at a time, so that shares need not add up to the distance from the average customer.
        """
        inputs = self._ranks.inputs(matrix)
        margins, width = self._margins(inputs), len(self.model.columns)
        shares = np.empty((len(inputs), len(self._feature_columns)))
        for at, columns in enumerate(self._feature_columns):
            changed, places = inputs.copy(), [*columns, *(width + column for column in columns)]
            changed[:, places] = self._usual[places]
            shares[:, at] = margins - self._margins(changed)
        return shares

    def explain(self, row: np.ndarray) -> tuple[np.floating, np.ndarray]:
        """See `riskfed.scoring.ScoringModel`."""
        return self.margins(row[None])[0], self.reason_contributions(row[None])[0]

    def steps(self, column: int) -> np.ndarray:
        """The column's knots; see `riskfed.scoring.ScoringModel`."""
        return self._ranks.steps(column)

    def _margins(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.model.intercept + self.model.slope * _scores(inputs, self._weights, self._direction))


def _scores(
    inputs: NDArray[np.float64], weights: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) Phi . tanh(x W), added up dimension by dimension: a customer's score does not depend on who else is there."""
    scores = np.zeros(len(inputs))
    for places, one in zip(embedded(inputs, weights).T, direction.tolist(), strict=True):
        scores += places * one
    return scores


def calibrated(scores: NDArray[np.float64], base_rate: float) -> tuple[float, float]:
    """(intercept, slope) of the log-odds by score; see the module.

    Args:
        scores: (N,) of the common customers.
        base_rate: p.
    """
    ordered = np.sort(scores)  # so that the order of the customers makes no difference
    wanted = np.clip(base_rate + base_rate * (1 - base_rate) * ordered, _LEAST_PD, 1 - _LEAST_PD)
    slope = _nearest_slope(ordered, wanted)
    return _intercept_for(slope * ordered, base_rate), slope


def _nearest_slope(scores: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """Slope of the line of least log-loss against (N,) wanted PDs, by Newton's method; a ridge settles it where scores are alike."""
    design = np.stack([scores, np.ones(len(scores))], axis=1)
    line = np.array([0.0, _log_odds(float(wanted.mean()))])
    ridge = np.diag([_RIDGE, 0.0])
    for _ in range(_NEWTON_STEPS):
        pds = 1 / (1 + np.exp(-design @ line))
        hessian = (design * (pds * (1 - pds))[:, None]).T @ design / len(scores) + ridge
        step = np.linalg.solve(hessian, design.T @ (wanted - pds) / len(scores) - ridge @ line)
        line = line + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)  # a full step can overshoot to where all is flat
        if float(np.abs(step).max()) < _ENOUGH:
            break
    return float(line[0])


def _intercept_for(sloped: NDArray[np.float64], base_rate: float) -> float:
    """The intercept with which (N,) log-odds have a mean PD of the base rate, by halving what is left."""
    wanted, reach = _log_odds(base_rate), float(np.abs(sloped).max())
    low, high = wanted - reach, wanted + reach
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if float((1 / (1 + np.exp(-(sloped + middle)))).mean()) > base_rate else (middle, high)
        )
    return (low + high) / 2


def _log_odds(pd: float) -> float:
    return float(np.log(pd / (1 - pd)))
