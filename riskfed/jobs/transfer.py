"""Federated transfer learning: an organisation without labels learns from a bank with labels through their few common customers."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from riskfed.jobs.base import Job, ReleaseForm


class FederatedTransfer(Job):
    """Two encoders into one space, learnt under encryption, so that the organisation's own customers can be scored (Liu, Kang, Xing, Chen
    and Yang 2020, IEEE Intelligent Systems 35(4)).

    Attributes:
        label_holder: party that holds the labels; all its customers teach.
        target: party that holds other columns, and whose customers are to be scored. It keeps the model.
        dimensions: size of the common space.
        iterations: steps of the descent, each over all rows.
        learning_rate, momentum: of the descent.
        alignment: weight of the squared distance of a common customer's two places in the space, the mean over customers and dimensions.
        l2: penalty on the encoders' weights.
        initial_seed: of the encoders' first weights; both parties know these.
        rows_per_ciphertext: values of so many rows lie in one ciphertext.
        align_again: find the common customers anew even where both parties keep an alignment.
        release: "withheld"; the model is the target's alone.

    Held-out customers are common ones: on them the label holder measures the target's scores.
    """

    protections: ClassVar[tuple[str, ...]] = ("sealed",)

    kind: Literal["federated_transfer"] = "federated_transfer"
    release: ReleaseForm = "withheld"
    label_holder: str = Field(min_length=1)
    target: str = Field(min_length=1)
    dimensions: int = Field(default=8, ge=1, le=64)
    iterations: int = Field(default=50, ge=1, le=1000)
    learning_rate: float = Field(default=0.5, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    alignment: float = Field(default=0.1, ge=0)
    l2: float = Field(default=1e-3, ge=0)
    initial_seed: int = Field(default=0, ge=0)
    rows_per_ciphertext: int = Field(default=4, ge=1, le=8)
    align_again: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.target == self.label_holder:
            raise ValueError(f"{self.target} is both label_holder and target; one has labels, the other wants scores")
        if self.release != "withheld":
            raise ValueError(
                f"release is {self.release}; a transfer's model stays with the target, so it must be withheld"
            )
        if self.champion_sha256 is not None:
            raise ValueError(
                "champion_sha256 is not supported by vertical jobs: no party has all columns that a champion needs"
            )
        return self

    @property
    def releaser(self) -> str:
        """The label holder: it measures."""
        return self.label_holder

    @property
    def most_steps(self) -> int:
        """One for each step of the descent."""
        return self.iterations
