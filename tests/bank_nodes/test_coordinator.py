"""A party without records: it holds the key of a vertical logistic regression, and is good for nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bank_nodes.check import check_node
from bank_nodes.config import load_config
from bank_nodes.models import load_model
from bank_nodes.parts import describe_part, load_part
from bank_nodes.plain_words import describe_plan
from bank_nodes.plan_checks import check_schema
from bank_nodes.policy import Policy
from riskfed.errors import ConfigurationError, PlanError, PolicyError
from riskfed.jobs import FederatedTransfer, VerticalLogistic
from tests.bank_nodes.banks import VaultProcess, label_of, plan_batch, reason_in, train_over_sockets
from tests.bank_nodes.vertical_banks import POLICY, SCHEMA, customers, make_parties, vertical_plan

ALL = ("judge", "lender", "shop")
LOGISTIC = VerticalLogistic(
    label_holder="lender",
    coordinator="judge",
    inputs="standardised",
    epochs=2,
    batch_size=64,
    validation_fraction=0.3,
    least_cell=5,
)


def job(**changes: Any) -> VerticalLogistic:
    return VerticalLogistic(**{**LOGISTIC.model_dump(), **changes})


def test_the_coordinators_node_is_checked_without_records(tmp_path: Path) -> None:
    configs = make_parties(tmp_path, frames={**customers(), "judge": None})
    config = load_config(configs["judge"])
    found = {finding.area: finding for finding in check_node(config)}
    assert all(finding.ok for finding in found.values())
    assert "no records" in found["own part"].detail
    assert "records" not in found
    with pytest.raises(ConfigurationError, match=r"judge has no section \[data\]"):
        _ = config.source


def test_a_feature_holder_without_records_is_told_so(tmp_path: Path) -> None:
    configs = make_parties(tmp_path, frames={"lender": customers()["lender"], "shop": None})
    wrong = [finding.detail for finding in check_node(load_config(configs["shop"])) if not finding.ok]
    assert wrong == ["the node file of shop has no section [data]; say where its records are"]


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (vertical_plan(job=LOGISTIC, roster=("lender", "shop")), "the job judge as coordinator"),
        (vertical_plan(job=LOGISTIC, roster=("elm", "judge", "lender", "shop")), "nobody else"),
        (vertical_plan(job=job(coordinator="shop"), roster=("lender", "shop")), "shop holds features"),
        (vertical_plan(roster=ALL), "the roster is judge, lender, shop"),
    ],
)
def test_who_must_be_in_the_roster(plan: Any, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        check_schema(plan, "judge", SCHEMA)
    check_schema(vertical_plan(job=LOGISTIC, roster=ALL), "judge", SCHEMA)


def test_policy_and_plain_words() -> None:
    plan = vertical_plan(job=LOGISTIC, roster=ALL)
    with pytest.raises(PolicyError, match="rule min_batch: got batch_size 64, this bank wants at least 256 rows"):
        Policy(min_cell=5).check_plan(plan, "shop")
    Policy(min_cell=5).check_plan(plan, "lender")
    Policy(min_cell=5, min_batch=64).check(plan, None, "", bank="judge")
    told = dict(describe_plan(plan))
    assert "judge: sizes, and numbers behind masks" in told["others learn"]
    assert "mini-batch of 64 rows" in told["others learn"]


@pytest.mark.slow
def test_three_vaults_fit_a_logistic_regression(tmp_path: Path) -> None:
    rules = f"{POLICY}\nmin_cell = 5\nmin_batch = 64\nmax_sums_per_row = 1"
    configs = make_parties(tmp_path, dict.fromkeys(ALL, rules), {**customers(), "judge": None})
    vaults = {bank: VaultProcess(configs[bank]) for bank in ALL}
    try:
        refused = vertical_plan("refused", job=job(batch_size=65), roster=("judge", "lender"))
        assert "nobody else" in reason_in(vaults["judge"].ask(label_of(refused), plan_batch(refused)))
        release = train_over_sockets(vaults, vertical_plan("first", job=LOGISTIC, roster=ALL))
        stored = load_model(vaults["lender"].folder / "models")
        assert stored.model == release.model
        part = load_part(vaults["shop"].folder / "models", stored.partners[0].sha256)
        assert part.answers == "partial_score"
        assert "shop: 1 terms of a joint scorecard" in describe_part(vaults["shop"].folder / "models", "first")
        (finished,) = vaults["judge"].events("finished")
        assert not list((vaults["judge"].folder / "models").glob("*")), "the coordinator keeps nothing"
        assert finished["release_sha256"] == vaults["shop"].events("finished")[0]["release_sha256"]
    finally:
        for vault in vaults.values():
            vault.__exit__()


@pytest.mark.slow
def test_two_vaults_transfer(tmp_path: Path) -> None:
    wanted = FederatedTransfer(
        label_holder="lender", target="shop", dimensions=2, iterations=2, validation_fraction=0.3, least_cell=5
    )
    configs = make_parties(tmp_path, dict.fromkeys(("lender", "shop"), f"{POLICY}\nmin_cell = 5"))
    vaults = {bank: VaultProcess(config) for bank, config in configs.items()}
    try:
        release = train_over_sockets(vaults, vertical_plan("first", job=wanted))
        assert (release.form, release.model) == ("withheld", b"")
        own = load_model(vaults["shop"].folder / "models")
        assert own.sha256 == release.model_sha256
        assert own.scoring() is not None
        assert not list((vaults["lender"].folder / "models").glob("*")), "the model is the target's alone"
    finally:
        for vault in vaults.values():
            vault.__exit__()
