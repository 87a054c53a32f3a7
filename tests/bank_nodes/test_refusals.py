"""Records, schemas and policies that do not fit: refused before anything leaves, with rule, column and count, never a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_nodes.config import load_config
from bank_nodes.holdings import Holdings
from bank_nodes.log import VaultLog, read_log
from bank_nodes.policy import Policy
from bank_nodes.run_service import RunService
from bank_nodes.vault import make_service
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.frames import Frame, Kind, encode_batch
from riskfed.schema import Schema
from tests.bank_nodes.banks import (
    BANKS,
    SCHEMA,
    VaultProcess,
    label_of,
    loans,
    make_consortium,
    plan_batch,
    plan_for,
    reason_in,
)

AMOUNT, TEXT = 987_654_321.5, "ZEBRA-4711"
"""Values that no message may hold."""


def with_values(column: str, values: list[Any]) -> pd.DataFrame:
    frame = loans(0).astype({column: object})
    frame.loc[: len(values) - 1, column] = pd.Series(values, dtype=object)
    return frame


WRONG = {
    "missing column": (loans(0).drop(columns="dti"), "csv", "missing column: column dti"),
    "missing label": (loans(0).drop(columns="default"), "parquet", "missing column: column default"),
    "text in a csv": (
        with_values("amount", [TEXT, TEXT]),
        "csv",
        "wrong type, expected a number, got text: column amount, 2 rows",
    ),
    "text column": (
        loans(0).assign(amount=TEXT),
        "parquet",
        "wrong type, expected a number, got text: column amount, 120 rows",
    ),
    "out of range": (
        with_values("amount", [AMOUNT, -1, AMOUNT]),
        "csv",
        "above the schema's maximum 50000: column amount, 2 rows",
    ),
    "unknown level": (
        with_values("grade", [TEXT] * 3),
        "parquet",
        "level that the schema does not list: column grade, 3 rows",
    ),
    "unknown code": (
        with_values("region", [TEXT, 9]),
        "csv",
        "level that the schema does not list: column region, 2 rows",
    ),
    "missing value": (
        with_values("amount", [None] * 4),
        "csv",
        "missing value where the schema allows none: column amount, 4 rows",
    ),
    "too few rows": (loans(0, rows=49), "parquet", "policy rule min_rows: got 49 rows, this bank wants at least 50"),
    "no default": (
        loans(0).assign(default=0),
        "parquet",
        "min_defaults: got 0 of 120 rows with a positive label in column default",
    ),
    "label 2": (with_values("default", [2]), "csv", "label other than 0 and 1: column default, 1 rows"),
}


def unfit_bank(folder: Path, name: str) -> Path:
    frame, kind, _ = WRONG[name]
    return make_consortium(folder, {bank: frame if bank == "ash" else loans(9) for bank in BANKS}, kind=kind)["ash"]


def check_refusal(name: str, reason: str, stderr: str, log: Path) -> None:
    assert WRONG[name][2] in reason
    told = reason + stderr + log.read_text()
    assert TEXT not in told
    assert "98765" not in told
    refused, left = read_log(log)
    assert (refused["event"], left["event"]) == ("refused", "left")
    assert (left["frame"], left["bytes"]) == ("FAILED", len(reason.encode()))


@pytest.mark.parametrize("name", WRONG)
def test_unfit_records_are_refused_before_anything_leaves(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config, plan = load_config(unfit_bank(tmp_path, name)), plan_for("run")
    with VaultLog(config.vault.log) as log:
        reason = reason_in(make_service(config, log).handle(label_of(plan), plan_batch(plan)))
    captured = capfd.readouterr()
    check_refusal(name, reason, captured.out + captured.err, config.vault.log)


def test_a_vault_with_unfit_records_starts_and_tells_every_run_why(tmp_path: Path) -> None:
    plan = plan_for("run")
    with VaultProcess(unfit_bank(tmp_path, "text in a csv")) as vault:
        reason = reason_in(vault.ask(label_of(plan), plan_batch(plan)))
        check_refusal("text in a csv", reason, vault.stderr(), vault.log_path)
    assert "wrong type" in vault.stderr()


def test_what_is_wrong_with_a_banks_own_files_stays_in_the_bank(tmp_path: Path) -> None:
    config, plan = load_config(unfit_bank(tmp_path, "no default")), plan_for("run")
    config.data.path.unlink()
    with VaultLog(config.vault.log) as log:
        reason = reason_in(make_service(config, log).handle(label_of(plan), plan_batch(plan)))
    assert "bank ash cannot take part: it could not load its records" in reason
    assert str(tmp_path) not in reason


def test_an_unforeseen_error_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, plan = load_config(unfit_bank(tmp_path, "no default")), plan_for("run")

    def burst(*_: object) -> None:
        raise ValueError(f"cannot convert {TEXT}")

    with VaultLog(config.vault.log) as log:
        service = make_service(config, log)
        monkeypatch.setattr(Policy, "check", burst)
        reason = reason_in(service.handle(label_of(plan), plan_batch(plan)))
    assert reason == "internal error in the vault of ash; see its log"
    assert TEXT not in config.vault.log.read_text()


@dataclass
class Ready:
    """A vault that could take part, in this process."""

    service: RunService
    log: Path

    def refusal(self, label: str, batch: bytes) -> str:
        """The reason, after a check that it is all that has left."""
        before = len(list(read_log(self.log)))
        reason = reason_in(self.service.handle(label, batch))
        events = [(e["event"], e.get("frame")) for e in list(read_log(self.log))[before:]]
        assert events == [("refused", None), ("left", "FAILED")]
        return reason


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    configs = make_consortium(tmp_path_factory.mktemp("ready"), {bank: loans(1) for bank in BANKS})
    config = load_config(configs["ash"])
    with VaultLog(config.vault.log) as log:
        yield Ready(make_service(config, log), config.vault.log)


def test_another_schema_is_refused_with_both_fingerprints(ready: Ready) -> None:
    other = Schema(**{**SCHEMA.model_dump(), "version": "8"})
    plan = plan_for("run", schema_fingerprint=other.fingerprint)
    reason = ready.refusal(label_of(plan), plan_batch(plan))
    assert "version 7" in reason
    assert SCHEMA.fingerprint[:16] in reason
    assert other.fingerprint[:16] in reason


@pytest.mark.parametrize(
    ("plan", "rule"),
    [
        (plan_for("run", job=HorizontalXgboost(n_estimators=5000)), "policy rule max_trees: got 5000 trees"),
        (plan_for("run", protection="paillier", key_bits=1024), "policy rule min_key_bits: got 1024 bits"),
        (plan_for("run", job=HorizontalXgboost(cut_rounds=8)), "policy rule exact_cuts"),
        (plan_for("run", roster=("birch", "cedar", "dogwood")), "bank ash is not in the roster"),
        (plan_for("run", roster=("ash", "birch", "dogwood")), "no public key of dogwood"),
    ],
)
def test_an_unwanted_plan_is_refused(ready: Ready, plan: Any, rule: str) -> None:
    assert rule in ready.refusal(label_of(plan), plan_batch(plan))


def test_a_plan_under_another_label_is_refused(ready: Ready) -> None:
    assert "its plan for run/1" in ready.refusal("run/2", plan_batch(plan_for("run")))


FRAMES = st.lists(
    st.builds(Frame, st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=40)), min_size=1, max_size=3
)


@given(label=st.text(max_size=20), batch=st.one_of(st.binary(max_size=60), FRAMES.map(encode_batch)))
def test_whatever_is_asked_of_a_vault_without_a_run_only_a_refusal_leaves(
    ready: Ready, label: str, batch: bytes
) -> None:
    answer = ready.service.handle(label, batch)
    assert answer == b"" or reason_in(answer)


def test_nothing_leaves_that_cannot_be_logged(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space left")

    plan = plan_for("unlogged")
    with monkeypatch.context() as patch:
        patch.setattr(VaultLog, "record", full)
        # The reason is all that leaves: it holds nothing of a record.
        told = reason_in(ready.service.handle(label_of(plan), plan_batch(plan)))
        assert told.startswith("bank ash cannot write its log or checkpoints (no space left)")
    late = encode_batch([Frame(Kind.EXCHANGE, 0)])
    assert "not open" in ready.refusal(label_of(plan), late)


def test_values_that_are_missing_in_the_extract_are_still_missing_in_the_vault(tmp_path: Path) -> None:
    frame = loans(3)
    configs = make_consortium(tmp_path, {bank: frame for bank in BANKS}, kind="csv")
    records = Holdings.load(load_config(configs["ash"])).records
    assert np.array_equal(records.matrix, SCHEMA.encode(frame), equal_nan=True)
    assert np.array_equal(records.labels, SCHEMA.labels(frame))
