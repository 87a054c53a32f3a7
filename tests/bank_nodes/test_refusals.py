"""Records, schemas and policies that do not fit: refused before anything leaves, with rule, column and count, never a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from riskfed.jobs import HorizontalXgboost
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


@pytest.fixture(scope="module")
def unfit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, VaultProcess]]:
    """A vault process for each kind of wrong records, started together."""
    with ExitStack() as stack:
        vaults = {}
        for number, (name, (frame, kind, _)) in enumerate(WRONG.items()):
            frames = {bank: frame if bank == "ash" else loans(9) for bank in BANKS}
            configs = make_consortium(tmp_path_factory.mktemp(f"w{number}"), frames, kind=kind)
            vaults[name] = stack.enter_context(VaultProcess(configs["ash"]))
        yield vaults


@pytest.mark.parametrize("name", WRONG)
def test_unfit_records_are_refused_before_anything_leaves(unfit: dict[str, VaultProcess], name: str) -> None:
    vault, plan = unfit[name], plan_for("run")
    reason = reason_in(vault.ask(label_of(plan), plan_batch(plan)))
    assert WRONG[name][2] in reason
    told = reason + vault.stderr() + vault.log_path.read_text()
    assert TEXT not in told
    assert "98765" not in told
    assert [event["event"] for event in vault.events()] == ["refused", "left"]
    (left,) = vault.events("left")
    assert (left["frame"], left["bytes"]) == ("FAILED", len(reason.encode()))


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultProcess]:
    """One vault that could take part."""
    configs = make_consortium(tmp_path_factory.mktemp("ready"), {bank: loans(1) for bank in BANKS})
    with VaultProcess(configs["ash"]) as vault:
        yield vault


def refusal(vault: VaultProcess, label: str, batch: bytes) -> str:
    """The reason, after a check that it is all that has left."""
    before = len(vault.events()) if vault.log_path.exists() else 0
    reason = reason_in(vault.ask(label, batch))
    assert [(e["event"], e.get("frame")) for e in vault.events()[before:]] == [("refused", None), ("left", "FAILED")]
    return reason


def test_another_schema_is_refused_with_both_fingerprints(ready: VaultProcess) -> None:
    other = Schema(**{**SCHEMA.model_dump(), "version": "8"})
    plan = plan_for("run", schema_fingerprint=other.fingerprint)
    reason = refusal(ready, label_of(plan), plan_batch(plan))
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
def test_an_unwanted_plan_is_refused(ready: VaultProcess, plan: Any, rule: str) -> None:
    assert rule in refusal(ready, label_of(plan), plan_batch(plan))


def test_a_plan_under_another_label_is_refused(ready: VaultProcess) -> None:
    assert "its plan for run/1" in refusal(ready, "run/2", plan_batch(plan_for("run")))


def test_own_metrics_leave_only_where_the_policy_says_so(tmp_path: Path) -> None:
    from tests.bank_nodes.banks import train_over_sockets

    frames = {bank: loans(seed) for seed, bank in enumerate(BANKS)}
    configs = make_consortium(tmp_path, frames, policies={"birch": "min_rows = 50\nshow_own_metrics = true"})
    with ExitStack() as stack:
        vaults = {bank: stack.enter_context(VaultProcess(config)) for bank, config in configs.items()}
        train_over_sockets(vaults, plan_for("run"))
        shown = {bank: any(e["frame"] == "OWN_METRICS" for e in v.events("left")) for bank, v in vaults.items()}
    assert shown == {"ash": False, "birch": True, "cedar": False}


def test_values_that_are_missing_in_the_extract_are_still_missing_in_the_vault(tmp_path: Path) -> None:
    from bank_nodes.config import load_config
    from bank_nodes.holdings import Holdings

    frame = loans(3)
    configs = make_consortium(tmp_path, {bank: frame for bank in BANKS}, kind="csv")
    records = Holdings.load(load_config(configs["ash"])).records
    assert np.array_equal(records.matrix, SCHEMA.encode(frame), equal_nan=True)
    assert np.array_equal(records.labels, SCHEMA.labels(frame))
