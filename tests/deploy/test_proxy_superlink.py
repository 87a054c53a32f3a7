"""The proxy before a real SuperLink: a bank's registered node comes in, an unregistered one and the operator's own commands do not."""

from __future__ import annotations

import datetime
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bank_nodes.ceremony import KeyFiles, keygen
from bank_nodes.keystore import write_node_key
from riskfed.cli import app
from riskfed.errors import ConfigurationError
from riskfed.flower.control import FAB, Control
from riskfed.stack.keys import ServerFiles
from riskfed.stack.loopback import CONNECTION, LoopbackStack
from riskfed.stack.processes import Process, Processes, free_port
from tests.deploy.proxy import NGINX, nginx

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx-light)"),
]


@dataclass
class Site:
    stack: LoopbackStack
    processes: Processes
    port: int
    authority: Path

    def start_node(self, name: str, key: Path) -> Process:
        """A stock SuperNode that knows the proxy only."""
        command = [str(Path(sys.executable).with_name("flower-supernode"))]
        command += ["--superlink", f"localhost:{self.port}", "--root-certificates", str(self.authority)]
        command += ["--auth-supernode-private-key", str(key), "--host", "127.0.0.1", "--port", str(free_port())]
        log = self.stack.folder / f"{name}.log"
        return self.processes.start(name, command, log=log, env=self.stack.environment(name))

    def outsider(self) -> Control:
        """Flower's own commands, pointed at the proxy."""
        environment = self.stack.environment("outsider")
        config = Path(environment["FLWR_HOME"]) / "config.toml"
        config.write_text(
            f'[superlink.{CONNECTION}]\naddress = "localhost:{self.port}"\nroot-certificates = "{self.authority}"\n'
        )
        return Control(CONNECTION, environment)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="rf"))
    with LoopbackStack(folder) as stack, Processes() as processes:
        stack.start_superlink()
        tls = folder / "tls"
        superlink = ServerFiles(stack.root_certificates, tls / "server.pem", tls / "server.key")
        with nginx(folder / "nginx", int(stack.address.rpartition(":")[2]), superlink) as (port, fleet):
            yield Site(stack, processes, port, fleet.authority)
            processes.stop()
    shutil.rmtree(folder)


def until_over(node: Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while node.running and time.monotonic() < deadline:
        time.sleep(0.2)


def test_a_node_that_was_registered_from_its_card_connects(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    home = site.stack.folder / "north"
    files = KeyFiles("north", home / "identity.pem", home / "node", home / "consortium.toml")
    keygen(files, datetime.date(2026, 3, 2))
    for name, value in site.stack.environment("operator").items():
        monkeypatch.setenv(name, value)
    roster = home / "roster.toml"
    result = CliRunner().invoke(app, ["register", str(files.card), "--connection", CONNECTION, "--roster", str(roster)])
    assert result.exit_code == 0, result.output
    node_id = int(tomllib.loads(roster.read_text())["roster"]["north"])
    node = site.start_node("north", files.node)
    deadline = time.monotonic() + 180
    while site.stack.control().nodes().get(node_id) != "online":
        assert node.running, node.tail()
        assert time.monotonic() < deadline, node.tail()
    assert node.running


def test_an_unregistered_node_is_refused(site: Site) -> None:
    write_node_key(site.stack.folder / "stranger")
    node = site.start_node("stranger", site.stack.folder / "stranger")
    until_over(node, 180)
    assert not node.running
    assert node.popen.returncode != 0
    assert "SuperLink" in node.tail(40)


def test_the_operators_commands_do_not_pass(site: Site) -> None:
    control = site.outsider()
    with pytest.raises(ConfigurationError, match="404"):
        control.nodes()
    with pytest.raises(ConfigurationError, match="404"):
        control.call("run", str(FAB), CONNECTION)
    assert site.stack.control().call("list", CONNECTION).get("runs", []) == []
