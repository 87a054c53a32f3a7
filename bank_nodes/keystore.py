"""Keys on disk: the bank's own signing key, which is secret, and the consortium's public keys, which all banks have compared."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from riskfed.errors import ConfigurationError
from riskfed.plan import MINIMUM_BANKS
from riskfed.secure.keys import Identity, fingerprint

_LONGEST_NAME = 64
_OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO


def generate_identity(path: Path, passphrase: str | None = None) -> Identity:
    """Make a signing key and write it to `path`, readable by its owner alone.

    Args:
        path: must not exist: a key that other banks have pinned is never overwritten.
        passphrase: encrypts the file where given.

    Raises:
        ConfigurationError: `path` exists or cannot be written.
    """
    identity = Identity.generate()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The mode counts from the first instant: at no time can another user open the file.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists; a key is never overwritten: choose another file, or move it away"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(identity.to_pem(passphrase))
        file.flush()
        os.fsync(file.fileno())
    return identity


def load_identity(path: Path, passphrase: str | None = None) -> Identity:
    """Read the bank's signing key.

    Raises:
        ConfigurationError: absent, not a key, the wrong passphrase, or others than its owner may read or write the file.
    """
    try:
        with path.open("rb") as file:
            # Asked of the open file, so that what is checked is what is read.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _OTHERS_MAY:
                raise ConfigurationError(
                    f"identity key {path} has mode {mode:04o}, expected 0600: other users could read it. "
                    "The bank must run chmod 600, and make a new key if it cannot rule out that someone has"
                )
            return Identity.from_pem(file.read(), passphrase)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the identity key {path}: {error.strerror}; make one by riskfed node keygen"
        ) from None


def read_consortium(path: Path) -> dict[str, str]:
    """Read the consortium file: bank -> public key (base64), as the banks have compared them by fingerprint.

    Raises:
        ConfigurationError: absent, malformed, fewer than three banks, a malformed key, or two banks with the same key.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the consortium file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"consortium file {path} is not TOML: {error}") from None
    if unknown := sorted(set(fields) - {"banks"}):
        raise ConfigurationError(f"consortium file {path}: unknown key {', '.join(unknown)}; expected a table [banks]")
    banks = fields.get("banks")
    if not isinstance(banks, dict) or not all(isinstance(key, str) for key in banks.values()):
        raise ConfigurationError(f'consortium file {path}: expected a table [banks] with lines name = "public key"')
    try:
        check_consortium(banks)
    except ConfigurationError as error:
        raise ConfigurationError(f"consortium file {path}: {error}") from None
    return dict(banks)


def write_consortium(path: Path, banks: Mapping[str, str]) -> None:
    """Write a consortium file.

    Raises:
        ConfigurationError: as `read_consortium`.
    """
    check_consortium(banks)
    # A JSON string is a TOML basic string, as long as nothing needs a surrogate escape.
    lines = [f"{json.dumps(name, ensure_ascii=False)} = {json.dumps(banks[name])}" for name in sorted(banks)]
    path.write_text("\n".join(["[banks]", *lines, ""]), encoding="utf-8")


def check_consortium(banks: Mapping[str, str]) -> None:
    """Raise ConfigurationError unless there are three banks at least, each with a proper name and a key of its own."""
    if len(banks) < MINIMUM_BANKS:
        raise ConfigurationError(f"{len(banks)} banks, expected at least {MINIMUM_BANKS}")
    holders: dict[str, str] = {}
    for name, public in banks.items():
        if not name.isprintable() or not 1 <= len(name.encode()) <= _LONGEST_NAME:
            raise ConfigurationError(f"a bank's name must have 1 to {_LONGEST_NAME} printable bytes, got {name!r}")
        try:
            mark = fingerprint(public)
        except ConfigurationError as error:
            raise ConfigurationError(f"bank {name}: {error}") from None
        if mark in holders:
            # One party in two seats would count as two banks, and undo the minimum of three.
            raise ConfigurationError(f"banks {holders[mark]} and {name} have the same key; each must make its own")
        holders[mark] = name
