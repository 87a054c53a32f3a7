"""Parties with different columns of the same customers, in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import pandas as pd

from riskfed.evaluation.record import Evaluation
from riskfed.jobs import VerticalLogistic, VerticalXgboost
from riskfed.linear_model import ScorePart
from riskfed.protocols.events import Listener
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.vertical.joined import joined_booster
from riskfed.schema import Schema
from riskfed.simulation.sealed import run_sealed
from riskfed.simulation.traffic import Traffic, Transcript
from riskfed.trees.cuts import Cuts
from riskfed.vertical_model import FeaturePart


@dataclass(frozen=True)
class VerticalRun:
    """What a simulated vertical run of any kind gave.

    Attributes:
        full: the label holder's part of the model, as it keeps it.
        release: the same as it was released.
        common: customers whom all parties have.
        traffic: bytes by party and direction, and rounds.
        timings: wall seconds of ``opening``, ``training`` (alignment included) and ``total``.
        transcript: all that the server saw.
    """

    full: ModelRelease = field(repr=False)
    release: ModelRelease = field(repr=False)
    common: int
    traffic: Traffic
    timings: Mapping[str, float]
    transcript: Transcript = field(repr=False)

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures on the held-out customers; empty where nobody was held out."""
        return self.release.metrics

    @property
    def evaluation(self) -> Evaluation | None:
        """How good the model is on the held-out customers."""
        return self.release.evaluation


@dataclass(frozen=True)
class VerticalResult(VerticalRun):
    """What a run of vertical XGBoost gave.

    Attributes:
        parts: feature holder -> its part.
        cuts: of the joined table's columns, the label holder's first: what no party has, for the comparison with pooled xgboost.
        job: what was trained.
    """

    parts: Mapping[str, FeaturePart] = field(repr=False)
    cuts: Cuts = field(repr=False)
    job: VerticalXgboost

    @cached_property
    def joined_model(self) -> bytes:
        """JSON of the booster over the joined table's columns: both sides' parts put together."""
        return joined_booster(self.full.model, self.parts, self.cuts, self.job)


@dataclass(frozen=True)
class LogisticResult(VerticalRun):
    """What a vertical logistic regression gave.

    Attributes:
        parts: feature holder -> its part.
        losses: mean loss of each epoch, by the job's polynomial.
        job: what was trained.
    """

    parts: Mapping[str, ScorePart] = field(repr=False)
    losses: tuple[float, ...]
    job: VerticalLogistic


@overload
def simulate_vertical(
    parties: Mapping[str, pd.DataFrame],
    schema: Schema,
    job: VerticalXgboost,
    *,
    key_bits: int = ...,
    threads: int = ...,
    listener: Listener | None = ...,
) -> VerticalResult: ...


@overload
def simulate_vertical(
    parties: Mapping[str, pd.DataFrame],
    schema: Schema,
    job: VerticalLogistic,
    *,
    key_bits: int = ...,
    threads: int = ...,
    listener: Listener | None = ...,
) -> LogisticResult: ...


def simulate_vertical(
    parties: Mapping[str, pd.DataFrame],
    schema: Schema,
    job: VerticalXgboost | VerticalLogistic,
    *,
    key_bits: int = 2048,
    threads: int = 1,
    listener: Listener | None = None,
) -> VerticalResult | LogisticResult:
    """Run a vertical job in one process, with the protocols, keys and envelopes of a real run.

    Args:
        parties: name -> its own records, with customer ids; the label holder's with the target. A party without records, such as a
            coordinator, is not among them. No policy is applied.
        schema: the joint one (`Schema.vertical`).
        job: what to train.
        key_bits: size of the Paillier modulus, 2048 at least.
        threads: how many each party may use.
        listener: told of everything as it happens, such as progress.

    Raises:
        PlanError: the parties, the schema and the job do not belong together.
        ContractError: a party's records do not meet its part of the schema.
        JobError: the common records do not suit the job.
    """
    ran = run_sealed(parties, schema, job, key_bits=key_bits, threads=threads, listener=listener)
    outcomes, leader = ran.outcomes, ran.outcomes[job.label_holder]
    partners = [name for name in sorted(parties) if name != job.label_holder]
    run = VerticalRun(leader.full, leader.release, leader.common, ran.traffic, ran.timings, ran.transcript)
    parts: dict[str, Any] = {name: outcomes[name].part for name in partners}
    if isinstance(job, VerticalLogistic):
        return LogisticResult(**vars(run), parts=parts, losses=leader.losses, job=job)
    cuts = leader.cuts.joined(*(outcomes[name].cuts for name in partners))
    return VerticalResult(**vars(run), parts=parts, cuts=cuts, job=job)
