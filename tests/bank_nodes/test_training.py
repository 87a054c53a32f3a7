"""Three vaults, three processes, one model."""

import json

import pytest

from bank_nodes.models import load_model, store_release
from riskfed.errors import ConfigurationError, PlanError
from riskfed.protocols.frames import Frame, Kind, encode_batch
from riskfed.simulation import simulate
from tests.bank_nodes.banks import JOB, SCHEMA, label_of, plan_batch, plan_for, reason_in
from tests.bank_nodes.conftest import Trained


def test_the_vaults_train_the_model_that_one_process_trains(trained: Trained) -> None:
    local = simulate(trained.frames, SCHEMA, JOB)
    assert trained.release.model == local.release.model
    assert dict(trained.release.metrics) == pytest.approx(dict(local.metrics))


def test_every_bank_stores_the_same_model(trained: Trained) -> None:
    for vault in trained.vaults.values():
        stored = load_model(vault.folder / "models")
        assert (stored.run, stored.model, stored.schema) == ("first", trained.release.model, SCHEMA)


def test_the_log_tells_what_left_and_how_it_ended(trained: Trained) -> None:
    for bank, vault in trained.vaults.items():
        assert vault.events()[0]["event"] == "opened"
        left = [event for event in vault.events("left") if event["run"] == "first/1"]
        frames = [event["frame"] for event in left]
        # Keys, then public parameters, then the canary; only then can anything that derives from a record leave.
        assert frames[: frames.index("DISCLOSE")] == ["EXCHANGE", "EXCHANGE", "PUBLIC", "COMBINE"]
        assert frames[-1] == "RELEASE"
        # Only birch's policy shows its own figures.
        assert ("OWN_METRICS" in frames) == (bank == "birch")
        (finished,) = (event for event in vault.events("finished") if event["run"] == "first/1")
        assert finished["sequence"] > left[-1]["sequence"]
        assert finished["model_sha256"] == load_model(vault.folder / "models").sha256


def test_no_record_value_is_in_log_or_stderr(trained: Trained) -> None:
    for bank, vault in trained.vaults.items():
        told = vault.log_path.read_text() + vault.stderr()
        assert not [value for value in trained.frames[bank]["id"] if value in told]


def test_a_run_is_never_served_again(trained: Trained) -> None:
    vault = trained.vaults["ash"]
    for plan in (plan_for("first"), plan_for("first", attempt=2)):
        assert "has served run first" in reason_in(vault.ask(label_of(plan), plan_batch(plan)))


def test_a_finished_run_answers_nothing_more(trained: Trained) -> None:
    late = encode_batch([Frame(Kind.COMBINE, 9, b"x")])
    assert "not open" in reason_in(trained.vaults["ash"].ask("first/1", late))


def test_a_model_with_a_run_name_that_is_no_folder_is_refused(trained: Trained, tmp_path: object) -> None:
    for run in ("..", ".", "current"):
        with pytest.raises(PlanError, match="cannot be stored"):
            store_release(trained.configs["ash"].parent / "elsewhere", plan_for(run), trained.release)


def test_a_stored_model_that_was_changed_is_refused(trained: Trained, tmp_path: object) -> None:
    folder = trained.configs["ash"].parent / "tampered"
    home = store_release(folder, plan_for("run-a"), trained.release)
    facts = json.loads((home / "release.json").read_text())
    assert facts["schema_fingerprint"] == SCHEMA.fingerprint
    store_release(folder, plan_for("run-b"), trained.release)
    assert load_model(folder).run == "run-b"
    (home / "model.json").write_bytes(trained.release.model + b" ")
    with pytest.raises(ConfigurationError, match="do not belong together"):
        load_model(folder, "run-a")
    with pytest.raises(ConfigurationError, match="no model of run run-c"):
        load_model(folder, "run-c")
