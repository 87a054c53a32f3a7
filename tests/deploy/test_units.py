"""The systemd units: accepted by systemd's own checkers, and true to the node file and the command line that they speak of."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bank_nodes.config import load_config
from riskfed.cli import app
from riskfed.serving.configuration import ServingSettings
from tests.deploy.proxy import DEPLOY

SYSTEMD = DEPLOY / "systemd"
UNITS = ("riskfed-vault", "riskfed-courier", "riskfed-superlink", "riskfed-scoring")
MOST_EXPOSED = {"riskfed-vault": 10, "riskfed-courier": 15, "riskfed-superlink": 15, "riskfed-scoring": 15}
"""Tenths of systemd's exposure level, 0 to 100; a unit without any hardening has about 95."""
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed (apt-get install systemd)")


def text(unit: str) -> str:
    return (SYSTEMD / f"{unit}.service").read_text()


def settings(unit: str) -> dict[str, list[str]]:
    """Key -> values in their order."""
    found: dict[str, list[str]] = {}
    for line in text(unit).replace("\\\n", " ").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(" ".join(value.split()))
    return found


def analyze(folder: Path, unit: str, content: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze on a unit whose programs are where this environment has them."""
    path = folder / f"{unit}.service"
    path.write_text(content.replace("/opt/riskfed/bin", str(Path(sys.executable).parent)))
    command = [str(ANALYZE), *arguments, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_to_say(tmp_path: Path, unit: str) -> None:
    done = analyze(tmp_path, unit, text(unit), "verify", "--man=no")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    misspelt = text(unit).replace("NoNewPrivileges", "NoNewPrivilege")
    assert "Unknown key" in analyze(tmp_path, unit, misspelt, "verify", "--man=no").stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_little_is_exposed(tmp_path: Path, unit: str) -> None:
    limit = ("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED[unit]}")
    done = analyze(tmp_path, unit, text(unit), *limit)
    assert done.returncode == 0, done.stdout[-200:]
    softer = text(unit).replace("ProtectSystem=strict", "").replace("NoNewPrivileges=yes", "")
    assert analyze(tmp_path, unit, softer, *limit).returncode != 0


def test_the_vault_has_no_network_and_leaves_no_core() -> None:
    vault = settings("riskfed-vault")
    assert vault["PrivateNetwork"] == ["yes"]
    assert vault["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert vault["IPAddressDeny"] == ["any"]
    assert vault["SystemCallFilter"][-1] == "@chown", "the socket is given to the courier's group"
    assert {unit: settings(unit)["LimitCORE"] for unit in UNITS} == {unit: ["0"] for unit in UNITS}
    assert len({settings(unit)["User"][0] for unit in UNITS}) == len(UNITS)
    # numba compiles while it runs
    assert "MemoryDenyWriteExecute" not in vault


def test_the_units_fit_the_node_file() -> None:
    config = load_config(DEPLOY / "bank.toml")
    assert config.flower is not None
    vault, courier = settings("riskfed-vault"), settings("riskfed-courier")
    assert vault["User"] == [config.vault.user]
    assert vault["SupplementaryGroups"] == [config.vault.socket_group] == courier["Group"]
    assert courier["User"] == [config.flower.user]
    assert config.vault.socket.parent == Path("/run") / vault["RuntimeDirectory"][0]
    state = Path("/var/lib") / vault["StateDirectory"][0]
    assert {config.vault.log.parent, config.vault.models.parent, config.vault.checkpoints.parent} == {state}
    assert config.flower.home == Path("/var/lib") / courier["StateDirectory"][0]
    hidden = [Path(path.lstrip("-")) for path in courier["InaccessiblePaths"][0].split()]
    kept = [config.keys.identity, config.vault.log, config.vault.models, config.vault.checkpoints, config.data.path]
    for path in kept:
        assert path is not None
        assert any(path.is_relative_to(folder) for folder in hidden), path
    for path in (config.flower.private_key, config.flower.root_certificates, config.vault.socket, config.flower.home):
        assert not any(path.is_relative_to(folder) for folder in hidden), path


def test_the_scoring_unit_fits_its_service_file() -> None:
    told = ServingSettings.read(DEPLOY / "scoring.toml")
    unit = settings("riskfed-scoring")
    assert told.records.folder == Path("/var/lib") / unit["StateDirectory"][0]
    assert unit["ExecStart"] == ["/opt/riskfed/bin/riskfed serve --config /etc/riskfed/scoring.toml"]
    assert unit["MemoryDenyWriteExecute"] == ["yes"]
    assert not told.access.is_open
    assert told.listen.certificate is not None, "beyond this machine only under TLS"
    modes = {entry[1]: (entry[2], entry[3]) for entry in entries("tmpfiles.d")}
    for secret in (told.listen.key, told.access.keys):
        assert modes[str(secret)] == ("0600", "riskfed-scoring")
        assert modes[str(Path(str(secret)).parent)] == ("0700", "riskfed-scoring")


def test_the_commands_exist() -> None:
    for unit, command in (("riskfed-vault", "vault"), ("riskfed-courier", "courier")):
        assert settings(unit)["ExecStart"] == [
            f"/opt/riskfed/bin/riskfed node {command} --config /etc/riskfed/bank.toml"
        ]
        result = CliRunner().invoke(app, ["node", command, "--config", "/nowhere/bank.toml"])
        assert result.exit_code in {1, 2}
        assert "No such" not in result.stderr or "/nowhere/bank.toml" in result.stderr


@pytest.mark.slow
def test_the_superlink_is_for_loopback_and_registered_nodes() -> None:
    (start,) = settings("riskfed-superlink")["ExecStart"]
    program, *arguments = start.split()
    assert program == "/opt/riskfed/bin/flower-superlink"
    assert arguments[:4] == ["--host", "127.0.0.1", "--port", "8000"]
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} < set(arguments)
    assert "--insecure" not in arguments
    tool = Path(sys.executable).with_name("flower-superlink")
    known = subprocess.run([str(tool), "--help"], capture_output=True, text=True, timeout=120, check=True).stdout
    for option in filter(lambda argument: argument.startswith("--"), arguments):
        assert re.search(rf"{option}\b", known), option


def entries(kind: str) -> list[list[str]]:
    lines = "\n".join(path.read_text() for path in sorted((SYSTEMD / kind).glob("*.conf"))).splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_users_and_folders_are_those_of_the_units() -> None:
    users = {entry[1] for entry in entries("sysusers.d") if entry[0] == "u"}
    assert users == {settings(unit)["User"][0] for unit in UNITS}
    assert ["m", "riskfed-vault", "riskfed-courier"] in entries("sysusers.d")
    modes = {entry[1]: (entry[2], entry[3]) for entry in entries("tmpfiles.d")}
    config = load_config(DEPLOY / "bank.toml")
    assert config.flower is not None
    assert modes[str(config.keys.identity)] == ("0600", "riskfed-vault")
    assert modes[str(config.keys.identity.parent)] == ("0700", "riskfed-vault")
    assert modes[str(config.flower.private_key)] == ("0600", "riskfed-courier")
    assert modes[str(config.flower.private_key.parent)] == ("0700", "riskfed-courier")


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
@pytest.mark.parametrize("side", ["bank", "operator", "scoring"])
def test_systemd_would_make_the_users(tmp_path: Path, side: str) -> None:
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(SYSTEMD / "sysusers.d" / f"riskfed-{side}.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "etc" / "passwd").read_text()
    users = {"bank": "riskfed-vault", "operator": "riskfed-operator", "scoring": "riskfed-scoring"}
    assert [name for name, user in users.items() if user in made] == [side]
