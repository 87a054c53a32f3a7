"""docs/operate.md, done: an operator and three banks on four hosts with addresses of their own, from keys to the model.

The hosts are network namespaces. Every step uses the commands and the proxy configuration that the documents name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from bank_nodes.metrics import rounded
from riskfed.cli import app
from riskfed.datasets import iid_split, load_taiwan, taiwan_schema
from riskfed.flower.control import operator_environment
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.simulation import pooled_cuts, pooled_reference
from riskfed.stack.keys import write_server_files
from riskfed.stack.processes import Process, Processes
from tests.deploy.proxy import NGINX, configuration
from tests.operate.network import Network, why_not

_WHY_NOT = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT),
]

BANKS = {"north": "10.77.0.11", "south": "10.77.0.12", "west": "10.77.0.13"}
OPERATOR = "10.77.0.1"
FLEET_PORT, SUPERLINK_PORT, SESSION_PORT, METRICS_PORT = 443, 8000, 8443, 9464
JOB = HorizontalXgboost(n_estimators=5, max_depth=4, max_bin=32, validation_fraction=0.2)
TOOLS = Path(sys.executable).parent
PATIENCE = 300.0

NODE_FILE = """\
bank = "{bank}"
[data]
path = "loans.parquet"
[schema]
file = "schema.json"
[consortium]
file = "consortium.toml"
[keys]
identity = "keys/identity.pem"
[vault]
socket = "vault.sock"
log = "vault.log"
models = "models"
[flower]
superlink = "{superlink}"
root_certificates = "superlink-ca.pem"
private_key = "keys/node"
[metrics]
file = "metrics/riskfed.prom"
listen = "127.0.0.1:9464"
"""
RUN_FILE = """\
protection = "masking"
schema_file = "schema.json"
progress_file = "progress.jsonl"
metrics_file = "run.prom"
[job]
{job}
[session]
bind = "10.77.0.1"
port = 8443
[roster]
{roster}
"""


class Consortium:
    """Four hosts, a folder for each, and what runs on them."""

    def __init__(self, network: Network, processes: Processes, folder: Path) -> None:
        self.network, self.processes, self.folder = network, processes, folder
        self.schema, self.records = taiwan_schema(), iid_split(load_taiwan(), 3, seed=1)
        self.records = dict(zip(BANKS, self.records.values(), strict=True))

    def home(self, host: str) -> Path:
        return self.folder / host

    def call(self, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of riskfed on a host, in the host's folder."""
        return subprocess.run(
            self.network.on(host, [str(TOOLS / command[0]), *command[1:]]),
            cwd=self.home(host),
            env=self.environment(host),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def must(self, host: str, *command: str) -> str:
        done = self.call(host, *command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
        return done.stdout

    @staticmethod
    def offline(*command: str) -> str:
        """A command of riskfed that uses no network, in this process, which saves the time that its imports take."""
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        return result.output

    def environment(self, host: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLWR_", "RISKFED_"))}
        own = {"FLWR_HOME": str(self.home(host) / "flower"), "NO_PROXY": "*", "no_proxy": "*"}
        return {**operator_environment(inherited), **own, "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2"}

    def start(self, host: str, name: str, command: list[str]) -> Process:
        log = self.home(host) / f"{name}.log"
        environment = {**self.environment(host), "FLWR_HOME": str(self.home(host) / f"{name}-home")}
        # Processes has no working folder to give, so every path in `command` is absolute.
        return self.processes.start(name, self.network.on(host, command), log=log, env=environment)

    def wait(self, process: Process, host: str, address: str, port: int) -> None:
        self.processes.wait_until(process, lambda: (address, port) in self.network.listening(host), PATIENCE)

    # The operator's host

    def start_operator(self) -> None:
        """SuperLink on loopback, behind the proxy; where there is no nginx, on the host's address."""
        home = self.home("operator")
        inner = write_server_files(home / "tls")
        outer = (
            write_server_files(home / "fleet", (OPERATOR,)) if NGINX else write_server_files(home / "x", (OPERATOR,))
        )
        served, host = (inner, "127.0.0.1") if NGINX else (outer, OPERATOR)
        command = [
            *(str(TOOLS / "flower-superlink"), "--host", host, "--port", str(SUPERLINK_PORT)),
            *("--ssl-ca-certfile", str(served.authority), "--ssl-certfile", str(served.certificate)),
            *("--ssl-keyfile", str(served.private_key), "--enable-supernode-auth"),
            *("--disable-runtime-dependency-installation", "--database", str(home / "state.db")),
        ]
        superlink = self.start("operator", "superlink", command)
        self.wait(superlink, "operator", host, SUPERLINK_PORT)
        if NGINX:
            main = configuration(home, FLEET_PORT, SUPERLINK_PORT, inner, outer)
            site = home / "site.conf"
            site.write_text(
                site.read_text().replace(f"listen 127.0.0.1:{FLEET_PORT}", f"listen {OPERATOR}:{FLEET_PORT}")
            )
            proxy = self.start(
                "operator", "nginx", [NGINX, "-p", str(home), "-c", str(main), "-e", str(home / "error.log")]
            )
            self.wait(proxy, "operator", OPERATOR, FLEET_PORT)
        config = (
            f'[superlink.consortium]\naddress = "{host}:{SUPERLINK_PORT}"\nroot-certificates = "{served.authority}"\n'
        )
        (home / "flower").mkdir()  # the operator's own; the SuperLink has another
        (home / "flower" / "config.toml").write_text(config)
        for bank in BANKS:
            shutil.copy(outer.authority, self.home(bank) / "superlink-ca.pem")

    def register(self) -> None:
        """By the cards that the banks have sent."""
        lines = []
        for bank in BANKS:
            card = self.home("operator") / f"{bank}.card"
            shutil.copy(self.home(bank) / "keys" / f"{bank}.card", card)
            lines.append(
                self.must("operator", "riskfed", "register", str(card), "--connection", "consortium").splitlines()[-1]
            )
        job = "\n".join(
            f"{name} = {json.dumps(value)}"
            for name, value in JOB.model_dump(exclude_defaults=True, exclude_none=True).items()
        )
        text = RUN_FILE.format(job=f'kind = "horizontal_xgboost"\n{job}', roster="\n".join(lines))
        (self.home("operator") / "run.toml").write_text(text)
        (self.home("operator") / "schema.json").write_text(self.schema.model_dump_json())

    # A bank's host

    def lay_out(self, bank: str) -> str:
        """Records, node file and keys; gives the fingerprint that the bank reads out."""
        home = self.home(bank)
        port = FLEET_PORT if NGINX else SUPERLINK_PORT
        (home / "bank.toml").write_text(NODE_FILE.format(bank=bank, superlink=f"{OPERATOR}:{port}"))
        (home / "schema.json").write_text(self.schema.model_dump_json())
        self.records[bank].to_parquet(home / "loans.parquet", index=False)
        told = self.offline("node", "keygen", "--config", str(home / "bank.toml"))
        return re.findall(r"(?m)^fingerprint\s+(\S+)", told)[0]

    def pin(self, bank: str, fingerprints: dict[str, str]) -> None:
        for other in set(BANKS) - {bank}:
            card = self.home(bank) / f"{other}.card"
            shutil.copy(self.home(other) / "keys" / f"{other}.card", card)
            config = str(self.home(bank) / "bank.toml")
            self.offline("node", "pin", str(card), "--fingerprint", fingerprints[other], "--config", config)

    def start_node(self, bank: str) -> None:
        config = str(self.home(bank) / "bank.toml")
        self.offline("node", "check", "--config", config)
        command = [str(TOOLS / "riskfed"), "node", "run", "--config", config]
        self.start(bank, "node", command)


@pytest.fixture(scope="module")
def consortium() -> Iterator[Consortium]:
    folder = Path(tempfile.mkdtemp(prefix="rf"))  # short: a UNIX socket's path may have about a hundred bytes
    try:
        with Network({"operator": OPERATOR, **BANKS}) as network, Processes() as processes:
            made = Consortium(network, processes, folder)
            for host in ("operator", *BANKS):
                made.home(host).mkdir()
            yield made
            processes.stop()
            assert network.processes() == []
    finally:
        shutil.rmtree(folder)


def test_from_keys_to_the_model_on_four_hosts(consortium: Consortium) -> None:
    with ThreadPoolExecutor(2) as pool:
        starting = pool.submit(consortium.start_operator)
        fingerprints = {bank: consortium.lay_out(bank) for bank in BANKS}
        for bank in BANKS:
            consortium.pin(bank, fingerprints)
        starting.result()
        registering = pool.submit(consortium.register)
        for bank in BANKS:
            consortium.start_node(bank)
        registering.result()

    done = consortium.call("operator", "riskfed", "train", "--job", "run.toml", "--connection", "consortium")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]} {done.stderr[-2000:]}"
    assert [line["step"] for line in lines if line["event"] == "ProgressMade"] == [1, 2, 3, 4, 5]
    assert (lines[-1]["event"], lines[-1]["status"], lines[-1]["unconfirmed"]) == ("Outcome", "finished", {})

    release = ModelRelease.from_bytes(Path(lines[-1]["release_file"]).read_bytes())
    everybody = pd.concat(consortium.records.values(), ignore_index=True)
    cuts = pooled_cuts(everybody, consortium.schema, JOB)
    assert release.booster == bytes(pooled_reference(everybody, cuts, JOB).save_raw("json"))
    for bank in BANKS:
        models = list((consortium.home(bank) / "models").glob("*/booster.json"))
        assert [path.read_bytes() for path in models] == [release.booster]


def test_status_and_logs_afterwards(consortium: Consortium) -> None:
    status = json.loads(
        consortium.must("operator", "riskfed", "status", "--job", "run.toml", "--connection", "consortium")
    )
    assert (status["state"], status["trees"], status["attempt"]) == ("finished", 5, 1)
    assert status["nodes"] == dict.fromkeys(BANKS, "online")
    assert min(status["received"][bank] for bank in BANKS) > 10_000


def test_metrics_of_bank_and_server(consortium: Consortium) -> None:
    code = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
    bank = _samples(consortium.network.python("north", code, f"http://127.0.0.1:{METRICS_PORT}/metrics"))
    assert bank["riskfed_vault_runs_total", "finished"] == 1
    assert bank["riskfed_vault_records", ""] == rounded(len(consortium.records["north"]))
    assert bank["riskfed_node_process_up", "courier"] == 1
    server = _samples((consortium.home("operator") / "run.prom").read_text())
    assert server["riskfed_run_trees", ""] == 5
    assert server["riskfed_run_state", "finished"] == 1
    # Both sides count the same rounds and bytes, each on its own.
    assert server["riskfed_run_received_bytes_total", "north"] == bank["riskfed_vault_sent_bytes_total", ""]


def test_a_bank_reaches_no_other_bank_and_of_the_operator_only_what_it_must(consortium: Consortium) -> None:
    network = consortium.network
    for bank in BANKS:
        listening = network.listening(bank)
        assert listening, "the SuperNode talks to its children on loopback"
        assert {address for address, _ in listening} <= {"127.0.0.1", "::1"}
    ports = {port for bank in BANKS for _, port in network.listening(bank)} | {METRICS_PORT, 22}
    others = [(BANKS[bank], port) for bank in ("south", "west") for port in sorted(ports)]
    assert not any(network.answers("north", others).values())

    operator = network.answers("north", [(OPERATOR, port) for port in (FLEET_PORT, SUPERLINK_PORT, SESSION_PORT)])
    assert not operator[f"{OPERATOR}:{SESSION_PORT}"], "the session's port is open while a run lasts"
    if NGINX:
        assert operator == {
            f"{OPERATOR}:{FLEET_PORT}": True,
            f"{OPERATOR}:{SUPERLINK_PORT}": False,
            f"{OPERATOR}:{SESSION_PORT}": False,
        }


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_no_bank_can_start_a_run(consortium: Consortium) -> None:
    """The attack of docs/operate.md: a bank's host with a Flower configuration that names the operator's door."""
    home = consortium.home("north") / "flower"
    trust = consortium.home("north") / "superlink-ca.pem"
    address = f"{OPERATOR}:{FLEET_PORT}"
    text = f'[superlink.consortium]\naddress = "{address}"\nroot-certificates = "{trust}"\n'
    (home / "config.toml").write_text(text)
    shutil.copy(consortium.home("operator") / "run.toml", consortium.home("north") / "run.toml")
    shutil.copy(consortium.home("operator") / "schema.json", consortium.home("north") / "schema.json")
    tried = consortium.call("north", "riskfed", "train", "--job", "run.toml", "--connection", "consortium")
    assert tried.returncode == 2
    assert "flwr run over connection consortium failed" in tried.stderr


def _samples(text: str) -> dict[tuple[str, str], Any]:
    """(name, first label's value or "") -> value."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
