"""Contribution: what coalitions train, by the axioms, against pooled models, and with banks that cheat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import log_loss, roc_auc_score

from riskfed.errors import ConfigurationError, JobError, LocalProtocolError
from riskfed.jobs import BankContribution, HorizontalScorecard, HorizontalXgboost
from riskfed.protocols.contribution.in_step import in_step
from riskfed.protocols.program import Program, Progress, Sum, run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.rounds import most_rounds
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.simulation import simulate
from riskfed.trees.reference import train_pooled
from tests.protocols.contributing import (
    JOB,
    MODEL,
    SCHEMA,
    contributed,
    flipped,
    honest,
    loans,
    programs,
    shares,
    shuffled,
    together,
)

BANKS = honest(4, rows=300)


def test_no_attempt_asks_more_often_than_its_bound() -> None:
    most = most_rounds(JOB, len(SCHEMA.features), parties=3) - 1  # the canary
    assert together(programs(honest(3)), most_sums=most)
    assert not together(programs(honest(3)), most_sums=most // 2), "and the bound is no idle one"


def with_(**banks: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {**honest(3), **banks}


def changed(**fields: object) -> BankContribution:
    return JOB.model_copy(update=fields)


@pytest.mark.parametrize("utility", ["auc", "logloss", "profit"])
def test_a_coalitions_utility_is_that_of_xgboost_on_its_pooled_records(utility: str) -> None:
    got = contributed(BANKS, changed(utility=utility))
    pooled = Records.from_frame(pd.concat(BANKS.values(), ignore_index=True), SCHEMA)
    development, held_out = pooled.hold_out(JOB.validation_fraction, 0)
    cuts = run_alone(shared_cuts(development, SCHEMA, MODEL))
    labels = held_out.labels
    for members in (frozenset(BANKS), frozenset({"bank1"}), frozenset({"bank0", "bank3"})):
        frame = pd.concat([BANKS[name] for name in sorted(members)], ignore_index=True)
        rows, _ = Records.from_frame(frame, SCHEMA).hold_out(JOB.validation_fraction, 0)
        booster = train_pooled(rows.matrix, rows.labels, rows.weights, cuts, MODEL)
        pds = booster.predict(xgboost.DMatrix(held_out.matrix, feature_names=list(SCHEMA.columns)))
        expected = {
            "auc": roc_auc_score(labels, pds),
            "logloss": -log_loss(labels, pds.astype(float)),
            "profit": _profit(pds, labels),
        }[utility]
        assert got.utilities[members] == pytest.approx(expected, abs=1e-12)
    assert got.record.rows == len(held_out)


def _profit(pds: np.ndarray, labels: np.ndarray) -> float:
    """Of each loan with a PD at the cut-off, an equal share is approved."""
    outcome = pd.Series(np.where(labels == 0, 1.0, -5.0)).groupby(pds).transform("mean").to_numpy()
    ranked, room = outcome[np.argsort(pds, kind="stable")], 0.8 * len(labels)
    return float(ranked[: int(room)].sum() + (room - int(room)) * ranked[int(room)]) / len(labels)


def test_values_add_up_and_equal_banks_get_the_same() -> None:
    twins = {**BANKS, "bank3": BANKS["bank0"]}
    record = contributed(twins, changed(copied_rows="keep")).record
    assert record.efficiency_error < 1e-12
    assert (record.coalitions, record.untrained, record.method, record.base) == (15, 0, "exact", 0.5)
    values = {share.bank: share.shapley for share in record.banks}
    assert values["bank0"] == values["bank3"] != values["bank1"]
    assert sum(share.reward_share or 0.0 for share in record.banks) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("least", [1, 3])
def test_a_bank_with_copies_only_gets_nothing_and_changes_nothing_for_others(least: int) -> None:
    source = honest(4)
    copier = pd.concat([source["bank1"][:150], shuffled(source["bank3"][:200])])
    job = changed(least_coalition=least)
    values = shares({**source, "thief": copier}, job)
    assert values["thief"] == 0.0
    # As if nobody had ever held the copied rows.
    left = {**source, "bank1": source["bank1"][150:], "bank3": source["bank3"][200:]}
    assert {name: values[name] for name in left} == shares(left, job)


def test_shuffled_labels_bring_nothing_and_flipped_ones_harm() -> None:
    worth = shares(with_(liar=loans(400, 9)))["liar"]
    assert worth > 0.02
    worthless = [shares(with_(liar=shuffled(loans(400, 9), seed)))["liar"] for seed in range(3)]
    assert np.mean(worthless) < 0.1 * worth, "a model of shuffled labels ranks well or badly by chance only"
    poisoned = contributed(with_(liar=flipped(loans(400, 9)))).record
    assert {share.bank for share in poisoned.banks if share.shapley < 0} == {"liar"}
    assert {share.bank: share.reward_share for share in poisoned.banks}["liar"] == 0
    assert any(text.startswith("liar: its records make the model worse") for text in poisoned.warnings)


def test_a_bank_that_is_not_measured_on_cannot_vouch_for_its_own_labels() -> None:
    banks = with_(liar=flipped(loans(400, 9)))
    trusted = changed(validation_banks=("bank0", "bank1", "bank2"))
    assert shares(banks, trusted)["liar"] < shares(banks)["liar"] < 0
    assert contributed(banks, trusted).record.rows < contributed(banks).record.rows


def test_a_free_rider_gets_next_to_nothing() -> None:
    values = shares(with_(rider=loans(12, 9)))
    assert abs(values["rider"]) < 0.3 * min(values[name] for name in values if name != "rider")


def test_many_banks_are_sampled_with_intervals() -> None:
    banks = honest(7, rows=60)
    job = changed(permutations=2, model=MODEL.model_copy(update={"n_estimators": 1}))
    outcome = contributed(banks, job)
    record = outcome.record
    assert (record.method, record.orders) == ("sampled", 4)
    assert record.efficiency_error < 1e-12
    assert all(share.lower is not None and share.lower <= share.shapley for share in record.banks)
    assert 7 < record.coalitions + record.untrained == len(outcome.utilities) <= 7 * 4
    assert shares(banks, job) != shares(banks, job.model_copy(update={"permutation_seed": 1}))


def test_a_coalition_whose_records_give_no_model_counts_as_none() -> None:
    outcome = contributed(with_(young=loans(100, 9).assign(default=0)))
    assert (outcome.record.untrained, outcome.record.coalitions) == (1, 14)
    assert outcome.utilities[frozenset({"young"})] == outcome.record.base


def test_scorecards_of_coalitions() -> None:
    edges = {"income": (0.5, 1.0, 2.0), "debt": (-0.5, 0.5)}
    model = HorizontalScorecard(features=("income", "debt"), bins=edges, least_cell=1, min_iv=0.0)
    outcome = contributed(honest(3), changed(model=model))
    assert outcome.record.untrained == 0
    assert 0.15 < outcome.record.total < 0.45
    assert min(share.shapley for share in outcome.record.banks) > 0.02


def test_a_run_goes_on_after_the_last_batch_that_all_banks_have() -> None:
    banks, kept = honest(5), {}  # type: ignore[var-annotated]
    whole = together(programs(banks), kept=kept)
    lost = {name: entries[: 1 if name == "bank2" else 2] for name, entries in kept.items()}
    progress: list[Progress] = []

    def watched(program: Program[object]) -> Program[object]:
        answer = None
        while True:
            try:
                request = program.send(answer)
            except StopIteration as stop:
                return stop.value
            progress.extend([request] if isinstance(request, Progress) else [])
            answer = yield request

    sides = {name: watched(side) for name, side in programs(banks, journals=lost).items()}
    again = together(sides)
    assert again["bank0"].release == whole["bank0"].release
    assert {request.step for request in progress} == {100}, "only the second batch is measured anew"


def test_changed_records_or_a_damaged_journal() -> None:
    kept: dict[str, list[bytes]] = {}
    together(programs(BANKS), kept=kept)
    banks = {**BANKS, "bank0": loans(300, 77)}
    again = together(programs(banks, journals=kept))
    assert again["bank0"].release == contributed(banks).release
    kept["bank1"] = [b"{}"]
    with pytest.raises(ConfigurationError, match="damaged"):
        together(programs(BANKS, journals=kept))


def test_under_protection_the_release_is_the_same_and_the_server_sees_no_more() -> None:
    result = simulate(BANKS, SCHEMA, JOB)
    assert result.release == contributed(BANKS).release
    release = ModelRelease.from_bytes(result.release.to_bytes())
    assert release == result.release
    assert (release.model, release.form, release.kind) == (b"", "withheld", "contribution")
    assert result.traffic.rounds < 60, "coalitions share rounds"


@pytest.mark.parametrize(
    ("banks", "change", "message"),
    [
        (honest(3), {"least_coalition": 3}, "3 banks hold records of their own"),
        ({**honest(3), "copy": honest(1)["bank0"]}, {"least_coalition": 3}, "2 banks hold records"),
        (with_(), {"least_cell": 5000}, "figures need 5000"),
        (with_(), {"validation_banks": ("bank0", "bank1", "nobody")}, "do not take part: nobody"),
        (with_(), {"model": MODEL.model_copy(update={"monotone_constraints": {"age": 1}})}, "does not have: age"),
    ],
)
def test_impossible_jobs_are_refused(banks: dict[str, pd.DataFrame], change: dict[str, object], message: str) -> None:
    with pytest.raises(JobError, match=message):
        contributed(banks, changed(**change))


def test_parameters_that_would_mislead_are_refused() -> None:
    with pytest.raises(JobError, match="validation_fraction must be 0"):
        BankContribution(model=HorizontalXgboost(validation_fraction=0.2))
    with pytest.raises(JobError, match="validation_banks"):
        BankContribution(model=MODEL, validation_banks=("a", "b"))


def _counting(rounds: int, bound: int) -> Program[int]:
    total = 0
    for _ in range(rounds):
        total += int((yield Sum(np.arange(rounds, dtype=np.int64), bound)).sum())
    return total


def test_programs_in_step_get_their_own_sums() -> None:
    sides = {side: in_step({rounds: _counting(rounds, 100 * rounds) for rounds in (3, 0, 1)}) for side in "ab"}
    expected = {3: 3 * 2 * 3, 0: 0, 1: 0}
    assert together(sides) == {"a": expected, "b": expected}
    assert list(together({"a": in_step({2: _counting(2, 9)})})["a"]) == [2]


def test_programs_in_step_may_only_sum() -> None:
    def telling() -> Program[None]:
        yield Progress(1, {})

    with pytest.raises(LocalProtocolError, match="not for Progress"):
        together({"a": in_step({"one": telling()})})
