"""Vertical runs over both transports: two parties, sealed envelopes only; a killed party does not change the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from riskfed.datasets.vertical import taiwan_parties, taiwan_vertical_schema
from riskfed.flower.client_app import app
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import RunFile
from riskfed.flower.server_app import serve_run
from riskfed.jobs import VerticalXgboost
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.frames import Kind
from riskfed.protocols.program import Program
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.vertical.joined import joined_booster
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.secure import paillier_key
from tests.flower.federation import QUICK, InProcessGrid, PartyVault, context_for, vaults

NODES = {"lender": 21, "payments": 22}
JOB = VerticalXgboost(label_holder="lender", n_estimators=2, max_depth=2, max_bin=8, validation_fraction=0.2)
KEY_BITS = 768
TRANSPORTS = pytest.mark.parametrize("transport", ["session", "message"])


@cache
def records() -> dict[str, pd.DataFrame]:
    return taiwan_parties(rows=400)


class VerticalVault(PartyVault):
    """A party of the vertical job; without a vault's policy."""

    @staticmethod
    def make(vault: PartyVault, plan: Plan, journal: list[bytes] | None) -> Callable[[], Program[Any]]:
        schema = taiwan_vertical_schema()
        own = Records.from_frame(records()[vault.bank], schema.part_of(vault.bank))
        return program_for(
            plan.job,
            own,
            schema,
            bank=vault.bank,
            roster=plan.roster,
            journal=journal,
            kept=vault.kept.get,
            key_bits=plan.key_bits,
            vertical_rules=VerticalRules(least_key_bits=KEY_BITS),
        )


class Lending:
    """The lender and the payments company, with an operator between them."""

    def __init__(self, folder: Path, opened: dict[str, PartyVault]) -> None:
        self.folder, self.vaults = folder, opened
        contexts = {NODES[party]: context_for(vault, node=NODES[party]) for party, vault in opened.items()}
        self.grid = InProcessGrid(app, contexts)
        self.events: list[events.Event] = []
        (folder / "schema.json").write_text(taiwan_vertical_schema().model_dump_json())

    def run(self, transport: str, run: str | None = "run-1", **changes: Any) -> Outcome:
        fields = {
            "job": JOB.model_dump(),
            "roster": NODES,
            "schema_file": "schema.json",
            "key_bits": KEY_BITS,
            "limits": QUICK.model_dump() | {"round_timeout": 60},
            "transport": transport,
            **changes,
        }
        (self.folder / "run.json").write_text(json.dumps(fields))
        return serve_run(self.grid, RunFile.load(self.folder / "run.json"), run, lambda *_: [self.events.append])

    @property
    def release(self) -> ModelRelease:
        return ModelRelease.from_bytes((self.folder / "release.json").read_bytes())

    @property
    def joined_model(self) -> bytes:
        """Both sides' parts put together: the same whatever order a feature holder's columns were hidden in."""
        lender, payments = (self.vaults[party].party.outcome for party in NODES)
        cuts = lender.cuts.joined(payments.cuts)
        return joined_booster(self.release.model, {"payments": payments.part}, cuts, JOB)


@pytest.fixture
def lending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lending]:
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", KEY_BITS)
    with vaults(NODES, VerticalVault) as opened:
        yield Lending(tmp_path, opened)


@TRANSPORTS
def test_the_label_holders_part_is_released_and_the_other_stays(lending: Lending, transport: str) -> None:
    outcome = lending.run(transport)

    assert (outcome.status, outcome.reason, outcome.unconfirmed) == ("finished", "", {})
    assert (outcome.protection, outcome.trees, outcome.job) == ("sealed", JOB.n_estimators, "vertical_xgboost")
    release = lending.release
    (partner,) = release.partners
    part = lending.vaults["payments"].party.outcome.part
    assert partner.sha256 == part.sha256
    assert partner.splits == len(part.rules) > 0
    columns = {rule.column for rule in part.rules}
    assert not [column for column in columns if column.encode() in release.to_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "party"), [("session", "lender"), ("session", "payments"), ("message", "payments")]
)
def test_a_party_that_dies_does_not_change_the_model(lending: Lending, transport: str, party: str) -> None:
    untouched = lending.run("session")
    expected, heard = lending.joined_model, len(lending.vaults[party].heard)
    late = heard + untouched.rounds - 8  # somewhere in the last tree
    lending.vaults[party].crashes = [heard + 12, late + 12]

    outcome = lending.run(transport, "run-2", on_loss="wait", limits=QUICK.model_dump() | {"round_timeout": 60})

    assert (outcome.status, outcome.reason) == ("finished", "")
    assert outcome.attempts > 1
    assert lending.joined_model == expected
    told = [event for event in lending.events if isinstance(event, events.AttemptFailed)]
    assert told
    assert all(party in event.reason for event in told)


def test_what_passes_through_the_server_is_sealed(lending: Lending) -> None:
    lending.run("session")
    kinds = {frame.kind for vault in lending.vaults.values() for _, frames in vault.heard for frame in frames}
    assert Kind.EXCHANGE in kinds
    assert not kinds & {Kind.COMBINE}
    ids = {key.strip().encode() for frame in records().values() for key in frame["customer_id"]}
    bodies = b"".join(f.body for vault in lending.vaults.values() for _, frames in vault.heard for f in frames)
    assert not [key for key in ids if key in bodies]
