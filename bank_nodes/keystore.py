"""Keys on disk: the bank's own signing key and Flower key, which are secret, and the consortium's public keys, which it has pinned.

Secret: the two private key files, mode 0600. Public: the consortium file. It need not be hidden, but whoever can write it decides who
takes part under which name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bank_nodes.consortium import Consortium, PinnedBank
from riskfed.errors import ConfigurationError
from riskfed.files import PRIVATE, write_synced
from riskfed.secure.keys import Identity

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
    _write_private(path, identity.to_pem(passphrase))
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


def write_node_key(path: Path) -> Path:
    """Make a SuperNode's key pair (ECDSA P-384, OpenSSH's formats), as ``ssh-keygen -t ecdsa -b 384`` would.

    Args:
        path: of the private key, mode 0600; must not exist. Flower takes no passphrase for it: it opens the SuperLink's door, and no
            record, since banks know each other by their signing keys.

    Returns:
        Path of the public key, ``path.pub``.

    Raises:
        ConfigurationError: a file exists or cannot be written.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    _write_private(path, private)
    beside = path.with_name(path.name + ".pub")
    beside.write_bytes(public + b"\n")
    return beside


def read_consortium(path: Path) -> dict[str, str]:
    """Read the consortium file: bank -> public signing key (base64) of every bank that may take part in a run.

    Raises:
        ConfigurationError: absent, malformed, or no consortium, see `Consortium.check`.
    """
    consortium = Consortium.load(path)
    try:
        consortium.check()
    except ConfigurationError as error:
        raise ConfigurationError(f"consortium file {path}: {error}") from None
    return consortium.keys


def write_consortium(path: Path, banks: Mapping[str, str], flower_keys: Mapping[str, str] | None = None) -> None:
    """Write a consortium file for banks that one hand has set up: a demo, a test. Banks that do not trust each other pin cards instead.

    Args:
        path: overwritten.
        banks: bank -> public signing key (base64).
        flower_keys: bank -> public Flower key (OpenSSH); none where no node is ever run.

    Raises:
        ConfigurationError: no consortium, see `Consortium.check`, or `path` cannot be written.
    """
    flower = flower_keys or {}
    pinned = {bank: PinnedBank(signing_key=key, flower_key=flower.get(bank, "")) for bank, key in banks.items()}
    consortium = Consortium(banks=pinned)
    consortium.check()
    consortium.save(path)


def _write_private(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_synced(path, data, mode=PRIVATE)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists; a key is never overwritten: choose another file, or move it away"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
