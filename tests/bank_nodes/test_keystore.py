"""Keys on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bank_nodes.keystore import (
    generate_identity,
    load_identity,
    read_consortium,
    write_consortium,
    write_node_key,
)
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


def bank(name: str, key: str, more: str = "") -> str:
    return f'[banks.{name}]\nsigning_key = "{key}"\n{more}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bank("a", KEY[0]), "1 banks are pinned, expected at least 2"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank("c", KEY[0]), "banks a and c have the same key"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank("c", "AAAA"), "banks.c.signing_key: .*malformed"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank("c", KEY[2][:-2] + "/="), "banks.c.signing_key: .*malformed"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank('""', KEY[2]), "name must have 1 to 64"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank('" b"', KEY[2]), "name must have 1 to 64"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank("c", KEY[2], 'flower_key = "ssh-rsa AAAA"'), "ECDSA P-384"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank("c", KEY[2], 'colour = "red"'), "banks.c.colour: Extra inputs"),
        (bank("a", KEY[0]) + bank("b", KEY[1]) + bank("c", KEY[2], "sequence = 0"), "banks.c.sequence"),
        (f'[banks]\na = "{KEY[0]}"\n', "banks.a: .*riskfed node pin"),
        (f'[bank]\na = "{KEY[0]}"\n', "bank: Extra inputs"),
        ("banks = ", "is not TOML"),
        (None, "cannot read"),
    ],
    ids=range(13),  # keys are new each time, and every worker has to name the cases alike
)
def test_a_consortium_that_is_none(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "consortium.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        read_consortium(tmp_path / "consortium.toml")
    assert "consortium.toml" in str(caught.value)


def test_a_node_key_is_what_ssh_keygen_would_make(tmp_path: Path) -> None:
    public = write_node_key(tmp_path / "node")
    assert stat.S_IMODE((tmp_path / "node").stat().st_mode) == 0o600
    private = serialization.load_ssh_private_key((tmp_path / "node").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp384r1"
    assert serialization.load_ssh_public_key(public.read_bytes()) == private.public_key()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        write_node_key(tmp_path / "node")
