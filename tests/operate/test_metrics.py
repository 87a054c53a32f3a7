"""Metrics: what is counted, that nothing of one run's content is, and that files and HTTP serve what Prometheus reads."""

from __future__ import annotations

import time
from collections.abc import Hashable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from bank_nodes.metrics import Metered, VaultMetrics
from bank_nodes.node_metrics import NodeMetrics, node_file
from bank_nodes.settings import MetricsConfig
from riskfed import metrics_file
from riskfed.errors import BankLostError
from riskfed.flower.metrics import RunMetrics
from riskfed.metrics_file import MetricsFile
from riskfed.protocols import events
from riskfed.protocols.frames import Frame, Kind, encode_batch
from tests.helpers import plan_for

PLAN, SUM, FAILED = (encode_batch([Frame(kind, 0, b"xy")]) for kind in (Kind.PLAN, Kind.COMBINE, Kind.FAILED))
LOST = encode_batch([Frame(Kind.LOST, 0)])


def samples(path: Path) -> dict[str, float]:
    """Name with labels -> value, as Prometheus' own parser reads the file."""
    return {
        sample.name + "".join(f"[{value}]" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


class Scripted:
    """A service that gives the answer that the label asks for."""

    def __init__(self) -> None:
        self.answer = b""
        self.gone: list[Hashable] = []

    def handle(self, label: str, batch: bytes, carrier: Hashable = None) -> bytes:
        return self.answer

    def disconnect(self, carrier: Hashable) -> None:
        self.gone.append(carrier)


class Vault:
    def __init__(self, path: Path, rows: int | None = 700) -> None:
        self.path, self.inner = path, Scripted()
        self.metrics = VaultMetrics(path, "ash", rows=rows, schema="ab" * 32)
        self.service = Metered(self.inner, self.metrics)

    def say(self, label: str, batch: bytes, answer: bytes) -> None:
        self.inner.answer = answer
        assert self.service.handle(label, batch) == answer

    def read(self) -> dict[str, float]:
        self.metrics._file.write()
        return samples(self.path)

    def runs(self) -> dict[str, float]:
        found = self.read()
        return {
            name: found[f"riskfed_vault_runs_total[{name}]"] for name in ("opened", "refused", "dropped", "finished")
        }


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "riskfed.prom")


def test_a_run_from_plan_to_model(vault: Vault) -> None:
    vault.say("r/1", PLAN, SUM)
    assert vault.read()["riskfed_vault_run_open"] == 1
    for answer in (SUM, SUM, b""):
        vault.say("r/1", SUM, answer)

    found = vault.read()
    assert vault.runs() == {"opened": 1, "refused": 0, "dropped": 0, "finished": 1}
    assert found["riskfed_vault_run_open"] == 0
    assert found["riskfed_vault_rounds_total"] == 3
    assert found["riskfed_vault_received_bytes_total"] == len(PLAN) + 3 * len(SUM)
    assert found["riskfed_vault_sent_bytes_total"] == 3 * len(SUM)
    assert found["riskfed_vault_answer_seconds_count"] == 4
    assert abs(found["riskfed_vault_last_activity_timestamp_seconds"] - time.time()) < 60
    assert found["riskfed_vault_records"] == 700


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([("r/1", PLAN, FAILED)], {"refused": 1}),
        ([("r/1", SUM, FAILED)], {"refused": 1}),
        ([("r/1", SUM, LOST)], {}),
        ([("r/1", FAILED, b"")], {}),
        ([("r/1", PLAN, SUM), ("r/1", SUM, FAILED)], {"opened": 1, "dropped": 1}),
        ([("r/1", PLAN, SUM), ("r/1", FAILED, b"")], {"opened": 1, "dropped": 1}),
        ([("r/1", PLAN, SUM), ("s/1", PLAN, FAILED)], {"opened": 1, "refused": 1}),
        ([("r/1", PLAN, SUM), ("r/2", PLAN, SUM)], {"opened": 2, "dropped": 1}),
        ([("r/1", PLAN, SUM), ("s/1", FAILED, b""), ("r/1", SUM, b"")], {"opened": 1, "finished": 1}),
    ],
    ids=[
        *(
            "refused by policy",
            "not open",
            "lost with an earlier process",
            "the end of a run unknown here",
            "broken by this bank",
        ),
        *("ended by the server", "busy", "a later attempt takes over", "another run's end does not touch this one"),
    ],
)
def test_what_becomes_of_runs(vault: Vault, said: list[tuple[str, bytes, bytes]], expected: dict[str, int]) -> None:
    for label, batch, answer in said:
        vault.say(label, batch, answer)
    assert {name: count for name, count in vault.runs().items() if count} == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from([PLAN, SUM, FAILED]), st.sampled_from([SUM, FAILED, LOST, b""])
        )
    )
)
def test_whatever_comes_every_run_that_opened_ends_once_or_is_open(said: list[tuple[str, bytes, bytes]]) -> None:
    vault = Vault(Path("unwritten.prom"))
    for label, batch, answer in said:
        vault.inner.answer = answer
        vault.service.handle(label, batch)
    value = vault.metrics._file.registry.get_sample_value
    runs = {r: value("riskfed_vault_runs_total", {"result": r}) or 0 for r in ("opened", "dropped", "finished")}
    assert runs["opened"] == runs["dropped"] + runs["finished"] + (value("riskfed_vault_run_open") or 0)


def test_a_closed_connection_is_passed_on(vault: Vault) -> None:
    vault.service.disconnect("line")
    assert vault.inner.gone == ["line"]


@pytest.mark.parametrize(
    ("rows", "shown"), [(0, 0), (49, 0), (51, 100), (549, 500), (12_345, 12_000), (987_654, 990_000)]
)
def test_no_single_record_shows(tmp_path: Path, rows: int, shown: int) -> None:
    assert Vault(tmp_path / "v.prom", rows=rows).read()["riskfed_vault_records"] == shown


def test_unfit_records_show(tmp_path: Path) -> None:
    found = Vault(tmp_path / "v.prom", rows=None).read()
    assert (found["riskfed_vault_ready"], found["riskfed_vault_records"]) == (0, 0)


def test_the_file_is_there_while_the_vault_runs_and_gone_afterwards(vault: Vault) -> None:
    with vault.metrics:
        deadline = time.monotonic() + 10
        while not vault.path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert abs(samples(vault.path)["riskfed_vault_heartbeat_timestamp_seconds"] - time.time()) < 60
    assert not vault.path.exists()


def test_a_folder_that_cannot_be_written_ends_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    metrics, told = MetricsFile(tmp_path / "taken" / "riskfed.prom"), []
    monkeypatch.setattr(metrics_file._log, "warning", lambda text, *values: told.append(text % values))
    metrics.write()
    metrics.write()
    assert len(told) == 1
    assert "riskfed.prom" in told[0]


class Child:
    running, starts = True, 3


def test_the_supervisor_tells_what_runs_and_how_often_it_was_started_again(tmp_path: Path) -> None:
    metrics = NodeMetrics(tmp_path / "n.prom", {"vault": Child(), "courier": Child()})
    metrics.tick()
    found = samples(tmp_path / "n.prom")
    assert found["riskfed_node_process_up[courier]"] == 1
    assert found["riskfed_node_process_restarts[vault]"] == 2
    metrics.stop()
    assert not (tmp_path / "n.prom").exists()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [({"listen": "127.0.0.1:9464"}, "set file too"), ({"file": "metrics.txt"}, "must end in .prom")],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MetricsConfig(**fields)


def test_the_supervisors_file_stands_beside_the_vaults() -> None:
    assert node_file(Path("m/riskfed.prom")) == Path("m/riskfed-node.prom")


def test_a_runs_metrics_follow_its_events(tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    metrics = RunMetrics(path)

    def state() -> list[str]:
        return [name for name, value in samples(path).items() if name.startswith("riskfed_run_state") and value]

    def a_round(step: int) -> events.RoundFinished:
        return events.RoundFinished(step, 0.02, {"ash": 10, "birch": 20}, {"ash": 1, "birch": 1})

    assert state() == ["riskfed_run_state[starting]"]
    metrics(events.RunStarted(plan_for(), "session"))
    metrics(events.ProtectionProven("masking", None))
    assert state() == ["riskfed_run_state[running]"]
    metrics(a_round(0))
    metrics(events.ProgressMade(1, {"logloss": 0.5}))
    metrics(events.AttemptFailed(1, str(BankLostError("bank ash is lost"))))
    assert state() == ["riskfed_run_state[waiting]"]
    metrics(events.RunStarted(plan_for(attempt=2), "session"))
    metrics(a_round(0))
    metrics(events.ProgressMade(2, {}))
    metrics(events.RunFinished(3.0))

    found = samples(path)
    assert state() == ["riskfed_run_state[finished]"]
    assert found["riskfed_run_attempt"] == 2
    assert found["riskfed_run_trees"] == 2
    assert found["riskfed_run_rounds_total"] == 2
    assert found["riskfed_run_received_bytes_total[birch]"] == 40
    assert found["riskfed_run_sent_bytes_total[ash]"] == 2
    assert found["riskfed_run_losses_total"] == 1
    assert found["riskfed_run_round_seconds_sum"] == pytest.approx(0.04)


def test_a_servers_metrics_hold_no_count_of_records(tmp_path: Path) -> None:
    """Pooled figures go to MLflow and the progress file under the policy's rules; monitoring has no business with them."""
    metrics = RunMetrics(tmp_path / "run.prom")
    metrics(events.ProgressMade(1, {"rows": 4711.0, "defaults": 42.0, "logloss": 0.123}))
    metrics(events.BankMetrics("ash", {"rows": 815.0}))
    metrics(events.RunFinished(1.0))
    text = (tmp_path / "run.prom").read_text()
    assert not any(figure in text for figure in ("4711", "815", "0.123"))
