"""Lies over the real server, session, couriers, sockets and vaults: the run ends for all, and the outcome names bank and lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from riskfed.flower import server_app
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.switchboard import Switchboard
from riskfed.secure.protection import HEADER_BYTES
from tests.bank_nodes.banks import loans
from tests.hostile.lying_server import flipped
from tests.hostile.real_banks import RealBanks, real_banks

AFTER_SUMS = 6
"""The sum that is lied about: the canary and some sums over records have gone well."""

Answers = Mapping[str, Frame]
Lie = Callable[[Mapping[str, Frame], Answers, Answers], dict[str, Frame]]
"""(questions, right answers, answers of the sum before) -> answers."""


def changed(frame: Frame, body: bytes) -> Frame:
    return Frame(frame.kind, frame.step, body)


def to_all(make: Callable[[Mapping[str, Frame], Frame, Answers], bytes]) -> Lie:
    return lambda asked, right, before: {
        bank: changed(frame, make(asked, frame, before)) for bank, frame in right.items()
    }


def different(asked: Mapping[str, Frame], right: Answers, before: Answers) -> dict[str, Frame]:
    return {**right, "birch": changed(right["birch"], flipped(right["birch"].body, HEADER_BYTES + 3))}


def as_something_else(asked: Mapping[str, Frame], right: Answers, before: Answers) -> dict[str, Frame]:
    return {bank: Frame(Kind.EXCHANGE, frame.step, frame.body) for bank, frame in right.items()}


LIES: dict[str, tuple[Lie, str]] = {
    "a changed sum": (
        to_all(lambda asked, right, before: flipped(right.body, len(right.body) - 60)),
        "is not that of what",
    ),
    "different sums": (
        different,
        "bank birch ended the run: the sum of step [0-9]+ is not that of what the 3 banks sent",
    ),
    "an upload as the sum": (to_all(lambda asked, right, before: asked["cedar"].body), "got the sum of 1 parts"),
    "the sum before": (to_all(lambda asked, right, before: before["ash"].body), "got the sum of 3 parts for step"),
    "another kind": (as_something_else, "got EXCHANGE for step [0-9]+, expected COMBINE"),
}


class LyingSwitchboard(Switchboard):
    """Honest up to one sum."""

    lie: Lie
    sums = 0
    before: Answers

    def round(self, batches: Mapping[str, bytes]) -> dict[str, bytes]:
        answers = super().round(batches)
        right = {bank: decode_batch(batch)[0] for bank, batch in answers.items()}
        if right["ash"].kind is not Kind.COMBINE:
            return answers
        self.sums += 1
        if self.sums != AFTER_SUMS:
            self.before = right
            return answers
        asked = {bank: decode_batch(batch)[-1] for bank, batch in batches.items()}
        return {bank: encode_batch([frame]) for bank, frame in type(self).lie(asked, right, self.before).items()}


@pytest.fixture(scope="module")
def banks() -> Iterator[RealBanks]:
    with real_banks({bank: loans(seed) for seed, bank in enumerate(("ash", "birch", "cedar"))}) as opened:
        yield opened


@pytest.mark.parametrize("name", LIES)
def test_a_lie_ends_the_run_and_the_outcome_names_it(
    banks: RealBanks, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lie, says = LIES[name]
    monkeypatch.setattr(LyingSwitchboard, "lie", staticmethod(lie), raising=False)
    monkeypatch.setattr(server_app, "Switchboard", LyingSwitchboard)
    run = f"lie-{list(LIES).index(name)}"
    outcome = banks.run(run)

    assert outcome.status == "failed"
    with pytest.raises(AssertionError, match=f"bank (ash|birch|cedar) ended the run: .*{says.rpartition('run: ')[2]}"):
        raise AssertionError(outcome.reason)
    assert "birch" in outcome.reason or name != "different sums"
    for bank in banks.configs:
        mine = [entry for entry in banks.log(bank) if entry.get("run") == f"{run}/1"]
        assert [entry["event"] for entry in mine if entry["event"] in ("dropped", "finished")] == ["dropped"]
        assert "RELEASE" not in {entry.get("frame") for entry in mine}


def test_the_same_banks_then_train_with_an_honest_server(banks: RealBanks) -> None:
    assert banks.run("honest").status == "finished"
