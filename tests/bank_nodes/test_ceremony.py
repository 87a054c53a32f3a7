"""The key ceremony: what goes by e-mail may be read, swapped and replayed, and no wrong key is ever pinned."""

from __future__ import annotations

import hashlib
import re
import string
import struct
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_nodes.cards import Card, card_fingerprint, read_card
from bank_nodes.ceremony import keygen, pin, revoke, rotate
from bank_nodes.config import load_config
from bank_nodes.consortium import Consortium
from bank_nodes.holdings import load_own_keys
from bank_nodes.keystore import read_consortium, write_node_key
from bank_nodes.log import VaultLog
from bank_nodes.vault import make_service
from riskfed.cli import app
from riskfed.errors import ConfigurationError
from riskfed.flower.roster_file import enter_node
from riskfed.protocols.frames import Kind, decode_batch
from riskfed.secure.keys import Identity
from tests.bank_nodes.banks import BANKS, label_of, loans, make_consortium, plan_batch, plan_for, reason_in
from tests.bank_nodes.ceremonies import DAY, RUNNER, command, files, first_card, forged, node_file


def test_the_whole_ceremony_by_command(tmp_path: Path) -> None:
    configs = {bank: node_file(tmp_path, bank) for bank in BANKS}
    heard = {
        bank: re.search(r"fingerprint +([0-9a-f-]{39})\n", command("keygen", config=config))[1]  # type: ignore[index]
        for bank, config in configs.items()
    }
    for bank, config in configs.items():
        for other in set(BANKS) - {bank}:
            card = str(tmp_path / other / "keys" / f"{other}.card")
            shown = RUNNER.invoke(app, ["node", "pin", card, "-c", str(config)])
            assert shown.exit_code == 2
            assert heard[other] in shown.stderr
            assert "Call " in shown.stderr
            typed = heard[other].upper().replace("-", " ")
            assert "by telephone" in command("pin", card, "--fingerprint", typed, config=config)
    keys = [load_own_keys(load_config(config))[1] for config in configs.values()]
    assert keys[0] == keys[1] == keys[2]
    assert set(keys[0]) == set(BANKS)

    command("rotate", config=configs["birch"])
    card = str(tmp_path / "birch" / "keys" / "birch.card")
    assert "by the key before, card 2" in command("pin", card, config=configs["ash"])
    assert "nothing to do" in command("pin", card, config=configs["ash"])
    command("revoke", "cedar", "--reason", "left the consortium", config=configs["ash"])
    table = " ".join(command("banks", config=configs["ash"]).split())
    for state in ("this bank's own", "pinned by the key before", "left the consortium", heard["cedar"]):
        assert state in table


def test_a_swapped_card_does_not_pass(pinned: tuple[Consortium, dict[str, Card]], tmp_path: Path) -> None:
    _, cards = pinned
    consortium = files(tmp_path).pinned()
    swapped = forged(cards["birch"], Identity.generate())
    swapped.check()  # it is a proper card; only whose is the question
    with pytest.raises(ConfigurationError, match=f"fingerprint {swapped.fingerprint}, and nothing vouches for it"):
        pin(consortium, swapped, None, DAY)
    with pytest.raises(ConfigurationError, match="not the one that was heard"):
        pin(consortium, swapped, cards["birch"].fingerprint, DAY)
    key = write_node_key(tmp_path / "attacker").read_text().strip()
    with pytest.raises(ConfigurationError, match="not signed by its own key"):
        cards["birch"].model_copy(update={"flower_key": key}).check()


def test_a_fingerprint_stands_for_name_and_both_keys() -> None:
    flower = "ecdsa-sha2-nistp384 AAAA"
    known = card_fingerprint("north", "3A7vkkEufHlzxrfj5WB3DtO1YX3M1/l8T5AMKY6JUVo=", flower)
    parts = (b"riskfed card fingerprint v1", b"north", b"3A7vkkEufHlzxrfj5WB3DtO1YX3M1/l8T5AMKY6JUVo=", flower.encode())
    sha256 = hashlib.sha256(b"".join(struct.pack(">Q", len(part)) + part for part in parts)).hexdigest()
    assert known == "7a6b-73f2-bbfc-eea0-d92e-b7f8-5808-68e4"
    assert known.replace("-", "") == sha256[:32]
    others = {
        card_fingerprint("south", "3A7vkkEufHlzxrfj5WB3DtO1YX3M1/l8T5AMKY6JUVo=", flower),
        card_fingerprint("north", "cD0nCrPggyPWt9XEBEYa1s87zKvpM4/yMz88tJvNP8M=", flower),
        card_fingerprint("north", "3A7vkkEufHlzxrfj5WB3DtO1YX3M1/l8T5AMKY6JUVo=", flower + "A"),
    }
    assert len(others | {known}) == 4


@pytest.fixture(scope="module")
def second_card(tmp_path_factory: pytest.TempPathFactory) -> str:
    own = files(tmp_path_factory.mktemp("second"))
    keygen(own, DAY)
    rotate(own, DAY)
    return own.card.read_text()


@given(st.data())
def test_no_character_of_a_card_can_be_changed(
    second_card: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    start = second_card.index("\n") + 1  # a comment may say anything
    at = data.draw(st.integers(start, len(second_card) - 2))
    put = data.draw(st.sampled_from(string.ascii_letters + string.digits + '+/= "\n-#'))
    path = tmp_path_factory.getbasetemp() / "changed.card"
    path.write_text(second_card[:at] + put + second_card[at + 1 :])
    original = tmp_path_factory.getbasetemp() / "original.card"
    original.write_text(second_card)
    try:
        changed = read_card(path)
    except ConfigurationError:
        return
    # Blanks that mean nothing in TOML may pass; what is said may not differ.
    assert changed == read_card(original)


def test_the_file_is_what_was_pinned(pinned: tuple[Consortium, dict[str, Card]], tmp_path: Path) -> None:
    consortium, _ = pinned
    after = revoke(consortium, "birch", "ash", 'a "quoted" reason \\ – with more', DAY)
    path = tmp_path / "consortium.toml"
    after.save(path)
    assert Consortium.load(path) == after
    assert read_consortium(path) == after.keys
    restored = path.read_text().replace(
        "[banks.ash]", f'[banks.x]\nsigning_key = "{after.revoked[0].signing_key}"\n[banks.ash]'
    )
    path.write_text(restored)
    with pytest.raises(ConfigurationError, match="bank x has a key that was revoked"):
        read_consortium(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Field required"),
        ("bank = ", "not TOML"),
        ("x" * 20_000, "more than 16384 bytes"),
        ('bank = "a/b\\u0000"\n', "printable"),
    ],
)
def test_a_card_that_is_none(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x.card").write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        read_card(tmp_path / "x.card")


def test_a_name_that_no_card_can_carry_makes_no_keys(tmp_path: Path) -> None:
    config = node_file(tmp_path, "ash")
    config.write_text(config.read_text().replace('bank = "ash"', 'bank = " ash"'))
    assert RUNNER.invoke(app, ["node", "keygen", "-c", str(config)]).exit_code == 2
    assert [path.name for path in config.parent.iterdir()] == ["bank.toml"]


def test_a_vault_refuses_a_run_with_a_revoked_bank_by_name_and_serves_the_others(tmp_path: Path) -> None:
    banks = (*BANKS, "elm")
    config = load_config(make_consortium(tmp_path, {bank: loans(1) for bank in banks})["ash"])
    revoke(Consortium.load(config.consortium.file), "cedar", "ash", "secret why", DAY).save(config.consortium.file)
    with VaultLog(config.vault.log) as log:
        service = make_service(config, log)
        refused, served = plan_for("one", roster=banks), plan_for("two", roster=("ash", "birch", "elm"))
        reason = reason_in(service.handle(label_of(refused), plan_batch(refused)))
        assert "no public key of cedar" in reason
        assert "secret why" not in reason
        batch = service.handle(label_of(served), plan_batch(served))
        assert decode_batch(batch)[0].kind is not Kind.FAILED


def test_registering_checks_the_card_and_keeps_the_roster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, told = first_card(tmp_path, "ash"), []

    class Operator:
        def __init__(self, connection: str | None) -> None:
            assert connection == "consortium"

        def register(self, public_key: Path, name: str) -> int:
            told.append((public_key.read_text(), name))
            return 2**63 - len(told)

    monkeypatch.setattr("riskfed.flower.control.Control", Operator)
    path, roster = str(files(tmp_path).card), tmp_path / "roster.toml"
    arguments = ["register", path, "--connection", "consortium", "--roster", str(roster)]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == f'ash = "{2**63 - 1}"\n'
    assert told == [(card.flower_key + "\n", "ash")]
    assert tomllib.loads(roster.read_text()) == {"roster": {"ash": str(2**63 - 1)}}
    second, _ = rotate(files(tmp_path), DAY)
    result = RUNNER.invoke(app, [*arguments, "--fingerprint", second.fingerprint])
    assert f"flwr supernode unregister {2**63 - 1}" in " ".join(result.stderr.split())
    assert tomllib.loads(roster.read_text()) == {"roster": {"ash": str(2**63 - 2)}}

    refused = RUNNER.invoke(app, [*arguments, "--fingerprint", card.fingerprint])
    assert "not the one that was heard" in refused.stderr
    Path(path).write_text(Path(path).read_text().replace(second.flower_key, card.flower_key))
    assert "not signed by its own key" in RUNNER.invoke(app, arguments).stderr
    assert len(told) == 2


@pytest.mark.parametrize("text", ["[job]\nkind = 1\n", "roster = 5\n", "[roster]\na = 'x'\n", "[["])
def test_a_file_that_is_more_than_a_roster_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        enter_node(path, "ash", 1)
    assert path.read_text() == text
