"""A server that lies to banks in a run: each lie of the catalogue is noticed, by whom, when and with which error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ProtectionError, RemoteProtocolError
from riskfed.secure import integrity, paillier_key
from riskfed.secure.protection import HEADER_BYTES, StepwiseProtection
from tests.hostile.lies import LIES
from tests.hostile.lying_server import BANKS, VALUES, VICTIM, Federation, Lie, Moment, flipped, shares_of, to_victim

PROTECTIONS = ("masking", "paillier")
CASES = [(lie, protection) for lie in LIES for protection in lie.protections]
THREAT_MODEL = Path(__file__).parents[2] / "docs" / "threat-model.md"


@pytest.fixture(autouse=True, scope="module")
def _short_keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)
        key = paillier_key.generate_paillier_key(1024)
        patch.setattr("riskfed.protocols.opening.paillier_key.generate_paillier_key", lambda bits: key)
        yield


@pytest.fixture(scope="module")
def earlier() -> dict[str, dict[str, Moment]]:
    """What a server can have kept of an honest attempt."""
    kept = {}
    for protection in PROTECTIONS:
        federation = Federation(protection)
        federation.run()
        kept[protection] = federation.moments
        expected = sum(shares_of(bank) for bank in BANKS)
        for party in federation.parties.values():
            assert party.finished
            assert [total.tolist() for total in party.outcome] == [expected.tolist(), (expected + len(BANKS)).tolist()]
    return kept


@pytest.mark.parametrize(("lie", "protection"), CASES, ids=[f"{lie.tries}, {protection}" for lie, protection in CASES])
def test_every_lie_is_noticed_and_named(lie: Lie, protection: str, earlier: dict[str, dict[str, Moment]]) -> None:
    federation = Federation(protection, attempt=2)
    federation.run(lie, earlier[protection])

    assert sorted(federation.noticed) == sorted(lie.by or BANKS)
    for phase, error in federation.noticed.values():
        assert phase == lie.noticed_in
        assert isinstance(error, lie.error[0])
    kind, pattern = lie.error
    with pytest.raises(kind, match=pattern):
        raise federation.noticed[(lie.by or BANKS)[0]][1]
    assert not any(party.finished for party in federation.parties.values())
    assert "release" not in federation.moments


@settings(max_examples=30)
@given(where=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_no_changed_byte_of_a_sum_makes_a_wrong_one(where: int, bit: int) -> None:
    check_flip("masking", where, bit)


@settings(max_examples=6)
@given(where=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_no_changed_byte_of_an_encrypted_sum_makes_a_wrong_one(where: int, bit: int) -> None:
    check_flip("paillier", where, bit)


def check_flip(protection: str, where: int, bit: int) -> None:
    """Noticed, or (where the byte stands for nothing) without effect."""
    lie = Lie(
        "flip", "sum 2", to_victim(lambda m: flipped(m.body(), where % len(m.body()), bit)), "", (ProtectionError, "")
    )
    federation = Federation(protection)
    federation.run(lie)
    if federation.noticed:
        assert {type(error) for _, error in federation.noticed.values()} <= {ProtectionError, RemoteProtocolError}
        assert not any(party.finished for party in federation.parties.values())
    else:
        expected = sum(shares_of(bank) for bank in BANKS) + len(BANKS)
        assert all(party.outcome[1].tolist() == expected.tolist() for party in federation.parties.values())


def unchecked(total: np.ndarray, keys: object, step: int) -> np.ndarray:
    """The check value's code, had it a defect that lets everything pass."""
    return total[: -integrity.TAG_SLOTS]


def test_banks_that_were_given_different_sums_release_nothing_even_if_the_check_value_were_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("riskfed.secure.protection.verify_and_strip", unchecked)
    lie = Lie("", "sum 1", to_victim(lambda m: flipped(m.body(), HEADER_BYTES)), "", (ProtectionError, ""))
    federation = Federation("masking")
    federation.run(lie)

    assert sorted(federation.noticed) == sorted(BANKS)
    for bank, (phase, error) in federation.noticed.items():
        named = "birch, cedar, damson" if bank == VICTIM else VICTIM
        assert phase == "hashes"
        assert str(error).startswith(f"{named} revealed other sums than {bank}: the server gave banks different sums")
        assert not federation.parties[bank].finished


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_bank_that_reads_another_sum_for_whatever_reason_is_named(
    monkeypatch: pytest.MonkeyPatch, protection: str
) -> None:
    honest = StepwiseProtection.reveal

    def wrong_at_victim(self, combined, shares, step):  # type: ignore[no-untyped-def]
        pooled = honest(self, combined, shares, step)
        return pooled + 1 if self._keys.own_name == VICTIM and len(pooled) == VALUES else pooled

    monkeypatch.setattr(StepwiseProtection, "reveal", wrong_at_victim)
    federation = Federation(protection)
    federation.run()
    assert {phase for phase, _ in federation.noticed.values()} == {"hashes"}
    assert "ash revealed other sums than cedar" in str(federation.noticed["cedar"][1])


def test_without_the_comparison_they_would_have_released_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""
    monkeypatch.setattr("riskfed.secure.protection.verify_and_strip", unchecked)
    monkeypatch.setattr("riskfed.protocols.party.RunningHash.digest", lambda self: bytes(32))
    lie = Lie("", "sum 1", to_victim(lambda m: flipped(m.body(), HEADER_BYTES)), "", (ProtectionError, ""))
    federation = Federation("masking")
    federation.run(lie)
    assert not federation.noticed


WHEN = {
    "hellos": "agreeing on keys",
    "contributions": "agreeing on keys",
    "key": "agreeing on keys",
    "canary": "the canary",
    "canary's shares": "the canary",
    "disclosure": "the canary",
    "sum 2": "that sum",
    "shares 2": "that sum",
    "hashes": "before the release",
}


def rows() -> list[tuple[str, ...]]:
    """The catalogue as the threat model's table has it: lies that end in the same way under both protections are one row."""
    found: dict[tuple[str, ...], list[str]] = {}
    for lie in LIES:
        who = "all banks" if lie.by is None else "the bank lied to"
        says = lie.error[1].split("|", maxsplit=1)[0].replace("[0-9]+", "k")
        row = (lie.tries, who, WHEN[lie.noticed_in], f"`{lie.error[0].__name__}`: {says}")
        found.setdefault(row, []).extend(lie.protections)
    return [(tries, " and ".join(under), *rest) for (tries, *rest), under in found.items()]


def test_the_threat_model_lists_the_same_lies() -> None:
    section = THREAT_MODEL.read_text().partition("## A server that lies")[2].partition("\n## ")[0]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in section.splitlines() if "|" in line]
    written = [row for row in cells if len(row) == 5 and row[1] in {"masking", "paillier", "masking and paillier"}]
    assert written == rows()
