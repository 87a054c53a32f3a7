"""Key files that a SuperLink and its SuperNodes need, as `ssh-keygen -t ecdsa -b 384` and a certificate authority would make them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from riskfed.flower.certificates import authority_and_server


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """PEM files of a TLS server: the authority's certificate, for clients, and the server's own pair."""

    authority: Path
    certificate: Path
    private_key: Path


def write_server_files(folder: Path, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> ServerFiles:
    """Make a throw-away authority and a server certificate for `hosts`. The authority's private key is not kept."""
    authority, server = authority_and_server(hosts)
    files = ServerFiles(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    folder.mkdir(parents=True, exist_ok=True)
    files.authority.write_bytes(authority.certificate)
    files.certificate.write_bytes(server.certificate)
    _write_private(files.private_key, server.private_key)
    return files


def write_node_key(path: Path) -> Path:
    """Make a SuperNode's key pair (ECDSA P-384, OpenSSH's formats): private at `path`, public at the returned ``path.pub``."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_private(path, private)
    beside = path.with_name(path.name + ".pub")
    beside.write_bytes(public + b"\n")
    return beside


def _write_private(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
