"""XGBoost: parameters have XGBoost's names, whichever way the records are split."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from riskfed.errors import JobError
from riskfed.jobs.base import Job
from riskfed.jobs.privacy import DifferentialPrivacy


class XgboostParameters(Job):
    """Parameters of gradient-boosted trees, as `xgboost.train(tree_method="hist", grow_policy="depthwise", objective="binary:logistic")`
    takes them.

    Attributes:
        n_estimators: number of trees; with early stopping, the most that are grown.
        max_depth: levels of splits, 1 to 12.
        learning_rate: shrinkage of the leaves, in (0, 1] (XGBoost's ``eta`` is accepted).
        reg_lambda, reg_alpha: L2 and L1 terms on leaf weights.
        gamma: least loss reduction of a split.
        min_child_weight: least sum of hessians on each side of a split.
        max_bin: most bins of a feature, 2 to 256 (255 where a column may be missing).
        scale_pos_weight: factor on the weight of defaults.
        base_score: prior PD in (0, 1); None means the weighted default rate of all records.
        monotone_constraints: encoded column -> -1, 0 or 1.
        eval_metric: what early stopping looks at, on the held-out rows.
        early_stopping_rounds: stop after so many trees without a better ``eval_metric``; needs ``validation_fraction``.
        cut_rounds: 4 fixes the upper 16 bits of a cut, so that no cut is a row's exact value; 8 gives exact order statistics.

    `riskfed.jobs.base.Job` has the parameters of all kinds.
    """

    aliases: ClassVar[dict[str, str]] = {
        "eta": "learning_rate",
        "lambda": "reg_lambda",
        "alpha": "reg_alpha",
        "min_split_loss": "gamma",
    }

    n_estimators: int = Field(default=100, ge=1, le=100_000)
    max_depth: int = Field(default=6, ge=1, le=12)
    learning_rate: float = Field(default=0.3, gt=0, le=1)
    reg_lambda: float = Field(default=1.0, ge=0)
    reg_alpha: float = Field(default=0.0, ge=0)
    gamma: float = Field(default=0.0, ge=0)
    min_child_weight: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=256, ge=2, le=256)
    scale_pos_weight: float = Field(default=1.0, gt=0)
    base_score: float | None = Field(default=None, gt=0, lt=1)
    monotone_constraints: dict[str, Literal[-1, 0, 1]] = Field(default_factory=dict)
    eval_metric: Literal["logloss", "auc"] = "logloss"
    early_stopping_rounds: int | None = Field(default=None, ge=1)
    cut_rounds: Literal[4, 8] = 4

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.early_stopping_rounds is not None and self.validation_fraction == 0:
            raise ValueError("early_stopping_rounds needs a validation_fraction above 0")
        return self

    @property
    def most_steps(self) -> int:
        """Trees."""
        return self.n_estimators

    def constraints_for(self, columns: tuple[str, ...]) -> tuple[int, ...]:
        """Monotone constraint of each encoded column, 0 where none.

        Raises:
            JobError: a constraint names a column that the schema does not have.
        """
        if unknown := sorted(set(self.monotone_constraints) - set(columns)):
            raise JobError(f"monotone_constraints name columns that the schema does not have: {', '.join(unknown)}")
        return tuple(self.monotone_constraints.get(column, 0) for column in columns)


class HorizontalXgboost(XgboostParameters):
    """Gradient-boosted trees over banks that hold the same columns of different customers.

    The result equals `xgboost.train` on the pooled records with the same cuts.

    Attributes:
        compare_alone: whether each bank also trains on its own records alone, tree by tree, so that banks which show their own figures
            can show what the federation gains them. Costs as much again as training, and no traffic.
        privacy: differential privacy of the development records; None for none. With it the model is not XGBoost's, cuts come from the
            schema alone (of a column at most ``max_bin``), and figures of development records are left out (docs/differential-privacy.md).

    `XgboostParameters` has the others.
    """

    kind: Literal["horizontal_xgboost"] = "horizontal_xgboost"
    compare_alone: bool = False
    privacy: DifferentialPrivacy | None = None

    @model_validator(mode="after")
    def _private(self) -> Self:
        if self.privacy is None:
            return self
        unsuited = {
            "early_stopping_rounds": self.early_stopping_rounds is not None,
            "scale_pos_weight": self.scale_pos_weight != 1,
            "compare_alone": self.compare_alone,
            "cut_rounds 8": self.cut_rounds == 8,
        }
        if self.privacy.splits == "random":
            unsuited |= {"gamma": self.gamma > 0, "monotone_constraints": bool(self.monotone_constraints)}
        if refused := [name for name, given in unsuited.items() if given]:
            raise ValueError(f"{', '.join(refused)} cannot go with privacy (splits {self.privacy.splits})")
        return self
