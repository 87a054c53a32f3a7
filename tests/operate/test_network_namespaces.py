"""docs/operate.md, done: an operator and three banks on four hosts with addresses of their own, from keys to the model.

The hosts are network namespaces. Every step uses the commands and the proxy configuration that the documents name.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bank_nodes.metrics import rounded
from riskfed.protocols.release import ModelRelease
from riskfed.simulation import pooled_cuts, pooled_reference
from riskfed.stack.processes import Processes
from tests.deploy.proxy import NGINX
from tests.operate.hosts import BANKS, FLEET_PORT, JOB, METRICS_PORT, OPERATOR, SESSION_PORT, SUPERLINK_PORT, Consortium
from tests.operate.network import Network, why_not

_WHY_NOT = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT),
]


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
    assert release.model == bytes(pooled_reference(everybody, cuts, JOB).save_raw("json"))
    for bank in BANKS:
        models = list((consortium.home(bank) / "models").glob("*/model.json"))
        assert [path.read_bytes() for path in models] == [release.model]


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
