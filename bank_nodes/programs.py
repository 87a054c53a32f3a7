"""Which party program serves which kind of job. A vault runs these and nothing else: no code ever comes with a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from riskfed.errors import JobError
from riskfed.plan import Plan
from riskfed.protocols import horizontal_xgboost
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.schema import Schema

PROGRAMS: Final[Mapping[str, Callable[..., Program[Any]]]] = {
    "horizontal_xgboost": horizontal_xgboost.train,
}
"""Kind of job -> one bank's side of it: ``program(records, schema, job, journal=..., threads=...)``."""


def program_for(
    plan: Plan, records: Records, schema: Schema, journal: Sequence[bytes] | None = None, threads: int = 1
) -> Callable[[], Program[Any]]:
    """What makes the plan's program over this bank's records.

    Args:
        plan: the run.
        records: this bank's.
        schema: the consortium's.
        journal: what this bank has kept of earlier attempts; None in the first.
        threads: how many work on the records.

    Raises:
        JobError: the installed release has no program for the job.
    """
    if plan.job.kind not in PROGRAMS:
        raise JobError(f"no program for job {plan.job.kind}; this bank's release has {', '.join(PROGRAMS)}")
    return partial(PROGRAMS[plan.job.kind], records, schema, plan.job, journal=journal, threads=threads)
