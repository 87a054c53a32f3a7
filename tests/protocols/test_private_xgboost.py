"""Horizontal XGBoost with differential privacy: it learns, with the noise that it states, and tells nothing else of development records."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from riskfed.errors import JobError, ProtectionError
from riskfed.jobs import DifferentialPrivacy, HorizontalXgboost
from riskfed.protocols.horizontal_xgboost import Trained
from riskfed.protocols.noised_sums import BITS
from riskfed.protocols.private_xgboost import noise_budget, train
from riskfed.protocols.program import Checkpoint, Program, Sum
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.rounds import most_rounds
from riskfed.schema import Feature, Schema
from riskfed.secure.privacy_accounting import epsilon_spent
from riskfed.simulation import Result, simulate
from riskfed.trees.booster_json import parse_booster
from tests.helpers import add_up

SCHEMA = Schema(
    name="s",
    version="1",
    target="y",
    features=tuple(Feature(name=name, minimum=-4, maximum=4, nullable=False) for name in "abc"),
)
ROSTER = ("x", "y", "z")
FIELDS: dict[str, Any] = {"n_estimators": 30, "max_depth": 3, "learning_rate": 0.3, "max_bin": 16}


def job(epsilon: float = 4.0, splits: str = "random", **fields: Any) -> HorizontalXgboost:
    privacy = fields.pop("privacy", {"epsilon": epsilon, "splits": splits})
    return HorizontalXgboost(**{**FIELDS, "validation_fraction": 0.3, "privacy": privacy, **fields})


@cache
def bank(number: int, rows: int = 1200) -> pd.DataFrame:
    draw = np.random.default_rng(number)
    frame = pd.DataFrame(draw.normal(size=(rows, 3)).clip(-4, 4), columns=["a", "b", "c"])
    odds = 1.5 * frame["a"] - frame["b"] - 1
    return frame.assign(y=(odds + draw.logistic(size=rows) > 0).astype(int))


def banks() -> dict[str, pd.DataFrame]:
    return {name: bank(number) for number, name in enumerate(ROSTER)}


@cache
def simulated(splits: str) -> Result:
    return simulate(banks(), SCHEMA, job(splits=splits, n_estimators=30 if splits == "random" else 6))


def programs(asked: HorizontalXgboost, journals: list[list[bytes]] | None = None) -> list[Program[Trained]]:
    return [
        train(
            Records.from_frame(frame, SCHEMA), SCHEMA, asked, roster=ROSTER, journal=None if journals is None else journals[at]
        )
        for at, frame in enumerate(banks().values())
    ]  # fmt: skip


@pytest.mark.parametrize("splits", ["random", "histogram"])
def test_a_private_run_learns_and_states_what_it_spent(splits: str) -> None:
    release = simulated(splits).release
    assert release.metrics["auc"] > 0.65
    assert release.privacy is not None
    assert (release.privacy.splits, release.privacy.colluding_banks) == (splits, 1)
    assert 3.9 < release.privacy.epsilon <= 4.0
    assert ModelRelease.from_bytes(release.to_bytes()).privacy == release.privacy
    for tree in parse_booster(release.model).trees:
        assert (tree.sum_hessian >= 0).all()
        assert np.isfinite(tree.split_conditions).all()
    assert simulated(splits).booster.num_features() == 3


def test_nothing_exact_of_development_records_is_released() -> None:
    release = simulated("random").release
    assert release.evaluation is not None
    people = release.evaluation.population
    held_out = sum(grade.goods + grade.bads for grade in release.evaluation.grades)
    development = 3 * 1200 - people.rows
    assert people.rows == held_out
    assert 0 < abs(people.development_rows - development) < 500
    assert sum(grade.development for grade in release.evaluation.grades) == people.rows
    assert all(sum(row.expected for row in shift.bins) == people.rows for shift in release.evaluation.features)
    assert release.evaluation.score_shift.index is None
    assert "psi" not in release.metrics


def sums_of(asked: HorizontalXgboost) -> tuple[list[list[np.ndarray]], list[Trained]]:
    """What each bank handed over to be summed, step by step, and the outcomes."""
    heard: list[list[np.ndarray]] = [[] for _ in ROSTER]

    def listening(program: Program[Trained], own: list[np.ndarray]) -> Program[Any]:
        answer = None
        while True:
            try:
                request = program.send(answer)
            except StopIteration as stop:
                outcome: Trained = stop.value
                return outcome
            if isinstance(request, Sum):
                own.append(request.values)
            answer = yield request

    return heard, add_up([listening(program, own) for program, own in zip(programs(asked), heard, strict=True)])


def test_every_bank_adds_its_share_of_the_noise_and_two_runs_differ() -> None:
    asked = job(n_estimators=20, validation_fraction=0.0)
    share = noise_budget(asked, SCHEMA, 3).share
    heard, found = sums_of(asked)
    assert len({outcome.release.to_bytes() for outcome in found}) == 1
    assert len(heard[0]) == 1 + 1 + 20
    for number, own in enumerate(heard):
        labels = bank(number)["y"]
        exact = np.array([(labels == 0).sum(), labels.sum()]) << BITS
        assert 0 < abs(own[1] - exact).max() < 8 * share
        # Of a tree's leaves, the gradients of a bank's records add up to what noise on each of them hides.
        drift = np.array([sums[::2].sum() for sums in own[3:]])
        assert drift.std() > share
    again = add_up(programs(asked))
    assert again[0].release.model != found[0].release.model


def test_fewer_sums_than_were_counted_for_the_policy() -> None:
    for splits in ("random", "histogram"):
        asked = job(splits=splits, n_estimators=3)
        assert sum(len(own) for own in sums_of(asked)[0]) / 3 <= most_rounds(asked)


def test_the_budget_is_for_every_sum_and_keeps_to_epsilon() -> None:
    budgets = {splits: noise_budget(job(1.0, splits), SCHEMA, 5) for splits in ("random", "histogram")}
    assert budgets["random"].sensitivities == ((1.0, 31),)
    assert budgets["histogram"].sensitivities == ((1.0, 1), (2.0, 30), (3**0.5, 60))
    for budget in budgets.values():
        record = budget.record()
        units = [(norm * (2**BITS + 2), count) for norm, count in budget.sensitivities]
        assert epsilon_spent(budget.scale, units, 1e-6) <= record.epsilon <= 1.0
        assert 4 * budget.share**2 >= budget.scale**2
        assert record.sigma == budget.scale / 2**BITS < budget.pooled_sigma
    assert noise_budget(job(0.5), SCHEMA, 5).scale > budgets["random"].scale


def test_a_record_is_never_longer_than_the_sensitivity() -> None:
    p = np.linspace(0, 1, 10_001)
    for labels in (0, 1):
        g, h = np.rint((p - labels) * 2**BITS), 3 * np.rint(p * (1 - p) * 2**BITS)
        assert np.hypot(g, h).max() <= 2**BITS + 2


def test_without_privacy_the_release_says_none_and_is_as_before() -> None:
    plain = simulate(banks(), SCHEMA, HorizontalXgboost(**FIELDS)).release
    assert plain.privacy is None
    assert "privacy" not in json.loads(plain.to_bytes())
    again = simulate(banks(), SCHEMA, HorizontalXgboost(**FIELDS)).release
    assert plain.to_bytes() == again.to_bytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"early_stopping_rounds": 3},
        {"scale_pos_weight": 2.0},
        {"compare_alone": True},
        {"cut_rounds": 8},
        {"gamma": 0.1},
        {"monotone_constraints": {"a": 1}},
    ],
)
def test_what_does_not_go_with_privacy_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(JobError, match=f"{next(iter(fields))}.*cannot go with privacy"):
        job(**fields)


def test_all_banks_cannot_collude_nor_records_weigh_more() -> None:
    with pytest.raises(JobError, match="colluding_banks is 3 of 3 banks"):
        noise_budget(job(privacy=DifferentialPrivacy(epsilon=1, colluding_banks=3)), SCHEMA, 3)
    weighed = SCHEMA.model_copy(update={"weight": "w"})
    with pytest.raises(JobError, match="weighs them by w"):
        noise_budget(job(), weighed, 3)


def stopped(asked: HorizontalXgboost, journals: list[list[bytes]], sums: int) -> list[np.ndarray]:
    """Run an attempt that is lost after so many sums; journals grow. What the first bank sent."""
    sides = programs(asked, [list(entries) for entries in journals])
    sent: list[np.ndarray] = []
    pooled = None
    while len(sent) < sums:
        parts = [_next_sum(side, pooled, own) for side, own in zip(sides, journals, strict=True)]
        pooled = np.sum(parts, axis=0)
        sent.append(parts[0])
    return sent


def _next_sum(side: Program[Trained], answer: Any, journal: list[bytes]) -> np.ndarray:
    while not isinstance(request := side.send(answer), Sum):
        answer = None
        if isinstance(request, Checkpoint):
            journal.append(request.entry)
    return request.values


def test_another_attempt_sends_the_same_noise_again() -> None:
    asked = job(n_estimators=4, validation_fraction=0.0)
    journals: list[list[bytes]] = [[] for _ in ROSTER]
    # Agreeing that nothing is there takes one sum; then held-out totals, totals, and trees.
    first = stopped(asked, journals, 5)
    second = stopped(asked, journals, 4)
    # Agreeing now takes two sums. The third tree's sum was sent, and no bank had the tree.
    assert (second[2] == first[4]).all()
    assert not (second[3] == first[4]).all()


def test_a_bank_that_lost_its_journal_cannot_make_others_spend_again() -> None:
    asked = job(n_estimators=4, validation_fraction=0.0)
    journals: list[list[bytes]] = [[] for _ in ROSTER]
    stopped(asked, journals, 5)
    journals[1].clear()
    with pytest.raises(ProtectionError, match="must start a new run"):
        stopped(asked, journals, 5)
