"""Parties with different columns of the same customers, in one process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from riskfed.evaluation.record import Evaluation
from riskfed.jobs import VerticalXgboost
from riskfed.plan import SEALED, Plan
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import Program
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from riskfed.protocols.vertical.joined import joined_booster
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.schema import Schema
from riskfed.simulation.traffic import Ledger, Traffic, Transcript, parties_for
from riskfed.trees.cuts import Cuts
from riskfed.vertical_model import FeaturePart


@dataclass(frozen=True)
class VerticalResult:
    """What a simulated vertical run gave.

    Attributes:
        full: the label holder's part of the model, as it keeps it.
        release: the same as it was released.
        parts: feature holder -> its part.
        cuts: of the joined table's columns, the label holder's first: what no party has, for the comparison with pooled xgboost.
        common: customers whom all parties have.
        traffic: bytes by party and direction, and rounds.
        timings: wall seconds of ``opening``, ``training`` (alignment included) and ``total``.
        transcript: all that the server saw.
    """

    full: ModelRelease = field(repr=False)
    release: ModelRelease = field(repr=False)
    parts: Mapping[str, FeaturePart] = field(repr=False)
    cuts: Cuts = field(repr=False)
    common: int
    traffic: Traffic
    timings: Mapping[str, float]
    transcript: Transcript = field(repr=False)
    job: VerticalXgboost

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures on the held-out customers; empty where nobody was held out."""
        return self.release.metrics

    @property
    def evaluation(self) -> Evaluation | None:
        """How good the model is on the held-out customers."""
        return self.release.evaluation

    @cached_property
    def joined_model(self) -> bytes:
        """JSON of the booster over the joined table's columns: both sides' parts put together."""
        return joined_booster(self.full.model, self.parts, self.cuts, self.job)


def simulate_vertical(
    parties: Mapping[str, pd.DataFrame], schema: Schema, job: VerticalXgboost, *, key_bits: int = 2048, threads: int = 1
) -> VerticalResult:
    """Run a vertical job in one process, with the protocols, keys and envelopes of a real run.

    Args:
        parties: name -> its own records, with customer ids; the label holder's with the target. No policy is applied.
        schema: the joint one (`Schema.vertical`).
        job: what to train.
        key_bits: size of the Paillier modulus, 2048 at least.
        threads: how many each party may use.

    Raises:
        PlanError: the parties, the schema and the job do not belong together.
        ContractError: a party's records do not meet its part of the schema.
        JobError: the common records do not suit the job.
    """
    roster = tuple(sorted(parties))
    plan = Plan(
        run=f"simulation-{secrets.token_hex(8)}",
        roster=roster,
        job=job,
        schema_fingerprint=schema.fingerprint,
        protection=SEALED,
        key_bits=key_bits,
    )
    programs = {name: _program(name, plan, parties[name], schema, threads) for name in roster}
    seats, ledger, transcript = parties_for(plan, programs), Ledger(), Transcript()
    LocalSwitchboard(Switchboard(plan, transport="local", listener=ledger, tap=transcript.record), seats, roster).run()
    outcomes = {name: seat.outcome for name, seat in seats.items()}
    leader = outcomes[job.label_holder]
    partners = [name for name in roster if name != job.label_holder]
    return VerticalResult(
        full=leader.full,
        release=leader.release,
        parts={name: outcomes[name].part for name in partners},
        cuts=leader.cuts.joined(*(outcomes[name].cuts for name in partners)),
        common=leader.common,
        traffic=ledger.traffic(),
        timings=ledger.timings(),
        transcript=transcript,
        job=job,
    )


def _program(party: str, plan: Plan, frame: pd.DataFrame, schema: Schema, threads: int) -> Callable[[], Program[Any]]:
    return program_for(
        plan.job,
        Records.from_frame(frame, schema.part_of(party)),
        schema,
        bank=party,
        roster=plan.roster,
        key_bits=plan.key_bits,
        vertical_rules=VerticalRules(least_key_bits=plan.key_bits),
        threads=threads,
    )
