"""Vertical XGBoost: parties that hold different columns of the same customers."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from riskfed.jobs.xgboost import XgboostParameters

Answers = Literal["decisions", "leaf_sets"]
"""What a feature holder answers about an applicant; see `VerticalXgboost.answers`."""


class VerticalXgboost(XgboostParameters):
    """Gradient-boosted trees over a party with labels and others with more columns of the same customers (SecureBoost, Cheng et al. 2021).

    The result equals `xgboost.train` on the joined table with the same cuts, the label holder's columns first
    (`riskfed.schema.Schema.joined_columns`).

    Attributes:
        label_holder: party that holds the labels, and the key that gradients are encrypted under.
        label_holder_trees: so many first trees are grown by the label holder alone, on its own columns ("completely SecureBoost", Cheng et
            al. 2021, section 5): gradients of later trees then tell less of the labels.
        rows_per_ciphertext: gradient pairs of so many rows lie in one ciphertext.
        answers: what a feature holder answers about an applicant. "decisions": which way the applicant goes at each of its splits.
            "leaf_sets": for each tree, the leaves that are still possible; some of the decisions cannot be read off them.
        least_bin: least development rows in a feature holder's bin; smaller bins are merged with their neighbours.
        least_node: least development rows of a node whose sums a feature holder answers with. ``min_child_weight`` has to guarantee it:
            ``4 min_child_weight / max(1, scale_pos_weight)`` rows at least, since a row of weight 1 has a hessian of at most a quarter.
        align_again: find the common customers anew even where all parties keep an alignment.

    `XgboostParameters` has the others. A row is held out by a hash of its normalised customer id, which all parties know.
    """

    protections: ClassVar[tuple[str, ...]] = ("sealed",)

    kind: Literal["vertical_xgboost"] = "vertical_xgboost"
    label_holder: str = Field(min_length=1)
    label_holder_trees: int = Field(default=0, ge=0)
    rows_per_ciphertext: int = Field(default=2, ge=1, le=4)
    answers: Answers = "decisions"
    least_bin: int = Field(default=1, ge=1)
    least_node: int = Field(default=1, ge=1)
    align_again: bool = False

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.label_holder_trees > self.n_estimators:
            raise ValueError(
                f"label_holder_trees is {self.label_holder_trees}, more than n_estimators {self.n_estimators}"
            )
        if self.champion_sha256 is not None:
            raise ValueError(
                "champion_sha256 is not supported by vertical jobs: no party has all columns that a champion needs"
            )
        if self.least_node > 1 and self.rows_of_smallest_node < self.least_node:
            needed = self.least_node * max(1.0, self.scale_pos_weight) / 4
            raise ValueError(
                f"least_node {self.least_node} needs a min_child_weight of at least {needed:g}, got {self.min_child_weight:g}"
            )
        return self

    @property
    def releaser(self) -> str:
        """The label holder: its part of the model is nobody else's to see."""
        return self.label_holder

    @property
    def rows_of_smallest_node(self) -> float:
        """Rows that a node has at least, if no row weighs more than 1."""
        return 4 * self.min_child_weight / max(1.0, self.scale_pos_weight)
