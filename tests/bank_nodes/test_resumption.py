"""A vault that is killed in the middle of a run comes back and goes on from its checkpoint; a full disk is told, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from riskfed.errors import BankLostError, RunFailedError
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.switchboard import Switchboard
from riskfed.simulation import simulate
from tests.bank_nodes.banks import (
    BANKS,
    JOB,
    SCHEMA,
    VaultProcess,
    label_of,
    loans,
    make_consortium,
    plan_batch,
    plan_for,
    reason_in,
    train_over_sockets,
)

FRAMES = {bank: loans(seed) for seed, bank in enumerate(BANKS)}


@pytest.fixture(scope="module")
def expected() -> bytes:
    return simulate(FRAMES, SCHEMA, JOB).release.model


@pytest.fixture
def vaults(tmp_path: Path) -> Iterator[dict[str, VaultProcess]]:
    configs = make_consortium(tmp_path, FRAMES)
    opened = {bank: VaultProcess(config) for bank, config in configs.items()}
    yield opened
    for vault in opened.values():
        vault.__exit__()


def train_until(
    vaults: dict[str, VaultProcess], plan: Plan, trees: int, after_tree: Callable[[], None] = lambda: None
) -> dict[str, bytes]:
    """Serve the run until so many trees are done; the answers that the banks were to get next."""
    done = [0]

    def count(event: events.Event) -> None:
        if isinstance(event, events.ProgressMade):
            done.append(event.step)
            after_tree()

    switchboard, label = Switchboard(plan, transport="test", listener=count), label_of(plan)
    batches = {bank: vault.ask(label, plan_batch(plan)) for bank, vault in vaults.items()}
    while True:
        answers = switchboard.round(batches)
        if done[-1] >= trees:
            return answers
        batches = {bank: vaults[bank].ask(label, answers[bank]) for bank in vaults}


def restart(vault: VaultProcess) -> VaultProcess:
    vault.process.send_signal(signal.SIGKILL)
    vault.process.wait(20)
    vault.hang_up()
    vault.errors.close()
    return VaultProcess(vault.config)


def fill(path: Path) -> None:
    """Take what is left of a disk."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 512)


def test_killed_vaults_go_on_in_the_next_attempt(vaults: dict[str, VaultProcess], expected: bytes) -> None:
    first = plan_for("r")
    answers = train_until(vaults, first, 2)
    vaults["birch"] = restart(vaults["birch"])

    (lost,) = decode_batch(vaults["birch"].ask(label_of(first), answers["birch"]))
    assert (lost.kind, lost.body.decode()) == (Kind.LOST, "the vault of birch was restarted")
    release = train_over_sockets(vaults, plan_for("r", attempt=2))

    assert release.model == expected
    for vault in vaults.values():
        assert [event["run"] for event in vault.events("opened")] == ["r/1", "r/2"]
        assert not list((vault.folder / "checkpoints").iterdir()), "a finished run keeps no journal"
    sums = [event["run"] for event in vaults["ash"].events("left") if event["frame"] == "COMBINE"]
    sent = [m.data for m in simulate(FRAMES, SCHEMA, JOB).transcript if (m.bank, m.direction) == ("ash", "received")]
    of_a_whole_run = sum(frame.kind is Kind.COMBINE for data in sent for frame in decode_batch(data))
    assert sums.count("r/2") < of_a_whole_run, "the trees that were done are not grown again"


def test_a_line_that_the_crash_left_unfinished_is_passed_over(vaults: dict[str, VaultProcess], expected: bytes) -> None:
    train_until(vaults, plan_for("r"), 2)
    vaults["cedar"].process.send_signal(signal.SIGKILL)
    vaults["cedar"].process.wait(20)
    with (vaults["cedar"].folder / "checkpoints" / "r.jsonl").open("ab") as journal:
        journal.write(b'{"number":2,"tr')
    vaults["cedar"] = restart(vaults["cedar"])

    assert train_over_sockets(vaults, plan_for("r", attempt=2)).model == expected


def test_an_attempt_is_served_once(vaults: dict[str, VaultProcess]) -> None:
    plan = plan_for("r")
    train_until(vaults, plan, 1)
    vaults["ash"] = restart(vaults["ash"])
    assert "has served run r/1 already" in reason_in(vaults["ash"].ask(label_of(plan), plan_batch(plan)))


def test_a_journal_of_another_plan_is_not_used(vaults: dict[str, VaultProcess]) -> None:
    train_until(vaults, plan_for("r"), 2)
    other = JOB.model_copy(update={"max_depth": 1})
    release = train_over_sockets(vaults, plan_for("r", attempt=2, job=other))
    assert release.model == simulate(FRAMES, SCHEMA, other).release.model


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_the_run_with_a_word_and_loses_nothing(tmp_path: Path, expected: bytes) -> None:
    configs, disk = make_consortium(tmp_path, FRAMES), tmp_path / "disk"
    places = f'log = "{disk}/vault.log"\ncheckpoints = "{disk}/checkpoints"'
    configs["ash"].write_text(configs["ash"].read_text().replace('log = "vault.log"', places))
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    vaults = {bank: VaultProcess(config) for bank, config in configs.items()}
    vaults["ash"].log_path = disk / "vault.log"
    try:
        told = r"bank ash ended the run: bank ash cannot write its log or checkpoints \(No space left on device\)"
        with pytest.raises(RunFailedError, match=told):
            train_until(vaults, plan_for("r"), 3, after_tree=lambda: fill(disk / "filler"))
        (disk / "filler").unlink()

        assert train_over_sockets(vaults, plan_for("r", attempt=2)).model == expected
        assert len(vaults["ash"].events("opened")) == 2  # read_log has checked the chain
    finally:
        for vault in vaults.values():
            vault.__exit__()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_lost_bank_is_told_apart_from_one_that_gives_up() -> None:
    switchboard = Switchboard(plan_for("r"), transport="test")
    lost = {bank: encode_batch([Frame(Kind.LOST, 0, b"gone")]) for bank in BANKS}
    with pytest.raises(BankLostError, match="bank ash is lost: gone"):
        switchboard.round(lost)
    failed = {bank: encode_batch([Frame(Kind.FAILED, 0, b"no")]) for bank in BANKS}
    with pytest.raises(RunFailedError, match="bank ash ended the run: no"):
        switchboard.round(failed)
