"""Real federations in one process whose events reach a listener, as the server's do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import pandas as pd

from riskfed.datasets import load_taiwan, taiwan_consortium, taiwan_schema
from riskfed.jobs import Job
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Attribute, Schema
from riskfed.secure.keys import Identity

SCHEMA: Schema = taiwan_schema().model_copy(
    update={
        "description": "default on the credit card's payment in October 2005; customers of banks in Taiwan, April to September 2005",
        "attributes": (
            Attribute(name="age", role="protected", edges=(30.0, 45.0), reference=1),
            Attribute(name="sex", role="protected", encoding="ordinal", levels=(1, 2)),
            Attribute(name="marriage", encoding="ordinal", levels=(1, 2, 3, 0)),
        ),
    }
)


def taiwan_banks(rows: int | None = None) -> dict[str, pd.DataFrame]:
    """Five banks of the Taiwan data, or of some of its rows."""
    frame = load_taiwan()
    return taiwan_consortium(frame=frame if rows is None else frame.head(rows).reset_index(drop=True))


def federate(
    banks: Mapping[str, pd.DataFrame],
    schema: Schema,
    job: Job,
    listener: events.Listener,
    *,
    known: ModelRelease | None = None,
    shown: frozenset[str] = frozenset(),
) -> ModelRelease:
    """Run a job under masking; `shown` banks show their own figures. Returns the full release, as the banks keep it."""
    roster = tuple(sorted(banks))
    plan = Plan(
        run=f"run-{secrets.token_hex(4)}",
        roster=roster,
        job=job,
        schema_fingerprint=schema.fingerprint,
        protection="masking",
    )
    keys = {name: Identity.generate() for name in roster}
    pinned = {name: key.public for name, key in keys.items()}
    programs = {
        name: program_for(job, Records.from_frame(banks[name], schema), schema, bank=name, roster=roster, known=known)
        for name in roster
    }
    parties = {
        name: Party(Seat(name, keys[name], pinned, plan), programs[name], shows_own_metrics=name in shown)
        for name in roster
    }
    LocalSwitchboard(Switchboard(plan, transport="local", listener=listener), parties, list(roster)).run()
    return parties[roster[0]].outcome.full
