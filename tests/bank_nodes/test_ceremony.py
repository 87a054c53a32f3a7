"""The key ceremony: what goes by e-mail may be read, swapped and replayed, and no wrong key is ever pinned."""

from __future__ import annotations

import datetime
import hashlib
import re
import stat
import string
import struct
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bank_nodes.cards import Card, card_fingerprint, read_card
from bank_nodes.ceremony import KeyFiles, keygen, overview, pin, revoke, rotate
from bank_nodes.config import load_config
from bank_nodes.consortium import Consortium
from bank_nodes.holdings import load_own_keys
from bank_nodes.keystore import load_identity, read_consortium, write_node_key
from bank_nodes.log import VaultLog
from bank_nodes.vault import make_service
from riskfed.cli import app
from riskfed.errors import ConfigurationError
from riskfed.flower.roster_file import enter_node
from riskfed.protocols.frames import Kind, decode_batch
from riskfed.secure.keys import Identity
from tests.bank_nodes.banks import BANKS, label_of, loans, make_consortium, plan_batch, plan_for, reason_in

RUNNER = CliRunner()
DAY = datetime.date(2026, 3, 2)


def files(folder: Path, bank: str = "ash", passphrase: str | None = None) -> KeyFiles:
    home = folder / bank
    return KeyFiles(bank, home / "identity.pem", home / "node", home / "consortium.toml", passphrase)


def first_card(folder: Path, bank: str) -> Card:
    return keygen(files(folder, bank), DAY)


@pytest.fixture
def pinned(tmp_path: Path) -> tuple[Consortium, dict[str, Card]]:
    """What ash has pinned, and all cards."""
    cards = {bank: first_card(tmp_path, bank) for bank in BANKS}
    consortium = files(tmp_path).pinned()
    for bank in BANKS[1:]:
        consortium = pin(consortium, cards[bank], cards[bank].fingerprint, DAY)
    return consortium, cards


def forged(card: Card, identity: Identity, previous: Identity | None = None, **changes: object) -> Card:
    """A card that an attacker signs with keys that he has."""
    return card.model_copy(update={"signing_key": identity.public, **changes}).signed(identity, previous)


def node_file(folder: Path, bank: str) -> Path:
    home = folder / bank
    home.mkdir(parents=True, exist_ok=True)
    (home / "bank.toml").write_text(
        f'bank = "{bank}"\n[data]\npath = "loans.csv"\n[schema]\nfile = "schema.json"\n[consortium]\nfile = "consortium.toml"\n'
        '[keys]\nidentity = "keys/identity.pem"\n[vault]\nsocket = "v.sock"\nlog = "vault.log"\nmodels = "models"\n'
        '[flower]\nsuperlink = "x:1"\nroot_certificates = "ca.pem"\nprivate_key = "keys/node"\n'
    )
    return home / "bank.toml"


def command(*arguments: str, config: Path) -> str:
    result = RUNNER.invoke(app, ["node", *arguments, "-c", str(config)])
    assert result.exit_code == 0, result.output
    return result.output


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


def test_rotation_needs_both_signatures(pinned: tuple[Consortium, dict[str, Card]], tmp_path: Path) -> None:
    consortium, cards = pinned
    old = load_identity(files(tmp_path, "birch").identity)
    card, _ = rotate(files(tmp_path, "birch"), DAY)
    taken = pin(consortium, read_card(files(tmp_path, "birch").card), None, DAY)
    assert (taken.keys["birch"], taken.banks["birch"].trust) == (card.signing_key, "chain")

    thief, unsigned = Identity.generate(), {"previous_signature": ""}
    with pytest.raises(ConfigurationError, match="not signed by the key before"):  # the new key only
        card.model_copy(update=unsigned).check()
    with pytest.raises(ConfigurationError, match="not signed by its own key"):  # the old key only
        card.model_copy(update={"signature": card.previous_signature}).check()
    with pytest.raises(ConfigurationError, match="not signed by the key before"):  # the claim to be the old key
        forged(card, thief, thief).check()
    alone = forged(card, thief, previous_key="")
    alone.check()
    with pytest.raises(ConfigurationError, match="has not signed it"):
        pin(consortium, alone, None, DAY)
    hung_on = cards["cedar"].model_copy(update={"previous_key": thief.public})  # to make a first card a successor
    with pytest.raises(ConfigurationError, match="not signed by its own key"):
        hung_on.model_copy(update={"previous_signature": hung_on.signed(thief).signature}).check()
    with pytest.raises(ConfigurationError, match="replaces a key by itself"):
        forged(card, old, old).check()


def test_old_cards_and_missing_cards(pinned: tuple[Consortium, dict[str, Card]], tmp_path: Path) -> None:
    consortium, cards = pinned
    own = files(tmp_path, "birch")
    second, _ = rotate(own, DAY)
    third, _ = rotate(own, DAY)
    with pytest.raises(ConfigurationError, match="a card between the two is missing"):
        pin(consortium, third, None, DAY)
    assert pin(consortium, third, third.fingerprint, DAY).banks["birch"].trust == "telephone"
    late = pin(pin(consortium, second, None, DAY), third, None, DAY)
    assert late.keys["birch"] == third.signing_key
    for card in (cards["birch"], second):
        for heard in (None, card.fingerprint):
            with pytest.raises(ConfigurationError, match="number 3 is known"):
                pin(late, card, heard, DAY)
    old = load_identity(own.identity.with_name("identity-1.pem"))
    skipping = forged(second, Identity.generate(), old, sequence=3, previous_key=old.public)
    skipping.check()
    with pytest.raises(ConfigurationError, match="nothing vouches"):
        pin(consortium, skipping, None, DAY)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_rotation_keeps_the_old_keys_aside(tmp_path: Path, passphrase: str | None) -> None:
    own = files(tmp_path, passphrase=passphrase)
    first = keygen(own, DAY)
    node = own.node.read_bytes()
    card, kept = rotate(own, DAY)
    assert [path.name for path in kept] == ["identity-1.pem", "node-1"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (*kept, own.identity, own.node))
    assert load_identity(kept[0], passphrase).public == first.signing_key
    assert kept[1].read_bytes() == node
    assert read_card(own.card.with_name("ash-1.card")) == first
    assert load_identity(own.identity, passphrase).public == card.signing_key == own.pinned().keys["ash"]
    assert (tmp_path / "ash" / "node.pub").read_text().strip() == card.flower_key != first.flower_key
    assert (tmp_path / "ash" / "node-1.pub").read_text().strip() == first.flower_key
    assert not list(own.identity.parent.glob("*next*"))


def test_keys_are_never_made_over_others(tmp_path: Path) -> None:
    own = files(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot read the identity key"):
        rotate(own, DAY)
    keygen(own, DAY)
    before = {path: path.read_bytes() for path in own.identity.parent.iterdir()}
    with pytest.raises(ConfigurationError, match="never overwritten"):
        keygen(own, DAY)
    with pytest.raises(ConfigurationError, match="has keys of ash already"):
        keygen(replace(own, identity=tmp_path / "i", node=tmp_path / "n"), DAY)
    (own.identity.parent / "identity-1.pem").touch()
    with pytest.raises(ConfigurationError, match="identity-1.pem exists"):
        rotate(own, DAY)
    (own.identity.parent / "identity-1.pem").unlink()
    assert {path: path.read_bytes() for path in own.identity.parent.iterdir()} == before


def test_a_rotation_that_broke_off_before_the_last_file_goes_on_by_pin(tmp_path: Path) -> None:
    own = files(tmp_path)
    keygen(own, DAY)
    before = own.consortium.read_bytes()
    card, _ = rotate(own, DAY)
    own.consortium.write_bytes(before)
    with pytest.raises(ConfigurationError, match=r"riskfed node pin .*ash\.card"):
        rotate(own, DAY)
    mended = pin(own.pinned(), read_card(own.card), None, DAY)
    assert (mended.keys["ash"], mended.banks["ash"].trust) == (card.signing_key, "own")


def test_a_revoked_key_is_out_for_good(pinned: tuple[Consortium, dict[str, Card]], tmp_path: Path) -> None:
    consortium, cards = pinned
    stolen = load_identity(files(tmp_path, "birch").identity)
    after = revoke(consortium, "birch", "ash", "stolen laptop", DAY)
    assert "birch" not in after.keys
    for heard in (None, cards["birch"].fingerprint):
        with pytest.raises(ConfigurationError, match="revoked on 2026-03-02"):
            pin(after, cards["birch"], heard, DAY)
    key = write_node_key(tmp_path / "other").read_text().strip()
    for changes in ({"sequence": 9, "flower_key": key}, {"bank": "elm"}):
        again = forged(cards["birch"], stolen, **changes)
        with pytest.raises(ConfigurationError, match="can never be pinned again"):
            pin(after, again, again.fingerprint, DAY)
    thief = Identity.generate()
    successor = forged(cards["birch"], thief, stolen, sequence=2, previous_key=stolen.public, flower_key=key)
    successor.check()
    with pytest.raises(ConfigurationError, match="nothing vouches for it"):
        pin(after, successor, None, DAY)
    card, _ = rotate(files(tmp_path, "birch"), DAY)
    healed = pin(after, card, card.fingerprint, DAY)
    assert healed.keys["birch"] == card.signing_key
    assert [row[0] for row in overview(healed)] == ["ash", "birch", "cedar", "birch"]


def test_what_cannot_be_revoked(pinned: tuple[Consortium, dict[str, Card]]) -> None:
    consortium, _ = pinned
    for bank, reason, message in (
        ("ash", "x", "this bank"),
        ("elm", "x", "pinned are ash, birch, cedar"),
        ("birch", "", "1 to 200"),
        ("birch", "a\nb", "1 to 200"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            revoke(consortium, bank, "ash", reason, DAY)


def test_a_bank_that_lost_its_keys_starts_at_a_higher_number(
    pinned: tuple[Consortium, dict[str, Card]], tmp_path: Path
) -> None:
    consortium, _ = pinned
    after = revoke(consortium, "birch", "ash", "disk died", DAY)
    again = keygen(files(tmp_path / "anew", "birch"), DAY)
    with pytest.raises(ConfigurationError, match="number 1 is known"):
        pin(after, again, again.fingerprint, DAY)
    higher = keygen(files(tmp_path / "higher", "birch"), DAY, 2)
    with pytest.raises(ConfigurationError, match="nothing vouches"):
        pin(after, higher, None, DAY)
    assert pin(after, higher, higher.fingerprint, DAY).keys["birch"] == higher.signing_key


def test_two_banks_never_share_a_key(pinned: tuple[Consortium, dict[str, Card]], tmp_path: Path) -> None:
    consortium, _ = pinned
    birch = load_identity(files(tmp_path, "birch").identity)
    flower = first_card(tmp_path / "more", "elm").flower_key
    for card in (
        Card(bank="elm", sequence=1, date=DAY, signing_key=birch.public, flower_key=flower).signed(birch),
        forged(
            Card(
                bank="elm",
                sequence=1,
                date=DAY,
                signing_key=birch.public,
                flower_key=consortium.banks["birch"].flower_key,
            ),
            Identity.generate(),
        ),
    ):
        with pytest.raises(ConfigurationError, match="pinned for birch"):
            pin(consortium, card, card.fingerprint, DAY)


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
