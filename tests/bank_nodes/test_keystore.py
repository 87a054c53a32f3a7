"""Keys on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bank_nodes.keystore import generate_identity, load_identity, read_consortium, write_consortium
from riskfed.errors import ConfigurationError
from riskfed.secure.keys import Identity


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_comes_back(tmp_path: Path, passphrase: str | None) -> None:
    made = generate_identity(tmp_path / "keys" / "identity.pem", passphrase)
    assert stat.S_IMODE((tmp_path / "keys" / "identity.pem").stat().st_mode) == 0o600
    assert load_identity(tmp_path / "keys" / "identity.pem", passphrase).public == made.public


def test_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    generate_identity(tmp_path / "identity.pem", "right")
    for wrong in ("wrong", None):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_identity(tmp_path / "identity.pem", wrong)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    generate_identity(tmp_path / "identity.pem")
    before = (tmp_path / "identity.pem").read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        generate_identity(tmp_path / "identity.pem")
    assert (tmp_path / "identity.pem").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    generate_identity(tmp_path / "identity.pem")
    (tmp_path / "identity.pem").chmod(mode)
    with pytest.raises(ConfigurationError, match=f"has mode {mode:04o}, expected 0600"):
        load_identity(tmp_path / "identity.pem")


def test_an_absent_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="riskfed node keygen"):
        load_identity(tmp_path / "identity.pem")


def test_a_consortium_comes_back(tmp_path: Path) -> None:
    banks = {name: Identity.generate().public for name in ("ash", 'Böhm & "Söhne"', "co.op = bank")}
    write_consortium(tmp_path / "consortium.toml", banks)
    assert read_consortium(tmp_path / "consortium.toml") == banks


KEY = [Identity.generate().public for _ in range(3)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'[banks]\na = "{KEY[0]}"\nb = "{KEY[1]}"\n', "2 banks, expected at least 3"),
        (f'[banks]\na = "{KEY[0]}"\nb = "{KEY[1]}"\nc = "{KEY[0]}"\n', "banks a and c have the same key"),
        (f'[banks]\na = "{KEY[0]}"\nb = "{KEY[1]}"\nc = "AAAA"\n', "bank c: .*malformed"),
        (f'[banks]\na = "{KEY[0]}"\nb = "{KEY[1]}"\n"" = "{KEY[2]}"\n', "name must have 1 to 64"),
        (f'[banks]\na = "{KEY[0]}"\nb = "{KEY[1]}"\nc = 5\n', "expected a table"),
        (f'[bank]\na = "{KEY[0]}"\n', "unknown key bank"),
        ("banks = ", "is not TOML"),
        (None, "cannot read"),
    ],
)
def test_a_consortium_that_is_none(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "consortium.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        read_consortium(tmp_path / "consortium.toml")
    assert "consortium.toml" in str(caught.value)
