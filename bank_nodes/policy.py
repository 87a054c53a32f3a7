"""What a bank lets its records be used for. The bank decides; the vault obeys before a single byte leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from riskfed.errors import PolicyError
from riskfed.plan import MINIMUM_BANKS, Plan

if TYPE_CHECKING:
    from riskfed.protocols.records import Records

_SAFE_KEY_BITS: Final = 2048
"""Least Paillier modulus that NIST SP 800-57 still counts as safe (112 bits of security)."""


class Policy(BaseModel):
    """One bank's rules; all have defaults.

    Attributes:
        jobs: kinds of job that may run.
        min_banks: fewest banks of a run, this one included; at least 3, since of two each learns the other's sums.
        min_rows: fewest records that this bank takes part with.
        min_defaults: fewest defaults among them; at least 1.
        protections: accepted protections of sums.
        min_key_bits: smallest Paillier modulus; at least 2048.
        max_trees: most trees of a model: bounds how many sums are asked over the records.
        exact_cuts: whether cuts may be exact values of some record (a job's ``cut_rounds = 8``), which all banks and the holders
            of the model then see.
        show_own_metrics: whether the operator may see figures of this bank alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: tuple[str, ...] = ("horizontal_xgboost",)
    min_banks: int = Field(default=MINIMUM_BANKS, ge=MINIMUM_BANKS)
    min_rows: int = Field(default=500, ge=1)
    min_defaults: int = Field(default=1, ge=1)
    protections: tuple[Literal["masking", "paillier"], ...] = Field(default=("masking", "paillier"), min_length=1)
    min_key_bits: int = Field(default=_SAFE_KEY_BITS, ge=_SAFE_KEY_BITS)
    max_trees: int = Field(default=1000, ge=1)
    exact_cuts: bool = False
    show_own_metrics: bool = False

    def check(self, plan: Plan, records: Records, target: str = "label") -> None:
        """Refuse a run that this bank does not want.

        Args:
            plan: what is asked.
            records: this bank's records.
            target: name of the label's column, for the message.

        Raises:
            PolicyError: names the rule, what was got and what this bank wants.
        """
        self.check_plan(plan)
        self.check_records(records, target)

    def check_plan(self, plan: Plan) -> None:
        """The part of `check` that looks at the plan alone.

        Raises:
            PolicyError: as `check`.
        """
        job = plan.job
        if job.kind not in self.jobs:
            raise _refusal("jobs", job.kind, f"one of {', '.join(self.jobs)}")
        if len(plan.roster) < self.min_banks:
            raise _refusal("min_banks", f"{len(plan.roster)} banks", f"at least {self.min_banks}")
        if plan.protection not in self.protections:
            raise _refusal("protections", plan.protection, f"one of {', '.join(self.protections)}")
        if plan.protection == "paillier" and plan.key_bits < self.min_key_bits:
            raise _refusal("min_key_bits", f"{plan.key_bits} bits", f"at least {self.min_key_bits}")
        if job.n_estimators > self.max_trees:
            raise _refusal("max_trees", f"{job.n_estimators} trees", f"at most {self.max_trees}")
        if job.cut_rounds == 8 and not self.exact_cuts:
            raise _refusal("exact_cuts", "cut_rounds 8, which discloses exact values", "cut_rounds 4")

    def check_records(self, records: Records, target: str = "label") -> None:
        """The part of `check` that looks at the records alone.

        Raises:
            PolicyError: as `check`. The count of defaults is told only where it is 0: above that, it is this bank's own affair.
        """
        if len(records) < self.min_rows:
            raise _refusal("min_rows", f"{len(records)} rows", f"at least {self.min_rows}")
        defaults = int((records.labels != 0).sum())
        if defaults < self.min_defaults:
            got = f"0 of {len(records)} rows" if defaults == 0 else "fewer"
            raise _refusal(
                "min_defaults", f"{got} with a positive label in column {target}", f"at least {self.min_defaults}"
            )


def _refusal(rule: str, got: Any, wanted: str) -> PolicyError:
    return PolicyError(f"policy rule {rule}: got {got}, this bank wants {wanted}; only this bank can change its policy")
