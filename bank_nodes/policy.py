"""What a bank lets its records be used for. The bank decides; the vault obeys before a single byte leaves.

Rules look at the plan, at this bank's records, and at what its log tells of the last 24 hours. What a person at the bank has to approve
besides is in `bank_nodes.approvals`. docs/policy.md says what each rule is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from riskfed.errors import PolicyError
from riskfed.jobs import (
    KINDS,
    BankContribution,
    HorizontalXgboost,
    ModelMonitoring,
    ReleaseForm,
    VerticalLogistic,
    VerticalXgboost,
    XgboostParameters,
)
from riskfed.plan import MINIMUM_BANKS, SEALED, Plan
from riskfed.protocols.vertical_rules import VerticalRules

if TYPE_CHECKING:
    from bank_nodes.history import History
    from riskfed.jobs import Job
    from riskfed.protocols.records import Records

_SAFE_KEY_BITS: Final = 2048
"""Least Paillier modulus that NIST SP 800-57 still counts as safe (112 bits of security)."""


class Policy(BaseModel):
    """One bank's rules; all have defaults.

    Attributes:
        approval: "automatic": what the other rules allow may run; "manual": somebody at the bank must approve each plan as well.
        jobs: kinds of job that may run; by default all that the installed release knows.
        banks: the only banks that this one computes with; empty: any whose key it has pinned.
        required_banks: banks without which this one does not compute.
        min_banks: fewest banks of a run in which sums are pooled, this one included; at least 3, since of two each learns the other's sums.
        min_rows: fewest records that this bank takes part with.
        min_defaults: fewest defaults among them; at least 1.
        min_cell: fewest rows behind any count or figure that the server gets (a job's ``least_cell``).
        min_child_weight: least ``min_child_weight`` of a job that grows trees: no leaf has a smaller sum of hessians, hence fewer than
            four times as many rows of weight 1.
        releases: forms in which a finished model may leave the banks (a job's ``release``).
        protections: accepted protections of sums.
        min_key_bits: smallest Paillier modulus, of sums or of a vertical job's label holder; at least 2048.
        max_trees: most trees of a model.
        max_rounds_per_day: most protected sums over the records, or in vertical jobs exchanges of sealed envelopes, that leave in any 24
            hours, over all runs.
        max_runs_per_day: most runs that begin in any 24 hours; another attempt of a run is the same run.
        max_epsilon: largest epsilon of a job's differential privacy; jobs without it are refused then. None: none is asked for. Monitoring
            releases no model, and is not asked for any.
        exact_cuts: whether cuts may be exact values of some record (a job's ``cut_rounds = 8``), which all banks and the holders
            of the model then see.
        show_own_metrics: whether the operator may see figures of this bank alone.
        min_node: of vertical jobs in which this bank holds features: fewest development rows of a node whose sums it answers with (a job's
            ``least_node``).
        min_bin: likewise, fewest development rows in a bin of its features (a job's ``least_bin``).
        min_batch: of vertical logistic regressions: fewest rows of a mini-batch (a job's ``batch_size``) whose gradients the parties learn.
        max_sums_per_row: likewise, most gradient sums that any party learns in a run, for each development row: linear equations in the
            label holder's residuals, by which labels can be guessed.
        min_coalition: fewest banks of a coalition whose model is trained to measure contributions (a job's ``least_coalition``). Below 3,
            this bank's own sums can be told from those of its coalitions.
        min_common: fewest common customers with which this bank takes part in a vertical job.
        max_alignments_per_day: most searches for the common customers that begin in any 24 hours: each tells others which of the ids
            that they ask about are this bank's. Alignments that are kept can be used without end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    approval: Literal["automatic", "manual"] = "automatic"
    jobs: tuple[str, ...] = tuple(KINDS)
    banks: tuple[str, ...] = ()
    required_banks: tuple[str, ...] = ()
    min_banks: int = Field(default=MINIMUM_BANKS, ge=MINIMUM_BANKS)
    min_rows: int = Field(default=500, ge=1)
    min_defaults: int = Field(default=1, ge=1)
    min_cell: int = Field(default=20, ge=1)
    min_child_weight: float = Field(default=1.0, ge=0)
    releases: tuple[ReleaseForm, ...] = Field(default=("full", "reduced", "withheld"), min_length=1)
    protections: tuple[Literal["masking", "paillier"], ...] = Field(default=("masking", "paillier"), min_length=1)
    min_key_bits: int = Field(default=_SAFE_KEY_BITS, ge=_SAFE_KEY_BITS)
    max_trees: int = Field(default=1000, ge=1)
    max_rounds_per_day: int = Field(default=20_000, ge=1)
    max_runs_per_day: int = Field(default=20, ge=1)
    max_epsilon: float | None = Field(default=None, gt=0)
    exact_cuts: bool = False
    show_own_metrics: bool = False
    min_node: int = Field(default=1, ge=1)
    min_bin: int = Field(default=1, ge=1)
    min_batch: int = Field(default=256, ge=1)
    max_sums_per_row: float = Field(default=0.1, gt=0, le=1)
    min_coalition: int = Field(default=3, ge=1)
    min_common: int = Field(default=500, ge=1)
    max_alignments_per_day: int = Field(default=5, ge=0)

    def check(self, plan: Plan, records: Records | None, target: str = "label", *, bank: str = "") -> None:
        """Refuse a run that this bank does not want.

        Args:
            plan: what is asked.
            records: this bank's records; None where it holds none.
            target: name of the label's column, for the message; empty where this bank holds none.
            bank: this bank's name.

        Raises:
            PolicyError: names the rule, what was got and what this bank wants.
        """
        self.check_plan(plan, bank)
        if records is not None:
            self.check_records(records, target)

    def check_plan(self, plan: Plan, bank: str = "") -> None:
        """The part of `check` that looks at the plan alone.

        Raises:
            PolicyError: as `check`.
        """
        self._check_roster(plan, bank)
        self._check_protection(plan)
        self._check_job(plan)
        if plan.job.releaser not in {None, bank}:
            self._check_answers(plan.job)

    def check_records(self, records: Records, target: str = "label") -> None:
        """The part of `check` that looks at the records alone.

        Raises:
            PolicyError: as `check`. The count of defaults is told only where it is 0: above that, it is this bank's own affair.
        """
        if len(records) < self.min_rows:
            raise _refusal("min_rows", f"{len(records)} rows", f"at least {self.min_rows}")
        if not target:
            return
        defaults = int((records.labels != 0).sum())
        if defaults < self.min_defaults:
            got = f"0 of {len(records)} rows" if defaults == 0 else "fewer"
            raise _refusal(
                "min_defaults", f"{got} with a positive label in column {target}", f"at least {self.min_defaults}"
            )

    def check_allowance(
        self, plan: Plan, history: History, n_columns: int | None = None, n_rows: int | None = None
    ) -> None:
        """Refuse a run for which the day's allowance may not suffice. A run that was begun may go on while anything is left.

        Args:
            plan: what is asked.
            history: of this bank's log.
            n_columns: of the encoded records, at least as many as the schema has features; None if not known.
            n_rows: of the records; None if not known.

        Raises:
            PolicyError: as `check`.
        """
        self.check_round(history)
        if history.was_begun(plan.run):
            return
        if (runs := history.runs_today()) >= self.max_runs_per_day:
            raise _refusal(
                "max_runs_per_day", f"one more run after {runs} in 24 hours", f"at most {self.max_runs_per_day}"
            )
        # Here and not above: it loads compiled code, which a command line does without.
        from riskfed.protocols.rounds import most_rounds

        most, used = most_rounds(plan.job, n_columns, parties=len(plan.roster), rows=n_rows), history.rounds_today()
        if used + most > self.max_rounds_per_day:
            got = f"a job of up to {most} rounds after {used} in 24 hours"
            raise _refusal("max_rounds_per_day", got, f"at most {self.max_rounds_per_day} rounds in all")

    def check_round(self, history: History) -> None:
        """Refuse one more round of a run, whatever was allowed when it began.

        Raises:
            PolicyError: as `check`.
        """
        if (used := history.rounds_today()) >= self.max_rounds_per_day:
            got = f"one more round after {used} in 24 hours"
            raise _refusal("max_rounds_per_day", got, f"at most {self.max_rounds_per_day}")

    def vertical_rules(self, history: History) -> VerticalRules:
        """What the program of a vertical job keeps to, as the log stands now."""
        return VerticalRules(
            least_key_bits=self.min_key_bits,
            least_bin=self.min_bin,
            least_node=self.min_node,
            least_common=self.min_common,
            least_batch=self.min_batch,
            most_sums_per_row=self.max_sums_per_row,
            may_intersect=history.alignments_today() < self.max_alignments_per_day,
        )

    def _check_roster(self, plan: Plan, bank: str) -> None:
        if plan.protection != SEALED and len(plan.roster) < self.min_banks:
            raise _refusal("min_banks", f"{len(plan.roster)} banks", f"at least {self.min_banks}")
        others = [name for name in plan.roster if name != bank]
        if self.banks and (unwanted := [name for name in others if name not in self.banks]):
            raise _refusal("banks", f"a run with {', '.join(unwanted)}", f"no others than {', '.join(self.banks)}")
        if absent := [name for name in self.required_banks if name not in plan.roster]:
            raise _refusal("required_banks", f"a run without {', '.join(absent)}", "it in every run")

    def _check_protection(self, plan: Plan) -> None:
        if plan.protection not in (*self.protections, SEALED):
            raise _refusal("protections", plan.protection, f"one of {', '.join(self.protections)}")
        if plan.protection != "masking" and plan.key_bits < self.min_key_bits:
            raise _refusal("min_key_bits", f"{plan.key_bits} bits", f"at least {self.min_key_bits}")

    def _check_job(self, plan: Plan) -> None:
        job = plan.job
        if job.kind not in self.jobs:
            raise _refusal("jobs", job.kind, f"one of {', '.join(self.jobs)}")
        if job.least_cell < self.min_cell:
            raise _refusal("min_cell", f"least_cell {job.least_cell}", f"at least {self.min_cell} rows")
        self._check_privacy(job)
        trained = job.model if isinstance(job, BankContribution) else job
        if isinstance(trained, XgboostParameters):
            self._check_trees(trained)
        if isinstance(job, BankContribution) and job.least_coalition < self.min_coalition:
            wanted = f"at least {self.min_coalition} banks"
            raise _refusal("min_coalition", f"least_coalition {job.least_coalition}", wanted)
        if not isinstance(job, ModelMonitoring | BankContribution) and job.release not in self.releases:
            raise _refusal("releases", f"release {job.release}", f"one of {', '.join(self.releases)}")

    def _check_privacy(self, job: Job) -> None:
        if self.max_epsilon is None or isinstance(job, ModelMonitoring):
            return
        privacy = job.privacy if isinstance(job, HorizontalXgboost) else None
        got = "no differential privacy" if privacy is None else f"epsilon {privacy.epsilon:g}"
        if privacy is None or privacy.epsilon > self.max_epsilon:
            raise _refusal("max_epsilon", got, f"differential privacy with epsilon {self.max_epsilon:g} or less")

    def _check_trees(self, job: XgboostParameters) -> None:
        if job.n_estimators > self.max_trees:
            raise _refusal("max_trees", f"{job.n_estimators} trees", f"at most {self.max_trees}")
        if job.cut_rounds == 8 and not self.exact_cuts:
            raise _refusal("exact_cuts", "cut_rounds 8, which discloses exact values", "cut_rounds 4")
        if job.min_child_weight < self.min_child_weight:
            raise _refusal("min_child_weight", f"{job.min_child_weight:g}", f"at least {self.min_child_weight:g}")

    def _check_answers(self, job: Job) -> None:
        """What this bank, holding features, tells of few rows, or learns from few."""
        if isinstance(job, VerticalXgboost) and job.least_node < self.min_node:
            raise _refusal("min_node", f"least_node {job.least_node}", f"at least {self.min_node} rows")
        if isinstance(job, VerticalLogistic) and job.batch_size < self.min_batch:
            raise _refusal("min_batch", f"batch_size {job.batch_size}", f"at least {self.min_batch} rows")
        if isinstance(job, VerticalXgboost | VerticalLogistic) and job.least_bin < self.min_bin:
            raise _refusal("min_bin", f"least_bin {job.least_bin}", f"at least {self.min_bin} rows")


def _refusal(rule: str, got: Any, wanted: str) -> PolicyError:
    return PolicyError(
        f"policy rule {rule}: got {got}, this bank wants {wanted}; only this bank can change its policy", rule
    )
