"""Banks' folders and cards for the tests of the ceremony."""

from __future__ import annotations

import datetime
from pathlib import Path

from typer.testing import CliRunner

from bank_nodes.cards import Card
from bank_nodes.ceremony import KeyFiles, keygen
from riskfed.cli import app
from riskfed.secure.keys import Identity

RUNNER = CliRunner()
DAY = datetime.date(2026, 3, 2)


def files(folder: Path, bank: str = "ash", passphrase: str | None = None) -> KeyFiles:
    home = folder / bank
    return KeyFiles(bank, home / "identity.pem", home / "node", home / "consortium.toml", passphrase)


def first_card(folder: Path, bank: str) -> Card:
    return keygen(files(folder, bank), DAY)


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
