"""The key ceremony: how a bank makes its keys, and how banks come to hold each other's, though all they exchange goes by e-mail.

    keygen   makes both keys of this bank and its card, number 1
    pin      takes another bank's card: by its fingerprint, heard on the telephone, or by the signature of the key that is pinned
    rotate   makes new keys and a card that is one number higher, signed by the old key and the new
    revoke   marks another bank's keys as never to be believed again; what its old key has signed counts for nothing from then on

Whoever reads and changes all e-mail can delay a card. To have his own pinned he must either meet a given 128-bit fingerprint, or forge an
Ed25519 signature, or lie on the telephone in a known voice. Whoever has stolen a signing key can rotate it, as its owner can; that is
what revocation is for, and why a revoked key's successor needs the telephone again.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from bank_nodes.cards import Card, bank_name, card_fingerprint, flower_key
from bank_nodes.config import NodeConfig
from bank_nodes.consortium import Consortium, PinnedBank, Revocation, Trust
from bank_nodes.keystore import generate_identity, load_identity, write_node_key
from riskfed.errors import ConfigurationError
from riskfed.secure.keys import Identity


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where a bank's keys are.

    Attributes:
        bank: its name.
        identity: signing key, secret.
        node: Flower key, secret; its public half is beside it.
        consortium: the consortium file.
        passphrase: of `identity`.
    """

    bank: str
    identity: Path
    node: Path
    consortium: Path
    passphrase: str | None = None

    @classmethod
    def of(cls, config: NodeConfig) -> KeyFiles:
        """As the node file says.

        Raises:
            ConfigurationError: it has no section flower, or no bank may be called as it says.
        """
        try:
            bank_name(config.bank)
        except ValueError as error:
            raise ConfigurationError(f"node file: bank: {error}") from None
        if config.flower is None:
            raise ConfigurationError("the node file has no section flower, which says where the Flower key is; add it")
        secret = config.keys.passphrase
        passphrase = None if secret is None else secret.get_secret_value()
        return cls(config.bank, config.keys.identity, config.flower.private_key, config.consortium.file, passphrase)

    @property
    def card(self) -> Path:
        """The bank's own card, beside its signing key."""
        return self.identity.with_name(self.bank.replace("/", "_").lstrip(".") + ".card")

    def pinned(self) -> Consortium:
        """The consortium file; an empty consortium where there is none yet."""
        return Consortium.load(self.consortium) if self.consortium.exists() else Consortium()


def keygen(files: KeyFiles, today: datetime.date, sequence: int = 1) -> Card:
    """Make the bank's keys and a card that no older key vouches for, and enter them in its own consortium file.

    Args:
        files: where; nothing may be there yet.
        today: the card's date.
        sequence: the card's number; above that of the last card, where a bank has lost its keys and so cannot rotate them.

    Raises:
        ConfigurationError: keys or a card exist already, or a file cannot be written.
    """
    consortium = files.pinned()
    _must_not_exist(files.identity, files.node, files.card)
    if files.bank in consortium.banks:
        raise ConfigurationError(
            f"{files.consortium} has keys of {files.bank} already; put them where the node file says, or rotate them"
        )
    card = _new_keys(files, files.identity, files.node, sequence, today)
    _enter(consortium, card, "own", today).save(files.consortium)
    return card


def pin(consortium: Consortium, card: Card, heard: str | None, today: datetime.date) -> Consortium:
    """Take a card, whose signatures have been checked.

    Args:
        consortium: as it is.
        card: see `bank_nodes.cards.read_card`.
        heard: the fingerprint that the bank read out on the telephone; None to go by the key that is pinned.
        today: noted beside the keys.

    Returns:
        The consortium with the card's keys; unchanged where they are pinned already.

    Raises:
        ConfigurationError: the keys were revoked or are another bank's, the card is an old one, or nothing vouches for it.
    """
    _check_keys(consortium, card)
    present = consortium.banks.get(card.bank)
    card.check_heard(heard)
    same = present is not None and (present.signing_key, present.flower_key) == (card.signing_key, card.flower_key)
    newest = _newest(consortium, card.bank)
    if card.sequence < newest or (card.sequence == newest and not same):
        raise ConfigurationError(
            f"the card of {card.bank} has number {card.sequence}, number {newest} is known; ask {card.bank} for its latest card"
        )
    if present is not None and same and (heard is None or present.trust == "own"):
        return consortium
    if heard is not None:
        return _enter(consortium, card, "telephone", today)
    _check_chain(card, present)
    return _enter(consortium, card, "own" if present is not None and present.trust == "own" else "chain", today)


def rotate(files: KeyFiles, today: datetime.date) -> tuple[Card, list[Path]]:
    """Make new keys, put them in the place of the old ones, and write a card that both signing keys have signed.

    Old keys and card are kept beside, as identity-1.pem after card 1. The new ones are written whole before any file is moved.

    Returns:
        The card, and where the old private keys are now.

    Raises:
        ConfigurationError: the bank has no keys to rotate, or a file is in the way.
    """
    consortium = files.pinned()
    present = consortium.banks.get(files.bank)
    old = load_identity(files.identity, files.passphrase)
    if present is None or present.signing_key != old.public:
        raise ConfigurationError(
            f"{files.consortium} does not have the key in {files.identity} for {files.bank}; after a rotation that broke off, "
            f"run riskfed node pin {files.card}"
        )
    fresh = _beside(files.identity, "next"), _beside(files.node, "next")
    aside = _beside(files.identity, str(present.sequence)), _beside(files.node, str(present.sequence))
    old_card = _beside(files.card, str(present.sequence))
    # What is in the way may be the only copy of a key that others have pinned.
    _must_not_exist(*fresh, *aside, old_card)
    if files.card.exists():
        files.card.replace(old_card)
    card = _new_keys(files, *fresh, present.sequence + 1, today, old)
    _public(files.node).replace(_public(aside[1]))
    _public(fresh[1]).replace(_public(files.node))
    for new, path, kept in zip(fresh, (files.identity, files.node), aside, strict=True):
        path.replace(kept)
        new.replace(path)
    _enter(consortium, card, "own", today).save(files.consortium)
    return card, list(aside)


def revoke(consortium: Consortium, bank: str, own: str, reason: str, today: datetime.date) -> Consortium:
    """Mark a bank's present keys as never to be believed again; it is out of every run until it has new ones.

    Args:
        consortium: as it is.
        bank: whose keys.
        own: this bank.
        reason: for people, 1 to 200 printable characters.
        today: noted beside it.

    Raises:
        ConfigurationError: the bank is not pinned, or this bank's own, or the reason is empty or too long.
    """
    if bank == own:
        raise ConfigurationError(
            f"{own} is this bank: ask the others to revoke its keys, run riskfed node rotate, and read them the new fingerprint"
        )
    present = consortium.banks.get(bank)
    if present is None:
        raise ConfigurationError(f"{bank} is not pinned; pinned are {', '.join(sorted(consortium.banks)) or 'none'}")
    try:
        entry = Revocation(
            bank=bank,
            signing_key=present.signing_key,
            flower_key=present.flower_key,
            sequence=present.sequence,
            revoked=today,
            reason=reason,
        )
    except ValueError:
        raise ConfigurationError(
            "a reason must have 1 to 200 printable characters; say why the keys are revoked"
        ) from None
    others = {name: pinned for name, pinned in consortium.banks.items() if name != bank}
    return Consortium(banks=others, revoked=[*consortium.revoked, entry])


def overview(consortium: Consortium) -> list[tuple[str, str, int, str]]:
    """All banks, then all revoked keys: (name, fingerprint, card number, state)."""
    states = {
        "own": "this bank's own",
        "telephone": "pinned by telephone",
        "chain": "pinned by the key before",
        "unchecked": "never compared",
    }
    rows = []
    for name, bank in sorted(consortium.banks.items()):
        state = states[bank.trust] + (f", {bank.pinned}" if bank.pinned else "")
        rows.append((name, consortium.fingerprint(name), bank.sequence, state))
    for entry in consortium.revoked:
        rows.append((entry.bank, entry.fingerprint, entry.sequence, f"revoked {entry.revoked}: {entry.reason}"))
    return rows


def _check_keys(consortium: Consortium, card: Card) -> None:
    """Neither revoked nor held by another bank."""
    if entry := consortium.revocation(signing=card.signing_key, flower=card.flower_key):
        raise ConfigurationError(
            f"the card of {card.bank} has a key of {entry.bank} that was revoked on {entry.revoked} ({entry.reason}) and can never "
            f"be pinned again; {card.bank} must rotate its keys"
        )
    for name, bank in consortium.banks.items():
        if name != card.bank and (bank.signing_key == card.signing_key or bank.flower_key == card.flower_key):
            raise ConfigurationError(
                f"the card of {card.bank} has a key that is pinned for {name}; each must make its own"
            )


def _check_chain(card: Card, present: PinnedBank | None) -> None:
    """Whether the key that is pinned vouches for the card. The signature itself was checked when the card was read."""
    if present is not None and card.previous_key == present.signing_key and card.sequence == present.sequence + 1:
        return
    why = "it is the first card of this bank here"
    if present is not None:
        why = (
            f"the key that is pinned ({card_fingerprint(card.bank, present.signing_key, present.flower_key)}) has not signed it: a card "
            "between the two is missing, or it was made by somebody else"
        )
    raise ConfigurationError(
        f"the card of {card.bank} has fingerprint {card.fingerprint}, and nothing vouches for it: {why}. Call {card.bank} at a number "
        "that you did not get with the card, let them read their fingerprint out, and give it as --fingerprint"
    )


def _newest(consortium: Consortium, bank: str) -> int:
    numbers = [entry.sequence for entry in consortium.revoked if entry.bank == bank]
    if bank in consortium.banks:
        numbers.append(consortium.banks[bank].sequence)
    return max(numbers, default=0)


def _enter(consortium: Consortium, card: Card, trust: Trust, today: datetime.date) -> Consortium:
    keys = {"signing_key": card.signing_key, "flower_key": card.flower_key}
    pinned = PinnedBank(**keys, sequence=card.sequence, trust=trust, pinned=today)
    return Consortium(banks={**consortium.banks, card.bank: pinned}, revoked=consortium.revoked)


def _new_keys(
    files: KeyFiles, identity: Path, node: Path, sequence: int, today: datetime.date, old: Identity | None = None
) -> Card:
    made = generate_identity(identity, files.passphrase)
    public = flower_key(write_node_key(node).read_text())
    previous = "" if old is None else old.public
    fields = {"bank": files.bank, "signing_key": made.public, "flower_key": public, "previous_key": previous}
    card = Card(**fields, sequence=sequence, date=today).signed(made, old)
    card.save(files.card)
    return card


def _beside(path: Path, mark: str) -> Path:
    return path.with_name(f"{path.stem}-{mark}{path.suffix}")


def _public(path: Path) -> Path:
    return path.with_name(path.name + ".pub")


def _must_not_exist(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise ConfigurationError(
                f"{path} exists; a key is never overwritten: move it away, after a look at what it is"
            )
