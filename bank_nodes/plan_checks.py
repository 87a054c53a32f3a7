"""What a plan must be before policy and records are looked at: of a run that this bank belongs to, over the schema that it holds."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from bank_nodes.models import check_run_name
from riskfed.errors import JobError, PlanError, RemoteProtocolError, SchemaError
from riskfed.jobs import Job
from riskfed.plan import SEALED, Plan
from riskfed.protocols.frames import Frame
from riskfed.schema import Schema

_LONGEST_PLAN: Final = 1 << 20


def read_plan(label: str, frames: Sequence[Frame]) -> Plan:
    """The plan in the first batch of a run.

    Args:
        label: "run/attempt".
        frames: of that batch, a PLAN frame first.

    Raises:
        RemoteProtocolError: more than the one frame, or a plan of another run.
        PlanError: not a plan, or of a run whose name cannot be a folder's.
        JobError: no such job.
    """
    if len(frames) != 1 or frames[0].step != 0 or len(frames[0].body) > _LONGEST_PLAN:
        raise RemoteProtocolError(
            "expected a batch of one PLAN frame for step 0, of at most 1 MiB; the operator must act"
        )
    plan = Plan.from_json(frames[0].body)
    if label != f"{plan.run}/{plan.attempt}":
        raise RemoteProtocolError(
            f"the request is for run {label}, its plan for {plan.run}/{plan.attempt}; the operator must act"
        )
    check_run_name(plan.run)
    return plan


def check_roster(plan: Plan, bank: str, pinned: Container[str]) -> None:
    """Refuse a roster without this bank, or with one whose key it has not pinned.

    Raises:
        PlanError: such a roster.
    """
    if bank not in plan.roster:
        raise PlanError(
            f"bank {bank} is not in the roster {', '.join(plan.roster)}; the operator must correct the roster"
        )
    if unknown := [each for each in plan.roster if each not in pinned]:
        raise PlanError(
            f"bank {bank} has no public key of {', '.join(unknown)} that it would accept: never pinned, or revoked; "
            f"{bank} must see riskfed node banks"
        )


def check_schema(plan: Plan, bank: str, schema: Schema) -> None:
    """Refuse a plan over another schema than the bank's, or for which it is not made.

    Raises:
        SchemaError: another schema.
        JobError: a job for banks with the same columns, over a vertical schema, or the reverse; or another label holder.
        PlanError: a vertical job's roster is not all of the schema's holders, with those that need no records.
    """
    if plan.schema_fingerprint != schema.fingerprint:
        raise SchemaError(
            f"bank {bank} holds schema {schema.name} version {schema.version} with fingerprint {schema.fingerprint[:16]}, "
            f"the run wants {plan.schema_fingerprint[:16]}; all must hold the same file"
        )
    vertical = plan.protection == SEALED
    if vertical != schema.is_vertical:
        wanted = "one that names holders and a label_holder" if vertical else "one in which every bank has all columns"
        raise JobError(
            f"job {plan.job.kind} needs another kind of schema than {schema.name} version {schema.version}: {wanted}; "
            "the operator must plan another job, or the consortium agree on such a schema"
        )
    if vertical and plan.job.releaser != schema.label_holder:
        raise JobError(
            f"the job names {plan.job.releaser} as label holder, schema {schema.name} names {schema.label_holder}; "
            "the operator must correct label_holder"
        )
    if vertical:
        check_parties(plan.job, plan.roster, schema)


def check_parties(job: Job, roster: Sequence[str], schema: Schema) -> None:
    """Refuse a vertical job's roster that is not all of the schema's holders, and the parties that the job needs without records.

    Raises:
        PlanError: such a roster, or a party that must not hold records holds features.
    """
    holding, without = set(schema.holders), set(job.parties_without_records)
    if both := sorted(holding & without):
        raise PlanError(
            f"{', '.join(both)} holds features of schema {schema.name}, and the job needs a coordinator that holds none; "
            "the operator must name another party"
        )
    if set(roster) != holding | without:
        raise PlanError(
            f"the roster is {', '.join(roster)}, schema {schema.name} names {', '.join(schema.holders)} as holders of features"
            f"{''.join(f', the job {name} as coordinator' for name in sorted(without))}; all of them must take part, and nobody else; "
            "the operator must correct the roster"
        )
