"""Vertical logistic regression: parties that hold different columns of the same customers, and a coordinator that holds the key."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from riskfed.jobs.base import Job
from riskfed.jobs.scorecard import Trend

Inputs = Literal["woe", "standardised"]
"""What the regression sees of a feature; see `VerticalLogistic.inputs`."""
Sigmoid = Literal["taylor", "cubic"]
"""What stands for the sigmoid under encryption; see `VerticalLogistic.sigmoid`."""


class VerticalLogistic(Job):
    """Logistic regression over a party with labels and others with more columns of the same customers, by gradient descent on encrypted
    residuals (Yang, Liu, Chen and Tong 2019, section 2.4.2; Hardy et al. 2017).

    The result equals the same descent on the joined table in plain, but for the rounding of fixed-point numbers.

    Attributes:
        label_holder: party that holds the labels.
        coordinator: party that holds the key and no records. It opens masked sums and learns nothing else.
        inputs: "woe": weights of evidence of each party's own bins, as in a scorecard, and the result is printed as a points card.
            "standardised": each encoded column less its mean, in units of its standard deviation; a missing value counts as the mean.
        sigmoid: "taylor": 1/2 + u/4 (the papers'). "cubic": least squares on [-8, 8] (`riskfed.linear.sigmoids`): closer for scores far
            from 0, and dearer.
        epochs: most passes over the development rows.
        batch_size: least rows of a mini-batch, to which rows are dealt evenly; fewer only where there are fewer development rows at all.
            Each party learns its own columns' gradient on each.
        learning_rate, momentum: of the descent.
        l2: penalty on the coefficients, the intercept's apart.
        tolerance: the descent ends when an epoch betters the mean loss by less; 0: never before its last epoch.
        rows_per_ciphertext: residuals of so many rows lie in one ciphertext; 1 with sigmoid "cubic".
        max_bins, min_bin_share, trend: of the bins, as in `riskfed.jobs.scorecard.HorizontalScorecard`.
        least_bin: least development rows in a bin of which a feature holder learns how many defaulted.
        base_score, base_odds, pdo: points at `base_odds` goods to one bad, and points that double the odds.
        align_again: find the common customers anew even where all parties keep an alignment.

    A row is held out by a hash of its normalised customer id.
    """

    protections: ClassVar[tuple[str, ...]] = ("sealed",)

    kind: Literal["vertical_logistic"] = "vertical_logistic"
    label_holder: str = Field(min_length=1)
    coordinator: str = Field(min_length=1)
    inputs: Inputs = "woe"
    sigmoid: Sigmoid = "taylor"
    epochs: int = Field(default=10, ge=1, le=1000)
    batch_size: int = Field(default=2048, ge=64, le=1 << 20)
    learning_rate: float = Field(default=0.3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    l2: float = Field(default=1e-4, ge=0)
    tolerance: float = Field(default=0.0, ge=0)
    rows_per_ciphertext: int = Field(default=4, ge=1, le=8)
    max_bins: int = Field(default=8, ge=2, le=50)
    min_bin_share: float = Field(default=0.05, gt=0, le=0.5)
    trend: Trend = "auto"
    least_bin: int = Field(default=20, ge=1)
    base_score: float = 600.0
    base_odds: float = Field(default=50.0, gt=0)
    pdo: float = Field(default=20.0, gt=0)
    align_again: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.coordinator == self.label_holder:
            raise ValueError(
                f"{self.coordinator} is both label_holder and coordinator; whoever holds the key must not hold labels"
            )
        if self.champion_sha256 is not None:
            raise ValueError(
                "champion_sha256 is not supported by vertical jobs: no party has all columns that a champion needs"
            )
        if self.sigmoid == "cubic" and self.rows_per_ciphertext != 1:
            raise ValueError("sigmoid cubic needs rows_per_ciphertext 1: its terms differ from row to row")
        return self

    @property
    def releaser(self) -> str:
        """The label holder: its part of the model is nobody else's to see."""
        return self.label_holder

    @property
    def parties_without_records(self) -> tuple[str, ...]:
        """The coordinator."""
        return (self.coordinator,)

    @property
    def most_steps(self) -> int:
        """One for each epoch."""
        return self.epochs
