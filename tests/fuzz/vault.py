"""A vault's service under garbage: it answers everything, opens nothing that it should not, and still serves a right run afterwards."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import structlog

from bank_nodes.config import load_config
from bank_nodes.log import VaultLog, verify_log
from bank_nodes.run_service import RunService
from bank_nodes.vault import make_service
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch, first_kind
from riskfed.protocols.switchboard import Switchboard
from riskfed.simulation import simulate
from tests.bank_nodes.banks import BANKS, JOB, SCHEMA, label_of, loans, make_consortium, plan_batch, plan_for
from tests.fuzz.harness import Session, Target
from tests.fuzz.mutator import Mutator

POLICY = "min_rows = 50\nmax_runs_per_day = 100000000\nmax_rounds_per_day = 100000000"
FRAMES = {bank: loans(seed, rows=60) for seed, bank in enumerate(BANKS)}


@contextmanager
def services() -> Iterator[dict[str, RunService]]:
    """The vaults of three banks, without their processes and sockets."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # What a disk costs is not what is looked for here.
        stack.enter_context(patch.object(os, "fsync", lambda descriptor: None))
        stack.enter_context(structlog.testing.capture_logs())
        configs = make_consortium(folder, FRAMES, policies=dict.fromkeys(BANKS, POLICY))
        logs = {bank: stack.enter_context(VaultLog(load_config(path).vault.log)) for bank, path in configs.items()}
        yield {bank: make_service(load_config(path), logs[bank]) for bank, path in configs.items()}
        for path in configs.values():
            verify_log(load_config(path).vault.log)


def train(vaults: dict[str, RunService], run: str) -> tuple[bytes, list[dict[str, bytes]]]:
    """A right run: the model, and what the switchboard answered."""
    plan, said = plan_for(run), []
    switchboard = Switchboard(plan, transport="test")
    batches = {bank: vault.handle(label_of(plan), plan_batch(plan)) for bank, vault in vaults.items()}
    while any(batches.values()):
        said.append(switchboard.round(batches))
        batches = {bank: vault.handle(label_of(plan), said[-1][bank]) for bank, vault in vaults.items()}
    assert switchboard.release is not None
    return switchboard.release.model, said


@contextmanager
def vault_under_garbage() -> Iterator[Session]:
    """Garbage for one vault of three; they train the right model before, and after."""
    expected = simulate(FRAMES, SCHEMA, JOB).release.model
    with services() as vaults:
        booster, said = train(vaults, "before")
        assert booster == expected
        answers = [encode_batch([Frame(kind, 0, b"x")]) for kind in Kind] + [answer["ash"] for answer in said]
        numbers = iter(range(10**9))

        def make(mutator: Mutator) -> list[tuple[str, bytes]]:
            plan = plan_for(f"run-{next(numbers)}", attempt=mutator.choice((1, 1, 1, 2)))
            label = mutator.choice((label_of(plan), label_of(plan), "before/1", "x", "", "../x/1"))
            opening = plan_batch(plan)
            if mutator.random.random() < 0.6:
                body = mutator.json_like([plan.model_dump_json().encode()])
                opening = encode_batch([Frame(Kind.PLAN, 0, body)])
            rest = [(label_of(plan), mutator.bytes_like(answers)) for _ in range(mutator.random.randrange(3))]
            return [(label, opening), *rest]

        def feed(requests: list[tuple[str, bytes]]) -> None:
            for label, batch in requests:
                answer = vaults["ash"].handle(label, batch, carrier="attacker")
                frames = decode_batch(answer) if answer else []
                told = {frame.kind for frame in frames} - {Kind.FAILED, Kind.LOST}
                # The one thing that an opened run says before it was answered rightly is its signed public key.
                assert told <= {Kind.EXCHANGE}
                assert not told or (first_kind(batch) is Kind.PLAN and len(answer) < 300)
            vaults["ash"].disconnect("attacker")

        yield make, feed
        booster, _ = train(vaults, "after")
        assert booster == expected
        assert json.loads(booster)


VAULTS = [Target("RunService.handle", 600, vault_under_garbage)]
