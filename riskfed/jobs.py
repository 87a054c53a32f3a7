"""What banks can be asked to compute together: the parameters of each kind of job, checked once, here.

Names are XGBoost's. A parameter that is not listed is refused by name: a federation that ignored one would not give the model
that its banks believe they agreed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from riskfed.errors import JobError

ReleaseForm = Literal["full", "reduced", "withheld"]
"""What of a finished model leaves the banks; see `HorizontalXgboost.release`."""

_ALIASES = {"eta": "learning_rate", "lambda": "reg_lambda", "alpha": "reg_alpha", "min_split_loss": "gamma"}


class HorizontalXgboost(BaseModel):
    """Gradient-boosted trees over banks that hold the same columns of different customers.

    The result equals `xgboost.train(tree_method="hist", grow_policy="depthwise", objective="binary:logistic")` on the pooled
    records with the same cuts.

    Attributes:
        n_estimators: number of trees; with early stopping, the most that are grown.
        max_depth: levels of splits, 1 to 12.
        learning_rate: shrinkage of the leaves, in (0, 1] (XGBoost's ``eta`` is accepted).
        reg_lambda, reg_alpha: L2 and L1 terms on leaf weights.
        gamma: least loss reduction of a split.
        min_child_weight: least sum of hessians on each side of a split.
        max_bin: most bins of a feature, 2 to 256 (255 where a column may be missing).
        scale_pos_weight: factor on the weight of defaults.
        base_score: prior PD in (0, 1); None means the pooled, weighted default rate.
        monotone_constraints: encoded column -> -1, 0 or 1.
        eval_metric: what early stopping looks at, on the held-out rows.
        early_stopping_rounds: stop after so many trees without a better ``eval_metric``; needs ``validation_fraction``.
        validation_fraction: share of rows that every bank holds out. A row is held out by a hash of its own encoded features,
            so the choice does not depend on which bank has the row.
        validation_seed: picks another hash.
        cut_rounds: 4 fixes the upper 16 bits of a cut, so that no cut is a row's exact value; 8 gives exact order statistics.
        release: what of the model leaves the banks. "full": all of it. "reduced": gains and inner weights left out and covers
            rounded (`riskfed.trees.reduced`), with the same predictions. "withheld": its sha256. Banks keep all of it either way,
            and schema and pooled figures are released either way.
        least_cell: least rows behind anything that is counted or measured for the server: a score cell, or all held-out rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["horizontal_xgboost"] = "horizontal_xgboost"
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
    validation_fraction: float = Field(default=0.0, ge=0, le=0.9)
    validation_seed: int = Field(default=0, ge=0)
    cut_rounds: Literal[4, 8] = 4
    release: ReleaseForm = "full"
    least_cell: int = Field(default=20, ge=1)

    def __init__(self, **parameters: Any) -> None:
        given = _without_aliases(parameters)
        if unknown := sorted(set(given) - set(type(self).model_fields)):
            supported = ", ".join(sorted(set(type(self).model_fields) - {"kind"}))
            raise JobError(f"unsupported parameter {', '.join(unknown)}; supported are {supported}")
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise JobError(_reasons(error)) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.early_stopping_rounds is not None and self.validation_fraction == 0:
            raise ValueError("early_stopping_rounds needs a validation_fraction above 0")
        return self

    def constraints_for(self, columns: tuple[str, ...]) -> tuple[int, ...]:
        """Monotone constraint of each encoded column, 0 where none.

        Raises:
            JobError: a constraint names a column that the schema does not have.
        """
        if unknown := sorted(set(self.monotone_constraints) - set(columns)):
            raise JobError(f"monotone_constraints name columns that the schema does not have: {', '.join(unknown)}")
        return tuple(self.monotone_constraints.get(column, 0) for column in columns)


def job_from_dict(fields: Mapping[str, Any]) -> HorizontalXgboost:
    """Build the job that ``fields["kind"]`` names.

    Raises:
        JobError: unknown kind, or a parameter that the kind does not have.
    """
    kinds = {"horizontal_xgboost": HorizontalXgboost}
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise JobError(f"unknown job kind {kind!r}; known are {', '.join(kinds)}")
    return kinds[kind](**fields)


def _without_aliases(parameters: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in parameters.items():
        full = _ALIASES.get(name, name)
        if full in given:
            raise JobError(f"parameter {full} is given twice")
        given[full] = value
    return given


def _reasons(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'job'}: {item['msg']}, got {item['input']!r}"
        if item["loc"]
        else item["msg"]
        for item in found
    )
