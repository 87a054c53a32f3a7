"""Scorecards and monitoring over real vaults, each with its own store of models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bank_nodes.config import load_config
from bank_nodes.models import find_model, load_model
from bank_nodes.score import score_file
from riskfed.errors import ConfigurationError
from riskfed.jobs import HorizontalScorecard, HorizontalXgboost, ModelMonitoring
from riskfed.scorecard.card import Scorecard
from riskfed.simulation import simulate
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
    train_over_sockets,
)
from tests.bank_nodes.conftest import Trained

# The analyst's own edges: no solver is needed, so the vaults start quickly.
CARD = HorizontalScorecard(
    features=("dti", "grade"),
    bins={"dti": (25.0, 35.0), "grade": (0.5, 1.5)},
    validation_fraction=0.3,
    least_cell=10,
)


@pytest.fixture(scope="module")
def carded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    frames = {bank: loans(seed, rows=400) for seed, bank in enumerate(BANKS)}
    rules = dict.fromkeys(BANKS, "min_rows = 50\nmin_cell = 10\nmax_runs_per_day = 50")
    configs = make_consortium(tmp_path_factory.mktemp("cards"), frames, policies=rules)
    with ExitStack() as stack:
        vaults = {bank: stack.enter_context(VaultProcess(config)) for bank, config in configs.items()}
        release = train_over_sockets(vaults, plan_for("card", job=CARD))
        yield Trained(frames, configs, vaults, release)


def test_the_vaults_fit_the_card_that_one_process_fits(carded: Trained) -> None:
    local = simulate(carded.frames, SCHEMA, CARD)
    assert carded.release.model == local.release.model
    assert carded.release.evaluation == local.evaluation
    for vault in carded.vaults.values():
        stored = load_model(vault.folder / "models")
        assert (stored.model, stored.evaluation) == (local.full.model, local.evaluation)


def test_a_bank_scores_with_its_copy_of_the_card(carded: Trained, tmp_path: Path) -> None:
    applicants = carded.frames["ash"].drop(columns="default").head(50)
    applicants.to_csv(tmp_path / "applicants.csv", index=False)
    score_file(load_config(carded.configs["ash"]), tmp_path / "applicants.csv", tmp_path / "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv")
    card = Scorecard.from_bytes(carded.release.model)
    assert np.allclose(scores["pd"], card.pd(SCHEMA.encode(applicants)), rtol=1e-12, atol=0)
    assert scores["points"].between(300, 850).all()


def test_the_banks_monitor_the_model_that_they_hold(carded: Trained) -> None:
    job = ModelMonitoring(model_sha256=carded.release.model_sha256, least_cell=10)
    monitored = train_over_sockets(carded.vaults, plan_for("watch", job=job))
    assert (monitored.kind, monitored.model) == ("model_monitoring", b"")
    assert monitored.evaluation is not None
    assert monitored.evaluation.population.rows == sum(map(len, carded.frames.values()))
    local = simulate(carded.frames, SCHEMA, job, model=carded.release)
    assert monitored.evaluation == local.evaluation
    for vault in carded.vaults.values():
        assert load_model(vault.folder / "models").run == "card", "monitoring must leave the model in use alone"


def test_a_challenger_is_compared_with_the_champion_that_the_banks_hold(carded: Trained) -> None:
    job = HorizontalXgboost(
        n_estimators=3,
        max_depth=2,
        max_bin=16,
        validation_fraction=0.3,
        least_cell=10,
        champion_sha256=carded.release.model_sha256,
    )
    released = train_over_sockets(carded.vaults, plan_for("challenger", job=job))
    assert released.evaluation is not None
    assert carded.release.evaluation is not None
    swap = released.evaluation.swap
    assert swap is not None
    assert swap.champion_sha256 == carded.release.model_sha256
    # The same loans were held out, so the champion's AUC is that of its own evaluation.
    assert swap.champion_auc == pytest.approx(carded.release.evaluation.discrimination.auc.value, abs=1e-12)


def test_a_model_that_a_bank_does_not_hold_is_refused(carded: Trained) -> None:
    plan = plan_for("stranger", job=ModelMonitoring(model_sha256="ab" * 32, least_cell=10))
    assert "no sound copy of model abababababab" in reason_in(
        carded.vaults["ash"].ask(label_of(plan), plan_batch(plan))
    )


def test_a_damaged_copy_is_no_copy(carded: Trained, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(carded.vaults["ash"].folder / "models" / "card", models / "card")
    assert find_model(models, carded.release.model_sha256).run == "card"
    (models / "card" / "model.json").write_bytes(carded.release.model + b" ")
    with pytest.raises(ConfigurationError, match="do not belong together"):
        find_model(models, carded.release.model_sha256)
