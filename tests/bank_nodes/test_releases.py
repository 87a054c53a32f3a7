"""Whole runs over three vaults in this process: what form the model leaves in, what banks keep, and when a bank stops asking."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from bank_nodes.config import load_config
from bank_nodes.log import VaultLog, read_log
from bank_nodes.models import load_model
from bank_nodes.run_service import RunService
from bank_nodes.vault import make_service
from riskfed.errors import RunFailedError
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.rounds import most_rounds
from riskfed.protocols.switchboard import Switchboard
from tests.bank_nodes.banks import BANKS, JOB, label_of, loans, make_consortium, plan_batch, plan_for

ALLOWED = most_rounds(JOB) + 40


class Vaults:
    """Three vaults; ash lets out only so many sums a day."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        frames = {bank: loans(seed) for seed, bank in enumerate(BANKS)}
        policies = {"ash": f"min_rows = 50\nmax_rounds_per_day = {ALLOWED}"}
        self.configs = {b: load_config(c) for b, c in make_consortium(folder, frames, policies=policies).items()}
        self.logs = {bank: stack.enter_context(VaultLog(c.vault.log)) for bank, c in self.configs.items()}
        self.services: Mapping[str, RunService] = {b: make_service(c, self.logs[b]) for b, c in self.configs.items()}

    def train(self, plan: Plan, used_before_round: Mapping[int, int] | None = None) -> ModelRelease:
        """Serve a run to its end; before some rounds, ash's log gets lines of earlier attempts."""
        switchboard, label = Switchboard(plan, transport="test"), label_of(plan)
        batches = {bank: self.services[bank].handle(label, plan_batch(plan)) for bank in BANKS}
        number = 0
        while any(batches.values()):
            answers = switchboard.round(batches)
            for _ in range((used_before_round or {}).get(number, 0)):
                self.logs["ash"].record("left", run=f"{plan.run}/0", step=0, frame="COMBINE", bytes=1, sha256="0" * 64)
            batches = {bank: self.services[bank].handle(label, answers[bank]) for bank in BANKS}
            number += 1
        assert switchboard.release is not None
        return switchboard.release


@pytest.fixture
def vaults(tmp_path: Path) -> Iterator[Vaults]:
    with ExitStack() as stack:
        yield Vaults(tmp_path, stack)


@pytest.mark.parametrize("form", ["reduced", "withheld"])
def test_every_bank_keeps_the_full_model_whatever_was_released(vaults: Vaults, form: str) -> None:
    released = vaults.train(plan_for("run", job=HorizontalXgboost(**{**JOB.model_dump(), "release": form})))
    assert released.form == form
    for bank, config in vaults.configs.items():
        stored = load_model(config.vault.models)
        assert stored.sha256 == released.model_sha256
        assert stored.model != released.model
        assert any(tree["loss_changes"][0] > 0 for tree in trees_of(stored.model))
        (finished,) = [entry for entry in read_log(vaults.logs[bank].path) if entry["event"] == "finished"]
        assert (finished["released"], finished["model_sha256"]) == (form, stored.sha256)


def trees_of(booster: bytes) -> list[dict[str, list[float]]]:
    return json.loads(booster)["learner"]["gradient_booster"]["model"]["trees"]


def test_a_run_stops_where_the_days_allowance_ends(vaults: Vaults) -> None:
    with pytest.raises(
        RunFailedError,
        match=rf"bank ash ended the run: policy rule max_rounds_per_day: got one more round after {ALLOWED}",
    ):
        vaults.train(plan_for("run"), used_before_round={6: ALLOWED - 4})
    entries = list(read_log(vaults.logs["ash"].path))
    assert sum(entry.get("frame") == "COMBINE" for entry in entries) == ALLOWED
    assert entries[-2]["event"] == "dropped"
    assert entries[-2]["rule"] == "max_rounds_per_day"
    assert entries[-1]["frame"] == "FAILED"
