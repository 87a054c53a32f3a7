"""Contribution: what each bank's records are worth to the model of all, for sharing a reward."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from riskfed.jobs.base import Job
from riskfed.jobs.scorecard import HorizontalScorecard
from riskfed.jobs.xgboost import HorizontalXgboost

Utility = Literal["auc", "logloss", "profit"]
"""What a model is worth; see `BankContribution.utility`."""
MOST_BANKS_OF_EXACT = 6
"""Above it, coalitions are sampled."""


class BankContribution(Job):
    """Shapley values of banks (Shapley 1953), with each bank's leave-one-out value beside it.

    A model is trained by each coalition of banks, and measured on the held-out loans of all banks.

    Attributes:
        model: what each coalition trains; its own parameters about held-out loans, champions and releases are not used.
        utility: of a model, on the held-out loans: "auc", "logloss" (negative mean), or "profit" per loan where the
            ``approval_rate`` of lowest PDs is approved.
        profit_per_good, loss_per_bad: in any unit of money, for utility "profit".
        least_coalition: smaller coalitions train no model; they count as the mean of those of so many banks, and what is shared is the gain
            above it (`riskfed.evaluation.shapley`). 1: every coalition trains, and the gain over no model is shared. With fewer than 3
            banks in it, what a coalition sums shows its members each other's sums; a single bank's sums are seen by all.
        validation_banks: those on whose held-out loans utility is measured, three at least; None for all. Wrong labels of a bank outside of
            it cannot make its models look good.
        permutations: orders of banks that are sampled where there are more than 6 banks (Castro et al. 2009), each with its reverse.
        permutation_seed: picks others.
        copied_rows: "drop": a record (its features, whatever the label) that several banks hold counts at none of them, and one that a
            bank holds several times counts once: nobody gains by copies. "keep": no such search.
    """

    kind: Literal["contribution"] = "contribution"
    model: HorizontalXgboost | HorizontalScorecard = Field(discriminator="kind")
    utility: Utility = "auc"
    profit_per_good: float = Field(default=1.0, ge=0)
    loss_per_bad: float = Field(default=5.0, ge=0)
    least_coalition: int = Field(default=3, ge=1)
    validation_banks: tuple[str, ...] | None = Field(default=None, min_length=3)
    permutations: int = Field(default=50, ge=2, le=10_000)
    permutation_seed: int = Field(default=0, ge=0)
    copied_rows: Literal["drop", "keep"] = "drop"
    validation_fraction: float = Field(default=0.3, gt=0, le=0.9)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.champion_sha256 is not None or self.model.champion_sha256 is not None:
            raise ValueError("champion_sha256 is not supported by a contribution job: it releases no model")
        if isinstance(self.model, HorizontalXgboost) and self.model.privacy is not None:
            raise ValueError("model.privacy is not supported: each coalition's model would spend the budget anew")
        if self.model.validation_fraction > 0:
            raise ValueError("model.validation_fraction must be 0: the contribution job itself holds loans out")
        return self

    @property
    def most_steps(self) -> int:
        """Hundredths of the coalitions, however many there are."""
        return 100
