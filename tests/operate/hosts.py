"""An operator's host and three banks' hosts, set up by the commands of docs/operate.md."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from typer.testing import CliRunner

from riskfed.cli import app
from riskfed.datasets import iid_split, load_taiwan, taiwan_schema
from riskfed.flower.control import operator_environment
from riskfed.jobs import HorizontalXgboost
from riskfed.stack.keys import write_server_files
from riskfed.stack.processes import Process, Processes
from tests.deploy.proxy import NGINX, configuration
from tests.operate.network import Network

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
        with ThreadPoolExecutor(len(BANKS)) as pool:
            lines = list(pool.map(self._register, BANKS))
        job = "\n".join(
            f"{name} = {json.dumps(value)}"
            for name, value in JOB.model_dump(exclude_defaults=True, exclude_none=True).items()
        )
        text = RUN_FILE.format(job=f'kind = "horizontal_xgboost"\n{job}', roster="\n".join(lines))
        (self.home("operator") / "run.toml").write_text(text)
        (self.home("operator") / "schema.json").write_text(self.schema.model_dump_json())

    def _register(self, bank: str) -> str:
        card = self.home("operator") / f"{bank}.card"
        shutil.copy(self.home(bank) / "keys" / f"{bank}.card", card)
        told = self.must("operator", "riskfed", "register", str(card), "--connection", "consortium")
        return told.splitlines()[-1]

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
