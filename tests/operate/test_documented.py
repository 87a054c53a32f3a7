"""docs/operate.md says what there is: metrics, commands and options; and its certificate works."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client.registry import CollectorRegistry

from bank_nodes.metrics import VaultMetrics
from bank_nodes.node_metrics import NodeMetrics
from riskfed.cli import app
from riskfed.flower.metrics import RunMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text()


def _names(registry: CollectorRegistry) -> set[str]:
    return {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}


def test_every_metric_stands_in_the_page_and_no_other(tmp_path: Path) -> None:
    made: list[Any] = [
        VaultMetrics(tmp_path / "v.prom", "ash", rows=1),
        NodeMetrics(tmp_path / "n.prom", {}),
        RunMetrics(tmp_path / "r.prom"),
    ]
    there = set().union(*(_names(metrics._file.registry) for metrics in made))
    assert set(re.findall(r"riskfed_(?:vault|node|run)_\w+", PAGE)) == there


def _options(words: list[str]) -> set[str]:
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    return {name for parameter in command.params for name in parameter.opts}


def test_every_command_of_the_page_exists_with_its_options() -> None:
    prose = re.sub(r"(?s)```.*?```", "", PAGE)
    spans = "\n".join(re.findall(r"`([^`\n]*)`", prose) + re.findall(r"(?m)^    (riskfed .*)", prose))
    said = re.findall(r"(?m)^riskfed ((?:node )?(?:log )?[a-z-]+)(.*)", spans)
    assert len(said) > 15
    for words, rest in said:
        assert set(re.findall(r"--[a-z-]+", rest)) <= _options(words.split()), words


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_pages_certificate_is_one_that_clients_take(tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n(openssl.*?)```", PAGE, flags=re.S)
    for line in block.replace("\\\n", " ").splitlines():
        subprocess.run(shlex.split(line), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(tmp_path / "superlink.pem", tmp_path / "superlink.key")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, inside.wrap_socket(connection, server_side=True) as stream:
                stream.sendall(b"in")

        threading.Thread(target=serve, daemon=True).start()
        trusting = ssl.create_default_context(cafile=str(tmp_path / "superlink-ca.pem"))
        with (
            socket.create_connection(listening.getsockname(), timeout=20) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            assert stream.recv(10) == b"in"
