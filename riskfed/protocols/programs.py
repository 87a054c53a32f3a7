"""Which party program serves which kind of job. A vault runs these and nothing else: no code ever comes with a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from riskfed.errors import ContractError, JobError
from riskfed.evaluation.record import Evaluation
from riskfed.jobs import HorizontalScorecard, HorizontalXgboost, Job, ModelMonitoring
from riskfed.protocols import horizontal_scorecard, horizontal_xgboost, monitoring
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import read_model, scale_of


class KnownModel(Protocol):
    """A finished model as a bank keeps it: what a job that names one is about."""

    @property
    def model(self) -> bytes:
        """Its JSON."""
        ...

    @property
    def schema(self) -> Schema:
        """How records are encoded for it."""
        ...

    @property
    def evaluation(self) -> Evaluation | None:
        """How good it was when it was developed."""
        ...


def program_for(
    job: Job,
    records: Records,
    schema: Schema,
    *,
    known: KnownModel | None = None,
    journal: Sequence[bytes] | None = None,
    threads: int = 1,
) -> Callable[[], Program[Any]]:
    """What makes one bank's side of a job.

    Args:
        job: the job.
        records: this bank's.
        schema: the consortium's.
        known: the model that the job names (`Job.needs_model`), where it names one.
        journal: what this bank has kept of earlier attempts; None in the first.
        threads: how many work on the records.

    Returns:
        A function without arguments. The program's outcome has ``release`` and ``full``, both `ModelRelease`.

    Raises:
        JobError: the installed release has no program for the job, or the model that it needs is not fit for it.
        ContractError: the model that the job needs has other columns than the schema.
    """
    if known is not None and known.schema.columns != schema.columns:
        raise ContractError(
            "the model that the job names has other columns than the schema has now; name another model"
        )
    champion = None if known is None else read_model(known.model, known.schema)
    match job:
        case HorizontalXgboost():
            program: Callable[..., Program[Any]] = partial(horizontal_xgboost.train, champion=champion)
        case HorizontalScorecard():
            program = partial(horizontal_scorecard.train, champion=champion)
        case ModelMonitoring() if known is not None and champion is not None and known.evaluation is not None:
            scale = scale_of(known.model) or ScoreScale()
            program = partial(monitoring.monitor, model=champion, baseline=known.evaluation, scale=scale)
        case ModelMonitoring():
            raise JobError("the model to be monitored was not measured when it was developed; hold out loans then")
        case _:
            raise JobError(f"no program for job {job.kind} in this release")
    return partial(program, records, schema, job, journal=journal, threads=threads)
