"""Runs without sums: parties exchange sealed envelopes, and one releases what the others agree to by its sha256."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import numpy as np
import pytest

from riskfed.errors import LocalProtocolError, PlanError, ProtectionError, RemoteProtocolError
from riskfed.jobs import HorizontalXgboost, VerticalXgboost
from riskfed.protocols import events, opening
from riskfed.protocols.frames import Frame, Kind, decode_batch, decode_parts, encode_batch
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import Exchange, Keep, Program, Progress, Release, SharedSecret, Sum, Witness
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Feature, Schema
from riskfed.secure import canary
from tests.helpers import parties_for, plan_for

ROSTER = ("lender", "payments", "shop")
RELEASE = ModelRelease(b"{}", Schema(target="y", features=(Feature(name="x"),)), {"auc": 0.75}, [], [], 40).to_bytes()


def talk(me: str, told: dict[str, bytes], release: bytes = RELEASE) -> Program[tuple[bytes, dict[str, bytes]]]:
    """Everybody hands everybody a text; the lender releases."""
    secret = yield SharedSecret("salt")
    heard = yield Exchange({to: text for to, text in told.items() if to != me}, "greeting")
    yield Keep("greeting", b"".join(sorted(heard.values())))
    yield Progress(1, {"parties": float(len(heard)) + (me == "lender")})
    yield Release(release) if me == "lender" else Witness(hashlib.sha256(release).hexdigest())
    return secret, heard


def sealed_run(roster: tuple[str, ...] = ROSTER, **programs: Any) -> tuple[Any, list[events.Event], list[bytes]]:
    plan = plan_for(roster, "sealed", job=VerticalXgboost(label_holder="lender"))
    told = {name: f"for {name}'s eyes alone".encode() for name in roster}
    parties = parties_for(plan, {name: programs.get(name, partial(talk, name, told)) for name in roster})
    heard: list[events.Event] = []
    seen: list[bytes] = []
    hub = Switchboard(plan, transport="local", listener=heard.append, tap=lambda _r, _b, _d, data: seen.append(data))
    LocalSwitchboard(hub, parties, roster).run()
    return parties, heard, seen


@pytest.mark.parametrize("roster", [ROSTER, ROSTER[:2]])
def test_envelopes_reach_their_recipients_and_the_hub_cannot_read_them(roster):
    parties, heard, seen = sealed_run(roster)
    outcomes = {name: party.outcome for name, party in parties.items()}
    assert len({secret for secret, _ in outcomes.values()}) == 1
    for name, (secret, inbox) in outcomes.items():
        assert len(secret) == 32
        assert inbox == {other: f"for {name}'s eyes alone".encode() for other in roster if other != name}
        assert not any(secret in data or b"eyes alone" in data for data in seen)
    assert [event.metrics for event in heard if isinstance(event, events.ProgressMade)] == [{"parties": len(roster)}]
    proven = [event for event in heard if isinstance(event, events.ProtectionProven)]
    assert proven == [events.ProtectionProven("sealed", None)]
    assert [event.release.to_bytes() for event in heard if isinstance(event, events.ModelReleased)] == [RELEASE]


def test_what_is_to_be_kept_stays_in_the_party():
    kept: dict[str, bytes] = {}
    plan = plan_for(ROSTER, "sealed", job=VerticalXgboost(label_holder="lender"))
    told = dict.fromkeys(ROSTER, b"hello")
    parties = parties_for(plan, {name: partial(talk, name, told) for name in ROSTER})
    parties["shop"]._keep_beyond = kept.__setitem__
    LocalSwitchboard(Switchboard(plan, transport="local"), parties, ROSTER).run()
    assert kept == {"greeting": b"hellohello"}


def test_a_party_that_agreed_to_another_result_is_named():
    other = partial(talk, "payments", {}, RELEASE + b" ")
    with pytest.raises(RemoteProtocolError, match="payments agreed to another result than lender releases"):
        sealed_run(payments=other)


def test_a_sealed_run_has_no_sums():
    def program() -> Program[None]:
        yield Sum(np.zeros(3, dtype=np.int64), 1)

    with pytest.raises(LocalProtocolError, match="a sealed run has no Sum"):
        sealed_run(lender=program)


def test_an_envelope_that_was_changed_on_its_way_is_refused():
    plan = plan_for(ROSTER, "sealed", job=VerticalXgboost(label_holder="lender"))
    told = dict.fromkeys(ROSTER, b"hello")
    parties = parties_for(plan, {name: partial(talk, name, told) for name in ROSTER})
    hub = Switchboard(plan, transport="local")
    batches = {name: parties[name].begin() for name in ROSTER}
    with pytest.raises(ProtectionError, match="does not open"):
        while True:
            answers = {name: bytearray(answer) for name, answer in hub.round(batches).items()}
            exchanged = decode_batch(bytes(answers["shop"]))[0].kind is Kind.EXCHANGE
            if exchanged and parties["shop"].seat.step >= 4:
                answers["shop"][-1] ^= 1
            batches = {name: parties[name].receive(bytes(answers[name])) for name in ROSTER}


def test_a_seal_that_is_off_is_found_by_the_hub(monkeypatch):
    """The parties' own check is taken away too: the hub finds the canary in what it forwarded."""
    monkeypatch.setattr(opening, "seal", lambda _keys, _to, payload, _label, _step: payload)
    monkeypatch.setattr(opening, "open_sealed", lambda _keys, _sender, sealed, _label, _step: sealed)
    with pytest.raises(ProtectionError, match="the seal is not on"):
        sealed_run()
    real, calls = canary.plaintext_on_wire, iter(range(10**6))
    monkeypatch.setattr(canary, "plaintext_on_wire", lambda values, wire: next(calls) >= 6 and real(values, wire))
    with pytest.raises(ProtectionError, match="bank lender does not protect its uploads"):
        sealed_run()


def test_nothing_is_released_or_added_before_the_seal_is_proven():
    plan = plan_for(ROSTER, "sealed", job=VerticalXgboost(label_holder="lender"))
    parties = parties_for(plan, {name: partial(talk, name, {}) for name in ROSTER})
    hub = Switchboard(plan, transport="local")
    batches = {name: parties[name].begin() for name in ROSTER}
    assert decode_parts(decode_batch(batches["shop"])[0].body)
    for kind in (Kind.RELEASE, Kind.COMBINE, Kind.DISCLOSE):
        with pytest.raises(RemoteProtocolError, match=f"{kind.name} is not allowed in state OPENING"):
            hub.round({name: encode_batch([Frame(kind, 0, b"")]) for name in ROSTER})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"protection": "masking", "job": VerticalXgboost(label_holder="lender")},
            "protected by sealed, not by masking",
        ),
        ({"protection": "sealed", "job": HorizontalXgboost()}, "protected by masking or paillier, not by sealed"),
        ({"roster": ("lender",)}, "1 parties, at least 2"),
        ({"job": VerticalXgboost(label_holder="bank")}, "bank, which is to release the result, is not in the roster"),
    ],
)
def test_an_impossible_plan_is_refused(change, reason):
    fields = {"roster": ROSTER, "protection": "sealed", "job": VerticalXgboost(label_holder="lender"), **change}
    with pytest.raises(PlanError, match=reason):
        plan_for(**fields)
