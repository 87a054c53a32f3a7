"""Which party program serves which kind of job. A vault runs these and nothing else: no code ever comes with a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from riskfed.errors import ContractError, JobError
from riskfed.evaluation.record import Evaluation
from riskfed.jobs import BankContribution, HorizontalScorecard, HorizontalXgboost, Job, ModelMonitoring
from riskfed.protocols import horizontal_scorecard, horizontal_xgboost, monitoring, private_xgboost
from riskfed.protocols.contribution.measure import measure
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_programs import vertical_program
from riskfed.protocols.vertical_rules import VerticalRules
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
    records: Records | None,
    schema: Schema,
    *,
    bank: str = "",
    roster: tuple[str, ...] = (),
    key_bits: int = 2048,
    known: KnownModel | None = None,
    journal: Sequence[bytes] | None = None,
    kept: Callable[[str], bytes | None] = lambda _: None,
    vertical_rules: VerticalRules | None = None,
    threads: int = 1,
) -> Callable[[], Program[Any]]:
    """What makes one bank's side of a job.

    Args:
        job: the job.
        records: this bank's; None of a party that holds none.
        schema: the consortium's.
        bank, roster: this bank and all; only jobs in which they do different things make use of them.
        key_bits: size of a vertical job's Paillier modulus.
        known: the model that the job names (`Job.needs_model`), where it names one.
        journal: what this bank has kept of earlier attempts; None in the first.
        kept: what this bank has kept under a name beyond earlier runs (`Keep`).
        vertical_rules: what the bank's policy says of vertical jobs.
        threads: how many work on the records.

    Returns:
        A function without arguments. The program's outcome has ``release`` and ``full``, both `ModelRelease`; that of a party that
        witnesses another's release has what it keeps itself, see `riskfed.protocols.vertical_programs`.

    Raises:
        JobError: the installed release has no program for the job, or the model or records that it needs are missing or not fit for it.
        ContractError: the model that the job needs has other columns than the schema.
    """
    if known is not None and known.schema.columns != schema.columns:
        raise ContractError(
            "the model that the job names has other columns than the schema has now; name another model"
        )
    if job.releaser is not None:
        rules = vertical_rules or VerticalRules()
        place = Place(bank, roster, kept("alignment"), journal, rules, key_bits, threads)
        return vertical_program(job, records, schema, place)
    if records is None:
        raise JobError(f"{bank} holds no records; a {job.kind} job needs those of every bank")
    if isinstance(job, BankContribution):
        return partial(measure, records, schema, job, bank=bank, roster=roster, journal=journal, threads=threads)
    return partial(_over_banks(job, known, roster), records, schema, job, journal=journal, threads=threads)


def _over_banks(job: Job, known: KnownModel | None, roster: tuple[str, ...]) -> Callable[..., Program[Any]]:
    """Of jobs in which all banks do the same."""
    champion = None if known is None else read_model(known.model, known.schema)
    match job:
        case HorizontalXgboost() if job.privacy is not None:
            return partial(private_xgboost.train, champion=champion, roster=roster)
        case HorizontalXgboost():
            return partial(horizontal_xgboost.train, champion=champion)
        case HorizontalScorecard():
            return partial(horizontal_scorecard.train, champion=champion)
        case ModelMonitoring() if known is not None and champion is not None and known.evaluation is not None:
            scale = scale_of(known.model) or ScoreScale()
            return partial(monitoring.monitor, model=champion, baseline=known.evaluation, scale=scale)
        case ModelMonitoring():
            raise JobError("the model to be monitored was not measured when it was developed; hold out loans then")
    raise JobError(f"no program for job {job.kind} in this release")
