"""Parties and switchboard together: sums come out right, order is kept, and every departure ends the run with a reason."""

from functools import partial

import numpy as np
import pytest

from riskfed.errors import (
    LocalProtocolError,
    ProtectionError,
    RemoteProtocolError,
    RiskfedError,
    RunFailedError,
)
from riskfed.protocols import events
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.party import Party
from riskfed.protocols.program import OwnMetrics, Progress, Release, Sum
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Feature, Schema
from riskfed.secure import paillier_key
from tests.helpers import BANKS, parties_for, plan_for

RELEASE = ModelRelease(b"{}", Schema(target="y", features=(Feature(name="x"),)), {"auc": 0.75}, [], [], 40).to_bytes()


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch):
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)


def adding(values, rounds=3, release=RELEASE):
    """A program that sums, reports and releases."""
    totals = []
    for i in range(rounds):
        totals.append((yield Sum(values + i, 1 << 40)))
        yield Progress(i + 1, {"loss": 1.0 / (i + 1)})
    yield OwnMetrics({"auc": 0.5})
    yield Release(release)
    return totals


def programs(rounds=3, releases=None):
    shares = {name: np.arange(5, dtype=np.int64) * (i - 1) for i, name in enumerate(BANKS)}
    return {n: partial(adding, shares[n], rounds, (releases or {}).get(n, RELEASE)) for n in BANKS}


def run(plan, parties, heard=None):
    switchboard = Switchboard(plan, transport="local", listener=([] if heard is None else heard).append)
    LocalSwitchboard(switchboard, parties, plan.roster).run()
    return switchboard


def opened(plan, parties):
    """Serve the opening; the batches of the first question of the program."""
    switchboard = Switchboard(plan, transport="local")
    batches = {name: party.begin() for name, party in parties.items()}
    while decode_batch(batches[BANKS[0]])[-1].kind is not Kind.DISCLOSE:
        answers = switchboard.round(batches)
        batches = {name: party.receive(answers[name]) for name, party in parties.items()}
    answers = switchboard.round(batches)
    return switchboard, {name: party.receive(answers[name]) for name, party in parties.items()}


@pytest.mark.parametrize("protection", ["masking", "paillier"])
def test_sums_are_pooled_and_events_tell_the_story(protection):
    plan, heard = plan_for(protection=protection), []
    parties = parties_for(plan, programs(), shows_own_metrics=True)
    switchboard = run(plan, parties, heard)
    for party in parties.values():
        assert party.finished
        assert [total.tolist() for total in party.outcome] == [[3 * i] * 5 for i in range(3)]
    assert switchboard.finished
    assert switchboard.release.metrics == {"auc": 0.75}
    told = [type(event).__name__ for event in heard if not isinstance(event, events.RoundFinished)]
    assert told == (
        ["RunStarted", "ProtectionProven"]
        + ["ProgressMade"] * 3
        + ["BankMetrics"] * 3
        + ["ModelReleased", "RunFinished"]
    )
    rounds = [event for event in heard if isinstance(event, events.RoundFinished)]
    assert [event.step for event in rounds] == list(range(len(rounds)))
    assert all(set(event.received) == set(BANKS) and min(event.received.values()) > 0 for event in rounds)


def test_own_figures_stay_in_the_bank_unless_its_policy_lets_them_out():
    heard = []
    plan = plan_for()
    run(plan, parties_for(plan, programs()), heard)
    assert not [event for event in heard if isinstance(event, events.BankMetrics)]


def test_no_program_starts_before_protection_is_proven():
    plan, started = plan_for(), []

    def program(name):
        started.append(name)
        yield from adding(np.zeros(1, dtype=np.int64))

    parties = parties_for(plan, {name: partial(program, name) for name in BANKS})
    switchboard = Switchboard(plan, transport="local")
    batches = {name: party.begin() for name, party in parties.items()}
    while not started:
        asked = decode_batch(batches[BANKS[0]])[-1].kind
        answers = switchboard.round(batches)
        batches = {name: party.receive(answers[name]) for name, party in parties.items()}
    assert asked is Kind.DISCLOSE


def test_banks_that_release_different_models_are_named():
    plan = plan_for()
    other = ModelRelease.from_bytes(RELEASE)
    changed = ModelRelease(b"{ }", other.schema, other.metrics, [], [], 40).to_bytes()
    with pytest.raises(RemoteProtocolError, match="disagree on the result: cedar"):
        run(plan, parties_for(plan, programs(releases={"cedar": changed})))


def test_a_bank_that_asks_for_something_else_is_named():
    plan = plan_for()
    unequal = {**programs(3), "birch": programs(2)["birch"]}
    with pytest.raises(RemoteProtocolError, match="out of step.*birch EXCHANGE"):
        run(plan, parties_for(plan, unequal))


def test_a_missing_bank_is_refused():
    plan = plan_for()
    switchboard = Switchboard(plan, transport="local")
    with pytest.raises(RemoteProtocolError, match="expected one of each of ash, birch, cedar"):
        switchboard.round({"ash": b"", "birch": b""})


def test_a_bank_that_gives_up_ends_the_run_with_its_reason():
    plan = plan_for()

    def refusing():
        yield Sum(np.zeros(5, dtype=np.int64), 1 << 40)
        raise RiskfedError("column income is missing")

    with pytest.raises(RiskfedError, match="column income is missing"):
        run(plan, parties_for(plan, {**programs(), "birch": refusing}))

    switchboard, batches = opened(plan, parties_for(plan, programs()))
    batches["birch"] = encode_batch([Frame(Kind.FAILED, 0, b"column income is missing")])
    with pytest.raises(RunFailedError, match="bank birch ended the run: column income is missing"):
        switchboard.round(batches)


@pytest.mark.parametrize("kind", [Kind.COMBINE, Kind.RELEASE, Kind.DISCLOSE, Kind.PLAN, Kind.DONE])
def test_nothing_is_added_or_released_during_the_opening(kind):
    plan = plan_for()
    switchboard = Switchboard(plan, transport="local")
    with pytest.raises(RemoteProtocolError, match=f"{kind.name} is not allowed in state OPENING"):
        switchboard.round({name: encode_batch([Frame(kind, 0, b"x")]) for name in BANKS})


def test_figures_are_not_heard_before_protection_is_proven():
    plan = plan_for()
    switchboard = Switchboard(plan, transport="local")
    early = encode_batch([Frame(Kind.OWN_METRICS, 0, b"{}"), Frame(Kind.EXCHANGE, 0, b"")])
    with pytest.raises(RemoteProtocolError, match="ash sent OWN_METRICS in state OPENING"):
        switchboard.round({name: early for name in BANKS})


@pytest.mark.parametrize(
    "answer",
    [
        Frame(Kind.COMBINE, 0, b""),  # another kind than the question's
        Frame(Kind.EXCHANGE, 7, b""),  # another step
        Frame(Kind.PLAN, 0, b""),
    ],
)
def test_a_party_takes_only_the_answer_to_its_question(answer):
    party = parties_for(plan_for(), programs())["ash"]
    party.begin()
    with pytest.raises(RemoteProtocolError, match="expected EXCHANGE for step 0"):
        party.receive(encode_batch([answer]))


def test_a_party_begins_once_and_answers_only_after_asking():
    party = parties_for(plan_for(), programs())["ash"]
    with pytest.raises(LocalProtocolError):
        party.receive(encode_batch([Frame(Kind.EXCHANGE, 0)]))
    party.begin()
    with pytest.raises(LocalProtocolError):
        party.begin()


@pytest.mark.parametrize("protection", ["masking", "paillier"])
@pytest.mark.parametrize("lie", ["flip", "upload as sum", "replay", "other sums to others"])
def test_a_server_that_lies_about_a_sum_is_found(protection, lie):
    plan = plan_for(protection=protection)
    parties = parties_for(plan, programs())
    switchboard, batches = opened(plan, parties)
    answers = switchboard.round(batches)
    honest = decode_batch(answers["birch"])[0]
    bodies = {
        "flip": honest.body[:-9] + bytes([honest.body[-9] ^ 1]) + honest.body[-8:],
        "upload as sum": decode_batch(batches["ash"])[-1].body,
        "replay": honest.body,
        "other sums to others": honest.body[:-20] + bytes(20),
    }
    with pytest.raises(RiskfedError) as caught:
        if lie == "replay":  # the true answer, given once more for the next step
            batches = {name: party.receive(answers[name]) for name, party in parties.items()}
            if protection == "paillier":  # the banks share the work of opening in a step of its own
                answers = switchboard.round(batches)
                batches = {name: party.receive(answers[name]) for name, party in parties.items()}
            step = decode_batch(batches["birch"])[-1].step
            parties["birch"].receive(encode_batch([Frame(Kind.COMBINE, step, bodies[lie])]))
        else:
            forged = {"birch": encode_batch([Frame(Kind.COMBINE, honest.step, bodies[lie])])}
            batches = {name: party.receive(forged.get(name, answers[name])) for name, party in parties.items()}
            answers = switchboard.round(batches)
            for name, party in parties.items():
                party.receive(answers[name])
    assert isinstance(caught.value, ProtectionError | RemoteProtocolError)


def test_a_bank_that_is_not_the_pinned_one_is_named():
    plan = plan_for()
    parties = parties_for(plan, programs())
    impostor: Party = parties_for(plan, programs())["cedar"]
    switchboard = Switchboard(plan, transport="local")
    batches = {name: party.begin() for name, party in {**parties, "cedar": impostor}.items()}
    answers = switchboard.round(batches)
    with pytest.raises(ProtectionError, match="cedar"):
        parties["ash"].receive(answers["ash"])
