"""The same attack through stock Flower: a hostile FAB on three real nodes. It gets nothing, and the next run is right."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bank_nodes.keystore import write_node_key
from bank_nodes.log import read_log
from riskfed.flower.run_file import Limits, RunFile
from riskfed.protocols.release import ModelRelease
from riskfed.simulation import simulate
from riskfed.stack.loopback import CONNECTION, LoopbackStack
from riskfed.stack.processes import free_port
from tests.bank_nodes.banks import BANKS, JOB, SCHEMA
from tests.hostile.attacked import NOBODY, PROGRAM, found_in, lay_out, marked_loans, other_users_python
from tests.hostile.malicious_courier import MACHINE, SOCKET

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FAB = Path(__file__).parent / "fab"
PASSWORD = "SECRET-PASSWORD"
PATIENT = Limits(connect_timeout=300, round_timeout=300, farewell_timeout=30)


class Attacked:
    """A stack of three banks that a hostile FAB has run on."""

    def __init__(self, stack: LoopbackStack) -> None:
        self.stack, self.folder = stack, stack.folder
        stack.start_superlink()
        configs = lay_out(self.folder)
        self.nodes = stack.register({bank: write_node_key(self.folder / bank / "node") for bank in BANKS})
        for bank, config in configs.items():
            link = f'superlink = "{stack.address}"\nroot_certificates = "{stack.root_certificates}"\n'
            config.write_text(config.read_text() + f'[flower]\n{link}private_key = "node"\nhome = "flower"\n')
            stack.start_node(bank, config)
        self.stranger = self._start_stranger()
        said = self._run_fab()
        self.connected: list[int] = said["nodes"]
        names = {str(node): bank for bank, node in self.nodes.items()}
        self.reports: dict[str, dict[str, Any]] = {names[node]: report for node, report in said["reports"].items()}

    def _start_stranger(self) -> subprocess.Popen[bytes]:
        """A SuperNode whose key nobody has registered."""
        (self.folder / "stranger").mkdir()
        write_node_key(self.folder / "stranger" / "node")
        where = ("--superlink", self.stack.address, "--root-certificates", str(self.stack.root_certificates))
        key = ("--auth-supernode-private-key", str(self.folder / "stranger" / "node"))
        program = str(Path(sys.executable).with_name("flower-supernode"))
        with (self.folder / "stranger" / "log").open("wb") as log:
            return subprocess.Popen(
                [program, *where, *key, "--host", "127.0.0.1", "--port", str(free_port())],
                env=self.stack.environment("stranger"),
                stdout=log,
                stderr=log,
            )

    def _run_fab(self) -> dict[str, Any]:
        fab, report = self.folder / "fab", self.folder / "report.json"
        shutil.copytree(FAB, fab)
        shutil.copy(PROGRAM, fab / "attack" / "malicious_courier.py")
        python = other_users_python()
        settings = f"report-file={json.dumps(str(report))} python={json.dumps(python or '')} user={NOBODY}"
        program = str(Path(sys.executable).with_name("flwr"))
        subprocess.run(
            [program, "run", str(fab), CONNECTION, "-c", settings],
            env=self.stack.environment("operator"),
            check=True,
            capture_output=True,
            timeout=240,
        )
        deadline = time.monotonic() + 300
        while not report.exists():
            assert time.monotonic() < deadline, (self.folder / "logs" / "superlink.log").read_text()[-3000:]
            time.sleep(0.3)
        said: dict[str, Any] = json.loads(report.read_text())
        return said


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    folder = Path(tempfile.mkdtemp(prefix="rf"))
    with pytest.MonkeyPatch.context() as patch, LoopbackStack(folder) as stack:
        patch.setenv("PGPASSWORD", PASSWORD)
        opened = Attacked(stack)
        try:
            yield opened
        finally:
            opened.stranger.terminate()
            opened.stranger.wait(20)
    shutil.rmtree(folder)


def test_the_hostile_code_ran_on_every_node_and_won_nothing(attacked: Attacked) -> None:
    assert sorted(attacked.reports) == sorted(BANKS)
    for bank, report in attacked.reports.items():
        assert "error" not in report, (bank, report)
        tried = {*SOCKET, *(MACHINE if other_users_python() else ())}
        assert set(report["won"]) == tried
        # Only the first bank's socket lets the courier's group in; the others' cannot even be dialled.
        won = {name: what for name, what in report["won"].items() if bank == BANKS[0] or name in MACHINE}
        assert {name: what for name, what in won.items() if what} == {}


def test_what_it_was_given_and_sent_holds_no_secret(attacked: Attacked) -> None:
    for bank, report in attacked.reports.items():
        assert set(report["config"]) == {"vault"}
        assert PASSWORD not in json.dumps(report["environment"])
        received = base64.b64decode(report["received"])
        assert found_in(received + json.dumps(report).encode(), attacked.folder / bank) == []


def test_a_node_that_nobody_has_registered_is_not_let_in(attacked: Attacked) -> None:
    assert sorted(attacked.connected) == sorted(attacked.nodes.values())
    log = (attacked.folder / "stranger" / "log").read_text(errors="replace")
    assert attacked.stranger.poll() not in (None, 0), log


def test_the_next_run_on_the_same_nodes_is_right(attacked: Attacked) -> None:
    (attacked.folder / "schema.json").write_text(SCHEMA.model_dump_json())
    RunFile(
        job=JOB.model_dump(), roster=attacked.nodes, schema_file=Path("schema.json"), limits=PATIENT.model_dump()
    ).save(attacked.folder / "run.json")
    outcome = attacked.stack.run(attacked.folder / "run.json", timeout=400)

    assert (outcome.status, outcome.reason) == ("finished", "")
    frames = {bank: marked_loans(seed) for seed, bank in enumerate(BANKS)}
    release = ModelRelease.from_bytes((attacked.folder / "release.json").read_bytes())
    assert release.model == simulate(frames, SCHEMA, JOB).release.model
    refused = [
        entry["run"] for entry in read_log(attacked.folder / BANKS[0] / "vault.log") if entry["event"] == "refused"
    ]
    assert "forged/1" in refused
    assert os.stat(attacked.folder / BANKS[0] / "v.sock").st_mode & 0o777 == 0o660
