"""Who decides whether a run may open, and whether it may ask once more: the bank's policy, its log of the last day, and its people.

Every decision is in the vault's log: ``waiting`` and ``rejected`` before the run's ``refused``, ``approved`` before its ``opened``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bank_nodes.approvals import FOLDER, SHORT, Approvals, Decision, plan_digest
from bank_nodes.log import VaultLog
from bank_nodes.policy import Policy
from riskfed.errors import PolicyError
from riskfed.plan import Plan
from riskfed.protocols.records import Records


class Admission:
    """Decides on the runs of one vault.

    Args:
        bank: this bank's name.
        policy: its rules.
        log: gets the decisions, and tells of earlier ones; plans that wait for approval are kept beside it.
    """

    def __init__(self, bank: str, policy: Policy, log: VaultLog) -> None:
        self._bank = bank
        self._policy = policy
        self._log = log
        self._approvals = Approvals(log.path.parent / FOLDER)

    def check(self, label: str, plan: Plan, records: Records | None, target: str) -> Decision | None:
        """Refuse a run that this bank does not want, or not yet.

        Args:
            label: "run/attempt".
            plan: what is asked.
            records: this bank's records; None where it holds none.
            target: name of the label's column.

        Returns:
            The approval that the run would open with, to be given to `use`; None where it needs none.

        Raises:
            PolicyError: a rule refuses it, or nobody has approved it; it is kept then, until somebody does.
            ConfigurationError: the bank's approvals cannot be read or written.
        """
        self._policy.check(plan, records, target, bank=self._bank)
        shape = (None, None) if records is None else (len(records.columns), len(records))
        self._policy.check_allowance(plan, self._log.history, *shape)
        digest = plan_digest(plan)
        if self._policy.approval == "automatic" or self._log.history.was_approved(plan.run, digest):
            return None
        decision = self._approvals.decision(digest)
        if decision is None or decision.verdict == "approved":
            return self._approval(label, plan, digest, decision)
        self._log.record("rejected", run=label, plan=digest[:SHORT], digest=digest, by=decision.by, at=decision.at)
        raise PolicyError(
            f"policy rule approval: bank {self._bank} has looked at plan {digest[:SHORT]} and does not want it",
            "approval",
        )

    def use(self, label: str, approval: Decision | None) -> None:
        """Note that a run opens by an approval; one that was given for one run is used up by that.

        Raises:
            OSError: it could not be noted; the run must not open.
        """
        if approval is not None:
            self._log.record(
                "approved",
                run=label,
                plan=approval.digest[:SHORT],
                digest=approval.digest,
                approval=approval.id,
                by=approval.by,
                at=approval.at,
                until=approval.until,
            )

    def check_round(self) -> None:
        """Refuse another protected sum once the day's allowance is used up.

        Raises:
            PolicyError: it is.
        """
        self._policy.check_round(self._log.history)

    def _approval(self, label: str, plan: Plan, digest: str, decision: Decision | None) -> Decision:
        """The decision, if it still approves; otherwise the plan waits."""
        if decision is not None and self._holds(decision):
            return decision
        self._approvals.keep(plan)
        self._log.record("waiting", run=label, plan=digest[:SHORT], digest=digest)
        raise PolicyError(
            f"policy rule approval: nobody at bank {self._bank} has approved plan {digest[:SHORT]}; somebody there must look at it with "
            f"riskfed node approve {digest[:SHORT]}, then the operator starts the run again",
            "approval",
        )

    def _holds(self, approval: Decision) -> bool:
        if approval.until is None:
            return not self._log.history.was_used(approval.id)
        return datetime.now(UTC) < datetime.fromisoformat(approval.until)


def asked_in(plan: Plan) -> dict[str, Any]:
    """What the log keeps of a plan that opens: all of it but its run, which is in the line's label."""
    return {
        "job": plan.job.kind,
        "parameters": plan.job.model_dump(mode="json", exclude={"kind"}),
        "roster": list(plan.roster),
        "protection": plan.protection,
        "key_bits": plan.key_bits,
        "schema": plan.schema_fingerprint,
        "plan": plan.digest.hex(),
    }
