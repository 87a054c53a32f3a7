"""What a vault survives: frames that mean nothing, couriers that come and go, and kill -9."""

from __future__ import annotations

import grp
import os
import signal
import socket
import stat
import struct
import time
from collections.abc import Hashable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bank_nodes.config import load_config
from bank_nodes.listener import Listener
from bank_nodes.log import VaultLog
from bank_nodes.vault import make_service
from riskfed.errors import ConfigurationError
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.secure.keys import Identity
from tests.bank_nodes.banks import (
    BANKS,
    VaultProcess,
    label_of,
    loans,
    make_consortium,
    plan_batch,
    plan_for,
    reason_in,
)


class Nobody:
    """A service for a socket that nobody connects to."""

    def handle(self, label: str, batch: bytes, carrier: Hashable = None) -> bytes:
        raise NotImplementedError

    def disconnect(self, carrier: Hashable) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultProcess]:
    configs = make_consortium(tmp_path_factory.mktemp("one"), {bank: loans(1) for bank in BANKS})
    with VaultProcess(configs["ash"]) as vault:
        yield vault


@pytest.fixture
def vault(process: VaultProcess) -> VaultProcess:
    """The vault, without an open run."""
    if process.log_path.exists():
        for event in process.events("opened"):
            process.ask(event["run"], encode_batch([Frame(Kind.FAILED, 0, b"the test is over")]))
    return process


def open_run(vault: VaultProcess, run: str, attempt: int = 1) -> str:
    plan = plan_for(run, attempt=attempt)
    (hello,) = decode_batch(vault.ask(label_of(plan), plan_batch(plan)))
    assert hello.kind is Kind.EXCHANGE
    return label_of(plan)


def answered(vault: VaultProcess, run: str) -> str:
    """The reason for which a run was refused; empty if it was opened."""
    plan = plan_for(run)
    (frame,) = decode_batch(vault.ask(label_of(plan), plan_batch(plan)))
    return frame.body.decode() if frame.kind is Kind.FAILED else ""


@pytest.mark.parametrize(
    "batch",
    [
        b"",
        b"\x00",
        b"\xff" * 200,
        struct.pack(">BIQ", 99, 0, 0),
        struct.pack(">BIQ", Kind.PLAN, 0, 1 << 40),
        encode_batch([Frame(Kind.PLAN, 0, b"{}")]),
        encode_batch([Frame(Kind.PLAN, 0, b"\xff not json")]),
        encode_batch([Frame(Kind.PLAN, 7, plan_for("junk").model_dump_json().encode())]),
        encode_batch([Frame(Kind.PLAN, 0), Frame(Kind.PLAN, 0)]),
        encode_batch([Frame(Kind.PLAN, 0, b"[" * 1_000_000)]),
        encode_batch([Frame(Kind.PLAN, 0, b" " * (1 << 20) + b"{}")]),
        encode_batch([Frame(Kind.COMBINE, 0, b"give me")]),
        encode_batch([Frame(Kind.RELEASE, 0)]),
    ],
    ids=range(13),
)
def test_junk_is_answered_with_a_refusal_and_the_vault_lives(vault: VaultProcess, batch: bytes) -> None:
    reason_in(vault.ask("junk/1", batch))
    assert vault.process.poll() is None


@pytest.mark.parametrize(
    "wrong", [Frame(Kind.COMBINE, 0), Frame(Kind.EXCHANGE, 1), Frame(Kind.DONE, 0), Frame(Kind.PLAN, 0)]
)
def test_an_answer_that_was_not_asked_for_ends_the_run(vault: VaultProcess, wrong: Frame) -> None:
    label = open_run(vault, f"wrong-{wrong.kind.name}-{wrong.step}")
    reason_in(vault.ask(label, encode_batch([wrong])))
    assert vault.events()[-2]["event"] == "dropped"
    assert "not open" in reason_in(vault.ask(label, encode_batch([Frame(Kind.EXCHANGE, 0)])))


def test_a_request_for_another_run_does_not_touch_the_open_one(vault: VaultProcess) -> None:
    label = open_run(vault, "steady")
    assert "not open" in reason_in(vault.ask("other/1", encode_batch([Frame(Kind.EXCHANGE, 0)])))
    assert "busy with run steady/1" in reason_in(vault.ask("late/1", plan_batch(plan_for("late"))))
    assert vault.ask(label, encode_batch([Frame(Kind.FAILED, 0, b"the server is going home")])) == b""
    assert (
        vault.events()[-1] | {"event": "dropped", "reason": "the server ended the run: the server is going home"}
        == (vault.events()[-1])
    )


def test_a_failed_frame_for_no_run_is_taken_in_silence(vault: VaultProcess) -> None:
    assert vault.ask("never/1", encode_batch([Frame(Kind.FAILED, 0, b"sorry")])) == b""


def test_a_replayed_plan_is_refused(vault: VaultProcess) -> None:
    label = open_run(vault, "again")
    assert "has served run again/1" in reason_in(vault.ask(label, plan_batch(plan_for("again"))))


def test_a_later_attempt_takes_the_place_of_the_open_one(vault: VaultProcess) -> None:
    first = open_run(vault, "resumed")
    open_run(vault, "resumed", attempt=2)
    assert "not open" in reason_in(vault.ask(first, encode_batch([Frame(Kind.EXCHANGE, 0)])))


def test_a_run_whose_courier_is_gone_makes_room(vault: VaultProcess) -> None:
    open_run(vault, "orphan")
    vault.hang_up()
    deadline = time.monotonic() + 10
    while "busy" in (reason := answered(vault, "next")) and time.monotonic() < deadline:
        time.sleep(0.02)  # until the vault has noticed that the connection is closed
    assert not reason
    assert [e["run"] for e in vault.events("dropped")][-1] == "orphan/1"


def test_a_run_may_span_connections(vault: VaultProcess) -> None:
    label = open_run(vault, "steps")
    vault.hang_up()
    assert "not open" not in reason_in(vault.ask(label, encode_batch([Frame(Kind.DONE, 0)])))


def test_a_broken_connection_does_not_kill_the_vault(vault: VaultProcess) -> None:
    for start in (b"\x05", struct.pack(">BQ", 1, 1 << 62) + b"x", struct.pack(">BQ", 2, 0) + b"\xff\xff"):
        with vault.connect() as connection:
            connection.sendall(start)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # what it left unread makes the vault's close a reset
                assert connection.recv(1) == b""
    open_run(vault, "after-junk")


def test_only_the_owner_may_connect(vault: VaultProcess) -> None:
    vault.connect().close()
    mode = vault.socket_path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(vault.log_path.stat().st_mode) == 0o600


def test_kill_9_leaves_nothing_broken(tmp_path: Path) -> None:
    config = make_consortium(tmp_path, {bank: loans(1) for bank in BANKS})["ash"]
    with VaultProcess(config) as killed:
        label = open_run(killed, "cut")
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        assert killed.socket_path.exists()
    with VaultProcess(config) as vault:
        (lost,) = decode_batch(vault.ask(label, encode_batch([Frame(Kind.EXCHANGE, 0)])))
        assert lost.kind is Kind.LOST
        assert "has served run cut/1" in reason_in(vault.ask(label, plan_batch(plan_for("cut"))))
        open_run(vault, "cut", attempt=2)
        with pytest.raises(ConfigurationError, match="another vault"):
            VaultLog(vault.log_path)
        with pytest.raises(ConfigurationError, match="another process listens"):
            Listener(vault.socket_path, Nobody()).__enter__()
    assert vault.process.returncode == 0
    assert not vault.socket_path.exists()
    assert vault.events()[-1]["reason"] == "the vault was stopped"


def test_a_vault_whose_keys_are_not_the_consortiums_does_not_start(tmp_path: Path) -> None:
    config = make_consortium(tmp_path, {bank: loans(1) for bank in BANKS})["ash"]
    identity = config.parent / "identity.pem"
    identity.write_bytes(Identity.generate().to_pem())
    with VaultLog(tmp_path / "log") as log, pytest.raises(ConfigurationError, match="must pin the bank's present key"):
        make_service(load_config(config), log)


def test_a_group_may_be_let_in(tmp_path: Path) -> None:
    service = Nobody()
    group = grp.getgrgid(os.getgid()).gr_name
    with Listener(tmp_path / "v.sock", service, group=group):
        assert stat.S_IMODE((tmp_path / "v.sock").stat().st_mode) == 0o660
    assert not (tmp_path / "v.sock").exists()
    with pytest.raises(ConfigurationError, match="correct section vault"):
        Listener(tmp_path / "w.sock", service, group="no such group").__enter__()


def test_a_file_in_the_sockets_place_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "v.sock").write_text("precious")
    with pytest.raises(ConfigurationError, match="is not a socket"):
        Listener(tmp_path / "v.sock", Nobody()).__enter__()
    assert (tmp_path / "v.sock").read_text() == "precious"
