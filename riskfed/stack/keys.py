"""Key files that a SuperLink needs, as a certificate authority would make them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from riskfed.flower.certificates import authority_and_server, self_signed


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


def write_own_certificate(folder: Path, name: str, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> Path:
    """Write ``name.crt``, a certificate for `hosts` that vouches for itself, and its private key ``name.key``; returns the former."""
    pair = self_signed(hosts)
    certificate = folder / f"{name}.crt"
    certificate.write_bytes(pair.certificate)
    _write_private(folder / f"{name}.key", pair.private_key)
    return certificate


def _write_private(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
