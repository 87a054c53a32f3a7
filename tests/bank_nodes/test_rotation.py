"""Rotation and revocation: old keys vouch for new ones, lost ones for nothing."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bank_nodes.cards import Card, read_card
from bank_nodes.ceremony import keygen, overview, pin, revoke, rotate
from bank_nodes.consortium import Consortium
from bank_nodes.keystore import load_identity, write_node_key
from riskfed.errors import ConfigurationError
from riskfed.secure.keys import Identity
from tests.bank_nodes.ceremonies import DAY, files, first_card, forged


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
