"""The whole stack as real processes: SuperLink with TLS, three bank nodes with their vaults, and runs over both transports."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bank_nodes.keystore import generate_identity, write_consortium, write_node_key
from bank_nodes.log import read_log
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import Limits
from riskfed.jobs import HorizontalScorecard, HorizontalXgboost, ModelMonitoring
from riskfed.protocols.frames import PLAIN, Kind
from riskfed.protocols.release import ModelRelease
from riskfed.simulation import simulate
from riskfed.stack.loopback import LoopbackStack
from tests.flower.federation import JOB, NODES, local_booster, records, schema, write_run_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENT = Limits(connect_timeout=600, round_timeout=600, farewell_timeout=30).model_dump()
MOST_TREES = 200

NODE_FILE = """
bank = "{bank}"
[data]
path = "loans.csv"
[schema]
file = "../schema.json"
[consortium]
file = "../consortium.toml"
[keys]
identity = "identity.pem"
[vault]
socket = "vault.sock"
log = "vault.log"
models = "models"
[policy]
min_rows = 100
max_trees = {most_trees}
[flower]
superlink = "{superlink}"
root_certificates = "{authority}"
private_key = "node"
home = "flower"
"""


def _make_bank(stack: LoopbackStack, home: Path, bank: str) -> Path:
    records()[bank].to_csv(home / "loans.csv", index=False)
    fields = {"superlink": stack.address, "authority": stack.root_certificates, "most_trees": MOST_TREES}
    (home / "bank.toml").write_text(NODE_FILE.format(bank=bank, **fields))
    return home / "bank.toml"


class Deployment:
    """A started stack, and runs on it."""

    def __init__(self, stack: LoopbackStack) -> None:
        self.stack, self.folder = stack, stack.folder
        stack.start_superlink()
        (self.folder / "schema.json").write_text(schema().model_dump_json())
        public = {bank: generate_identity(self.folder / bank / "identity.pem").public for bank in NODES}
        write_consortium(self.folder / "consortium.toml", public)
        self.nodes = stack.register({bank: write_node_key(self.folder / bank / "node") for bank in NODES})
        for bank in NODES:
            stack.start_node(bank, _make_bank(stack, self.folder / bank, bank))

    def run(self, transport: str, progress: Callable[[Any], None] = lambda _: None, **changes: object) -> Outcome:
        fields = {"transport": transport, "roster": self.nodes, "limits": PATIENT, **changes}
        write_run_file(self.folder, **fields)
        return self.stack.run(self.folder / "run.json", progress=progress, timeout=1500)

    def vault_log(self, bank: str, outcome: Outcome) -> list[dict[str, Any]]:
        """What a vault has logged about a run; its hash chain is checked on the way."""
        log = read_log(self.folder / bank / "vault.log")
        return [line for line in log if line.get("run") == f"{outcome.run}/1"]

    def stored(self, bank: str, run: str) -> bytes:
        return (self.folder / bank / "models" / run / "model.json").read_bytes()


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    folder = Path(tempfile.mkdtemp(prefix="rf"))  # short: a UNIX socket's path may have about a hundred bytes
    with LoopbackStack(folder) as stack:
        yield Deployment(stack)
    left = _processes_of(folder)
    shutil.rmtree(folder)
    assert left == []


def _processes_of(folder: Path) -> list[str]:
    """Command lines of processes that still run with `folder` in their environment or arguments; empty where there is no /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if command and str(folder).encode() in command + (process / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_all_banks_store_the_model_that_is_trained_in_one_process(deployment: Deployment) -> None:
    progress: list[Any] = []
    outcome = deployment.run("session", progress=progress.append)

    assert (outcome.status, outcome.reason, outcome.unconfirmed) == ("finished", "", {})
    assert outcome.trees == JOB.n_estimators
    assert [line["event"] for line in progress][:: len(progress) - 1] == ["RunStarted", "RunFinished"]
    release = ModelRelease.from_bytes((deployment.folder / "release.json").read_bytes())
    assert release.model == local_booster()
    for bank in NODES:
        assert deployment.stored(bank, outcome.run) == local_booster()
        log = deployment.vault_log(bank, outcome)
        # The server's byte counts, held against the vaults' own logs; a frame's header has 13 bytes. The log has what was said: on the
        # way, what is in plain is compressed.
        left = [line for line in log if line["event"] == "left"]
        protected = sum(line["bytes"] for line in left if Kind[line["frame"]] not in PLAIN)
        assert protected < outcome.received[bank] - 13 * len(left) < sum(line["bytes"] for line in left)
        digests = [line["model_sha256"] for line in log if line["event"] == "finished"]
        assert digests == [hashlib.sha256(local_booster()).hexdigest()]


def test_a_scorecard_is_fitted_and_then_monitored(deployment: Deployment) -> None:
    edges = {feature.name: (-0.5, 0.5) for feature in schema().features}
    card = HorizontalScorecard(bins=edges, validation_fraction=0.4)
    fitted = deployment.run("session", job=card.model_dump(mode="json"))
    release = ModelRelease.from_bytes((deployment.folder / "release.json").read_bytes())

    assert (fitted.status, fitted.reason) == ("finished", "")
    assert release.model == simulate(records(), schema(), card).release.model
    assert [deployment.stored(bank, fitted.run) for bank in NODES] == [release.model] * len(NODES)

    job = ModelMonitoring(model_sha256=release.model_sha256)
    watched = deployment.run("session", job=job.model_dump(mode="json"))
    figures = ModelRelease.from_bytes((deployment.folder / "release.json").read_bytes())

    assert (watched.status, watched.reason, watched.unconfirmed) == ("finished", "", {})
    assert figures.evaluation == simulate(records(), schema(), job, model=release).evaluation
    assert figures.evaluation is not None
    assert figures.evaluation.population.rows == sum(map(len, records().values()))


def test_the_message_transport_gives_the_same_model(deployment: Deployment) -> None:
    """A process starts at every node for every step, so this is the smallest job that there is."""
    job = HorizontalXgboost(n_estimators=1, max_depth=1, max_bin=4)
    outcome = deployment.run("message", job=job.model_dump())

    assert (outcome.status, outcome.reason) == ("finished", "")
    expected = simulate(records(), schema(), job).release.model
    assert [deployment.stored(bank, outcome.run) for bank in NODES] == [expected] * len(NODES)


def test_a_vault_that_is_killed_in_the_middle_costs_an_attempt_and_not_the_run(deployment: Deployment) -> None:
    """`make faults` does this and worse to every part."""
    job = JOB.model_copy(update={"n_estimators": MOST_TREES, "max_depth": 4, "learning_rate": 0.05})
    killed: list[int] = []

    def kill(line: Any) -> None:
        if line["event"] == "ProgressMade" and not killed:
            killed.append(line["step"])
            node = psutil.Process(deployment.stack.node_pid("birch"))
            (vault,) = [child for child in node.children() if "bank_nodes.vault" in child.cmdline()]
            vault.kill()

    outcome = deployment.run("session", progress=kill, job=job.model_dump(), on_loss="wait")

    assert (outcome.status, outcome.reason) == ("finished", "")
    assert outcome.attempts > 1
    assert killed[0] < MOST_TREES
    expected = simulate(records(), schema(), job).release.model
    assert [deployment.stored(bank, outcome.run) for bank in NODES] == [expected] * len(NODES)


def test_a_policy_that_refuses_ends_the_run_for_all_and_the_stack_stays_usable(deployment: Deployment) -> None:
    outcome = deployment.run("session", job={**JOB.model_dump(), "n_estimators": MOST_TREES + 1})

    assert outcome.status == "failed"
    assert "ended the run" in outcome.reason
    assert "max_trees" in outcome.reason
    assert outcome.rounds == 0
    for bank in NODES:
        left = [line["frame"] for line in deployment.vault_log(bank, outcome) if line["event"] == "left"]
        assert left == ["FAILED"]
