"""Hostile code in the courier's place, against a vault as it really runs: it gets nothing and harms nothing."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from riskfed.plan import Plan
from riskfed.protocols.frames import Frame, Kind, encode_batch
from riskfed.protocols.switchboard import Switchboard
from riskfed.simulation import simulate
from tests.bank_nodes.banks import (
    BANKS,
    JOB,
    SCHEMA,
    VaultProcess,
    label_of,
    lines_of,
    plan_batch,
    plan_for,
    reason_in,
    train_over_sockets,
)
from tests.hostile.attacked import (
    Report,
    found_in,
    lay_out,
    marked_loans,
    other_users_python,
    run_attacks,
    secrets_of,
)
from tests.hostile.malicious_courier import MACHINE, REFUSALS, SOCKET

TWO_USERS = pytest.mark.skipif(
    other_users_python() is None, reason="only root can start the attacker as another user than the vault"
)


@dataclass
class Attack:
    """A trio of vaults of which one was attacked in the middle of a run."""

    vaults: dict[str, VaultProcess]
    report: Report
    booster: bytes
    plan: Plan


@pytest.fixture(scope="module")
def vaults() -> Iterator[dict[str, VaultProcess]]:
    folder = Path(tempfile.mkdtemp(prefix="rf"))  # other users cannot enter a test's own folder
    try:
        configs = lay_out(folder)
        with ExitStack() as stack:
            yield {bank: stack.enter_context(VaultProcess(config)) for bank, config in configs.items()}
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def attack(vaults: dict[str, VaultProcess]) -> Attack:
    """A finished run leaves a model and a log to steal; then all attacks hit one bank while the next run is under way."""
    train_over_sockets(vaults, plan_for("before"))
    plan, reports = plan_for("during"), []
    switchboard = Switchboard(plan, transport="test")
    label = label_of(plan)
    batches = {bank: vault.ask(label, plan_batch(plan)) for bank, vault in vaults.items()}
    rounds = 0
    while any(batches.values()):
        answers = switchboard.round(batches)
        if rounds == 8:  # records are in play by now
            reports.append(run_attacks(vaults["ash"], plan, [*(MACHINE if other_users_python() else []), *SOCKET]))
        batches = {bank: vault.ask(label, answers[bank]) for bank, vault in vaults.items()}
        rounds += 1
    assert switchboard.release is not None
    return Attack(vaults, reports[0], switchboard.release.model, plan)


def expected_booster() -> bytes:
    return simulate({bank: marked_loans(seed) for seed, bank in enumerate(BANKS)}, SCHEMA, JOB).release.model


@pytest.mark.parametrize("name", SOCKET)
def test_what_the_socket_is_sent_wins_nothing(attack: Attack, name: str) -> None:
    assert attack.report.won[name] == []


@TWO_USERS
@pytest.mark.parametrize("name", MACHINE)
def test_the_couriers_user_reaches_nothing_of_the_vaults(attack: Attack, name: str) -> None:
    assert attack.report.user != attack.vaults["ash"].folder.stat().st_uid
    assert attack.report.won[name] == []


def test_nothing_secret_was_sent_to_the_attacker(attack: Attack) -> None:
    assert len(attack.report.received) > 10_000
    assert len(list(secrets_of(attack.vaults["ash"].folder))) > 400
    assert found_in(attack.report.received, attack.vaults["ash"].folder) == []


def test_the_run_that_was_under_way_gave_the_right_model(attack: Attack) -> None:
    assert attack.booster == expected_booster()


def test_the_next_run_gives_the_right_model(attack: Attack) -> None:
    assert train_over_sockets(attack.vaults, plan_for("after")).model == expected_booster()


def test_the_attack_stands_in_the_vaults_log_and_forged_no_line_of_it(attack: Attack) -> None:
    vault = attack.vaults["ash"]
    refused = vault.events("refused")  # reading it checks the chain
    assert {"forged/1", "ping/1"} <= {entry["run"] for entry in refused}
    assert all(entry["run"].isprintable() for entry in refused)
    said = vault.stderr().splitlines()
    assert len(said) == len(lines_of(vault.folder / "stderr.txt"))  # every line is one JSON object
    assert [line for line in said if "Traceback" in line] == []


def test_the_attack_opened_no_run(attack: Attack) -> None:
    opened = {entry["run"] for entry in attack.vaults["ash"].events("opened")}
    assert opened <= {"before/1", "during/1", "after/1", "ended/1", "slow/1", "mine/1"}


def test_whoever_knows_a_runs_label_can_end_it_and_nothing_else(attack: Attack) -> None:
    vault, plan = attack.vaults["ash"], plan_for("ended")
    vault.ask(label_of(plan), plan_batch(plan))
    with vault.connect() as other:
        head = struct.pack(">BQ", 7, 13)
        other.sendall(head + b"ended/1" + encode_batch([Frame(Kind.FAILED, 0)]))
        assert other.recv(100) == struct.pack(">BQ", 7, 0) + b"ended/1"
    assert vault.ask("ended/1", encode_batch([Frame(Kind.EXCHANGE, 0)]))[:1] in REFUSALS


def test_while_a_crowd_holds_its_connections_a_courier_gets_in_and_keeps_its_own(attack: Attack) -> None:
    vault, plan = attack.vaults["ash"], plan_for("slow")
    assert vault.ask(label_of(plan), plan_batch(plan))[:1] == bytes([Kind.EXCHANGE])
    with ExitStack() as crowd:
        for _ in range(100):
            crowd.enter_context(vault.connect()).sendall(b"\x05\0")
        threads = len(os.listdir(f"/proc/{vault.process.pid}/task"))
        assert threads < 80
        # The same connection, which has been silent for longest, still carries its run.
        assert "ended the run" not in reason_in(vault.ask("slow/1", encode_batch([Frame(Kind.DONE, 0)])))
