"""What is started is stopped, whatever happens in between; and the keys are what Flower takes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bank_nodes.keystore import write_node_key
from riskfed.errors import ConfigurationError
from riskfed.stack.keys import write_server_files
from riskfed.stack.processes import Process, Processes, free_port, port_open

ENV = dict(os.environ)
# A child that starts a grandchild in a session of its own, out of reach of its process group.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def _start(processes: Processes, tmp_path: Path, code: str) -> Process:
    return processes.start("child", [sys.executable, "-c", code], log=tmp_path / "child.log", env=ENV)


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds descendants in other sessions by /proc")
def test_grandchildren_in_other_sessions_end_too(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, PARENT)
        processes.wait_until(child, lambda: bool(child.tail()), timeout=20)
        grandchild = int(child.tail())
        assert not _gone(grandchild)
    assert not child.running
    assert _gone(grandchild)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    processes = Processes()
    child = _start(processes, tmp_path, stubborn)
    processes.wait_until(child, lambda: bool(child.tail()), timeout=20)
    processes.stop(timeout=0.3)
    assert child.popen.returncode == -signal.SIGKILL


def test_children_end_when_the_body_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Processes() as processes:
        child = _start(processes, tmp_path, "import time; time.sleep(600)")
        raise ZeroDivisionError
    assert not child.running


def test_children_end_when_the_parent_gets_sigterm(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from riskfed.stack.processes import Processes
with Processes() as processes:
    child = processes.start("child", [sys.executable, "-c", "import time; time.sleep(600)"], log=Path({str(tmp_path)!r}) / "log", env={{}})
    print(child.popen.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.terminate()
        assert parent.wait(20) == 128 + signal.SIGTERM
    deadline = time.monotonic() + 5
    while not _gone(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _gone(child)


def test_a_child_that_ends_too_early_shows_its_last_words(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, "print('no such port'); raise SystemExit(3)")
        with pytest.raises(ConfigurationError, match=r"child ended with code 3:\nno such port"):
            processes.wait_until(child, lambda: False, timeout=20)


def test_a_child_that_is_not_ready_in_time_is_told(tmp_path: Path) -> None:
    with Processes() as processes:
        child = _start(processes, tmp_path, "import time; time.sleep(600)")
        with pytest.raises(ConfigurationError, match=r"child was not ready within 0\.2 s"):
            processes.wait_until(child, lambda: False, timeout=0.2)


def test_an_unknown_command_is_told(tmp_path: Path) -> None:
    with Processes() as processes, pytest.raises(ConfigurationError, match="no-such-tool is not installed"):
        processes.start("tool", ["no-such-tool"], log=tmp_path / "log", env=ENV)


def test_port_open(tmp_path: Path) -> None:
    port = free_port()
    assert not port_open(port)
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    with Processes() as processes:
        processes.wait_until(_start(processes, tmp_path, code), lambda: port_open(port), timeout=20)


def test_node_keys_are_p384_in_openssh_format_and_private(tmp_path: Path) -> None:
    public = serialization.load_ssh_public_key(write_node_key(tmp_path / "keys" / "node").read_bytes())
    private = serialization.load_ssh_private_key((tmp_path / "keys" / "node").read_bytes(), password=None)

    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert public.curve.name == "secp384r1"
    assert private.public_key().public_numbers() == public.public_numbers()
    assert stat.S_IMODE((tmp_path / "keys" / "node").stat().st_mode) == 0o600


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    write_node_key(tmp_path / "node")
    with pytest.raises(ConfigurationError, match="a key is never overwritten"):
        write_node_key(tmp_path / "node")


def test_the_servers_certificate_is_signed_by_the_authority(tmp_path: Path) -> None:
    files = write_server_files(tmp_path)
    authority, server = (x509.load_pem_x509_certificate(f.read_bytes()) for f in (files.authority, files.certificate))
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert stat.S_IMODE(files.private_key.stat().st_mode) == 0o600
