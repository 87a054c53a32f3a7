"""Horizontal scorecard: a logistic regression on weights of evidence, printed as a points card."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from riskfed.errors import JobError
from riskfed.jobs.base import Job

Trend = Literal["auto", "ascending", "descending", "none"]


class HorizontalScorecard(Job):
    """A scorecard over banks that hold the same columns of different customers.

    The result equals the maximum-likelihood fit on the pooled records with the same bins. Bins are found on counts over a grid that the
    schema makes public (`riskfed.scorecard.grid`).

    Attributes:
        features: the features that may enter; None for all of the schema.
        bins: feature -> inner edges that the analyst has chosen; others are found by optbinning's solver, maximising the information value.
        max_bins: most bins of a feature, besides those of special and missing values.
        min_bin_share: least share of the development rows in a bin.
        trend: whether the default rate must rise or fall from bin to bin; "auto" takes the better of the two.
        trends: feature -> trend, where it is another one.
        min_iv: least information value of a feature that may enter.
        selection: how variables are chosen: all that may enter, or SAS's forward, backward and stepwise selection.
        entry_p, stay_p: significance to enter (Rao's score test) and to stay (Wald's test).
        sign_check: whether a variable whose coefficient has the wrong sign is removed. A higher WoE is safer, so the sign on the log-odds
            of default is to be negative.
        ridge: L2 penalty on the coefficients, the intercept's apart.
        firth: Firth's bias-reducing penalty, for rare defaults and separation.
        base_score, base_odds, pdo: points at `base_odds` goods to one bad, and points that double the odds.

    `riskfed.jobs.base.Job` has the parameters of all kinds. The release form "reduced" leaves out the counts of the bins.
    """

    kind: Literal["horizontal_scorecard"] = "horizontal_scorecard"
    features: tuple[str, ...] | None = None
    bins: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    max_bins: int = Field(default=8, ge=2, le=50)
    min_bin_share: float = Field(default=0.05, gt=0, le=0.5)
    trend: Trend = "auto"
    trends: dict[str, Trend] = Field(default_factory=dict)
    min_iv: float = Field(default=0.02, ge=0)
    selection: Literal["none", "forward", "backward", "stepwise"] = "none"
    entry_p: float = Field(default=0.05, gt=0, lt=1)
    stay_p: float = Field(default=0.05, gt=0, lt=1)
    sign_check: bool = True
    ridge: float = Field(default=0.0, ge=0)
    firth: bool = False
    base_score: float = 600.0
    base_odds: float = Field(default=50.0, gt=0)
    pdo: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for feature, edges in self.bins.items():
            if list(edges) != sorted(set(edges)):
                raise ValueError(f"bins of {feature} must rise")
        if self.stay_p < self.entry_p and self.selection == "stepwise":
            raise ValueError(
                "stepwise selection needs stay_p of at least entry_p, or a variable could come and go for ever"
            )
        return self

    def check_features(self, features: tuple[str, ...]) -> None:
        """Refuse names that the schema does not have.

        Raises:
            JobError: such a name.
        """
        if unknown := sorted({*(self.features or ()), *self.bins, *self.trends} - set(features)):
            raise JobError(
                f"features, bins or trends name features that the schema does not have: {', '.join(unknown)}"
            )
