"""Parties that exchange envelopes and sum nothing, in one process: what simulations of vertical jobs have in common."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from riskfed.jobs import Job
from riskfed.plan import SEALED, Plan
from riskfed.protocols.events import Event, Listener
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import Program
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.switchboard import Switchboard
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.schema import Schema
from riskfed.simulation.traffic import Ledger, Traffic, Transcript, parties_for


@dataclass(frozen=True, slots=True)
class SealedRun:
    """What came of it.

    Attributes:
        outcomes: party -> what its program returned.
        traffic: bytes by party and direction, and rounds.
        timings: wall seconds of ``opening``, ``training`` (alignment included) and ``total``.
        transcript: all that the server saw.
    """

    outcomes: Mapping[str, Any] = field(repr=False)
    traffic: Traffic
    timings: Mapping[str, float]
    transcript: Transcript = field(repr=False)


def run_sealed(
    parties: Mapping[str, pd.DataFrame],
    schema: Schema,
    job: Job,
    *,
    key_bits: int,
    threads: int = 1,
    listener: Listener | None = None,
) -> SealedRun:
    """Run a job with the protocols, keys and envelopes of a real run. Arguments and errors as in `riskfed.simulate_vertical`."""
    roster = tuple(sorted({*parties, *job.parties_without_records}))
    plan = Plan(
        run=f"simulation-{secrets.token_hex(8)}",
        roster=roster,
        job=job,
        schema_fingerprint=schema.fingerprint,
        protection=SEALED,
        key_bits=key_bits,
    )
    programs = {name: _program(name, plan, parties.get(name), schema, threads) for name in roster}
    seats, ledger, transcript = parties_for(plan, programs), Ledger(), Transcript()

    def heard(event: Event) -> None:
        ledger(event)
        if listener is not None:
            listener(event)

    LocalSwitchboard(Switchboard(plan, transport="local", listener=heard, tap=transcript.record), seats, roster).run()
    outcomes = {name: seat.outcome for name, seat in seats.items()}
    return SealedRun(outcomes, ledger.traffic(), ledger.timings(), transcript)


def _program(
    party: str, plan: Plan, frame: pd.DataFrame | None, schema: Schema, threads: int
) -> Callable[[], Program[Any]]:
    return program_for(
        plan.job,
        None if frame is None else Records.from_frame(frame, schema.part_of(party)),
        schema,
        bank=party,
        roster=plan.roster,
        key_bits=plan.key_bits,
        vertical_rules=VerticalRules(least_key_bits=plan.key_bits),
        threads=threads,
    )
