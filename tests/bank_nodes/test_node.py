"""The supervisor: what it starts, it stops; what dies, it starts again, but not forever."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bank_nodes.config import load_config
from bank_nodes.node import courier_command, courier_environment
from bank_nodes.supervised import Supervised
from riskfed.errors import ConfigurationError
from tests.bank_nodes.banks import BANKS, lines_of, loans, make_consortium


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def child(code: str, **settings: object) -> Supervised:
    return Supervised("child", lambda: [sys.executable, "-c", code], environment=dict(os.environ), **settings)  # type: ignore[arg-type]


def test_stopping_ends_the_process_and_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)'])\n"
        f"open({str(note)!r} + '.new', 'w').write(f'{{os.getpid()}} {{inner.pid}}'); os.rename({str(note)!r} + '.new', {str(note)!r})\n"
        "time.sleep(600)"
    )
    process = child(code)
    process.start()
    assert until(note.exists)
    process.stop()
    pids = [int(pid) for pid in note.read_text().split()]
    assert until(lambda: not any(alive(pid) for pid in pids))
    process.stop()  # twice does no harm


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_process_that_ends_is_started_again_with_growing_pauses_and_given_up_in_the_end(tmp_path: Path) -> None:
    clock, starts = Clock(), tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(1)"
    process = child(code, clock=clock, give_up_after=60.0)
    process.start()
    times = []
    while process.keep_running():
        if process._process is not None and process._process.poll() is None:
            process._process.wait()
            times.append(clock.now)
        clock.now += 0.5
    assert 60 < clock.now < 80
    assert len(starts.read_text()) == len(times) + (0 if times[0] == 0.0 else 1)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == sorted(pauses)
    assert 15 <= pauses[-1] <= 17


def test_a_wrong_configuration_is_not_tried_again() -> None:
    process = child("raise SystemExit(2)")
    process.start()
    assert until(lambda: not process.keep_running())


def test_a_process_that_ran_long_is_always_started_again() -> None:
    clock = Clock()
    process = child("raise SystemExit(1)", clock=clock, give_up_after=5.0)
    process.start()
    for _ in range(4):
        clock.now += 1000
        assert process._process is not None
        process._process.wait()
        assert process.keep_running()
        clock.now += 1.5
        assert process.keep_running()
    process.stop()


def node_file(folder: Path) -> Path:
    """A bank that could join a SuperLink, had it one."""
    config = make_consortium(folder, {bank: loans(1) for bank in BANKS})["ash"]
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (config.parent / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = config.parent / "node"
    private.touch(0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    with config.open("a") as file:
        file.write('[flower]\nsuperlink = "127.0.0.1:9"\nroot_certificates = "ca.pem"\nprivate_key = "node"\n')
    return config


def test_the_courier_gets_the_socket_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKFED_NODE__KEYS__PASSPHRASE", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("FLWR_SUPEREXEC_TASK_POLL_INTERVAL", "0.5")
    config = load_config(node_file(tmp_path))
    environment, command = courier_environment(config), courier_command(config)
    assert "hunter2" not in str(environment) + str(command)
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert Path(sys.executable).parent == Path(environment["PATH"].split(os.pathsep)[0])
    assert environment["FLWR_SUPEREXEC_TASK_POLL_INTERVAL"] == "0.5"
    assert environment["FLWR_HOME"] == str(tmp_path / "ash" / "flower")
    assert f'vault="{tmp_path}/ash/v.sock"' in command
    assert "--insecure" not in command
    assert "identity.pem" not in str(command)


def test_a_socket_path_that_flower_cannot_pass_on_is_refused(tmp_path: Path) -> None:
    path = node_file(tmp_path)
    path.write_text(path.read_text().replace('"v.sock"', "'v\".sock'"))
    with pytest.raises(ConfigurationError, match="quotation mark"):
        courier_command(load_config(path))


@pytest.mark.slow
def test_a_node_runs_both_processes_survives_a_killed_vault_and_stops_on_request(tmp_path: Path) -> None:
    config, told = node_file(tmp_path), tmp_path / "node.log"
    environment = {**os.environ, "RISKFED_NODE__POLICY__MIN_ROWS": "60"}
    with told.open("wb") as stream:
        node = subprocess.Popen(
            [sys.executable, "-c", "from riskfed.cli import app; app()", "node", "run", "-c", str(config)],
            stderr=stream,
            env=environment,
        )
    try:

        def pids(what: str) -> list[int]:
            return [line["pid"] for line in lines_of(told) if line["event"] == f"{what} started"]

        assert until(lambda: bool(pids("courier")), 60), told.read_text()
        (courier,), (vault,) = pids("courier"), pids("vault")
        assert b"RISKFED_NODE" in Path(f"/proc/{vault}/environ").read_bytes()
        assert until(lambda: b"FLWR_HOME" in Path(f"/proc/{courier}/environ").read_bytes())
        assert b"RISKFED_NODE" not in Path(f"/proc/{courier}/environ").read_bytes()
        os.kill(vault, signal.SIGKILL)
        assert until(lambda: len(pids("vault")) == 2, 30)
        assert until(lambda: told.read_text().count("the vault is listening") == 2, 60)
        output = (tmp_path / "ash" / "flower" / "supernode.log").read_text
        assert until(lambda: "running on" in output(), 60)
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
        assert "Traceback" not in output()
        assert pids("courier") == [courier]
    finally:
        if node.poll() is None:
            node.terminate()
            node.wait(30)
    assert not any(alive(pid) for pid in [*pids("courier"), *pids("vault")])
    assert not (tmp_path / "ash" / "v.sock").exists()
