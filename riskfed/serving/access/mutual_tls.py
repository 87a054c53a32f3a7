"""Clients that prove their name by a TLS certificate.

The certificate comes from the TLS library itself (`riskfed.peer_certificate`), never from a header.

That an authority has signed a certificate does not let its holder in: the certificate, or a name in it, must be in the operator's list.
Names are those that the TLS library has verified: entries of subjectAltName, compared whole; a common name does not count (RFC 9525).
Revocation lists are not consulted: take a client out of the list, which acts within a second.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from riskfed.errors import ConfigurationError
from riskfed.peer_certificate import PEER, PeerCertificate, PeerCertificateProtocol
from riskfed.peer_fingerprint import plain_fingerprint
from riskfed.serving.access.client import Client, ClientName, Scope
from riskfed.serving.access.watched_file import WatchedFile, read_guarded

__all__ = ["PEER", "CertificateEntry", "Certificates", "PeerCertificate", "PeerCertificateProtocol"]


class CertificateEntry(BaseModel):
    """One client of the list: its scopes, and the certificates (sha256, hex, colons allowed) or names that stand for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scopes: tuple[Scope, ...] = Field(min_length=1)
    sha256: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class _List(BaseModel):
    model_config = ConfigDict(extra="forbid")

    clients: dict[ClientName, CertificateEntry] = Field(min_length=1)


class Certificates:
    """Which certificate is which client.

    The list is a TOML file that nobody but its owner may change, and is followed as it changes::

        [clients.loan-desk]
        scopes = ["score", "models"]
        names = ["DNS:desk.bank.example"]        # or sha256 = ["3f:9a:..."]
    """

    def __init__(self, entries: Path | Mapping[str, CertificateEntry]) -> None:
        """Take the list.

        Args:
            entries: the file, or name of the client -> entry.

        Raises:
            ConfigurationError: the list is absent or malformed, or gives one certificate or name to two clients.
        """
        self._file = WatchedFile(entries, _read) if isinstance(entries, Path) else None
        self._fixed = _index(entries) if not isinstance(entries, Path) else {}

    def client(self, peer: PeerCertificate) -> Client | None:
        """Whose certificate it is; None where it is nobody's, two clients', or has expired while the connection stood."""
        listed = self._file.current() if self._file is not None else self._fixed
        if peer.expires <= time.time():
            return None
        exact = listed.get(peer.fingerprint)
        if exact is not None:
            return exact
        named = {client.name: client for name in peer.names if (client := listed.get(name)) is not None}
        return next(iter(named.values())) if len(named) == 1 else None


def _read(path: Path) -> dict[str, Client]:
    data = read_guarded(path, "list the clients' certificates there", secret=False)
    try:
        return _index(_List.model_validate(tomllib.loads(data.decode())).clients)
    except ValidationError as error:
        where = sorted({".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)})
        raise ConfigurationError(f"{path} is no list of certificates: see {', '.join(where)}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is no TOML ({error})") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _index(entries: Mapping[str, CertificateEntry]) -> dict[str, Client]:
    found: dict[str, Client] = {}
    for name, entry in entries.items():
        client = Client(name, frozenset(entry.scopes), "certificate")
        keys = [_fingerprint(text, name) for text in entry.sha256] + [_san(text, name) for text in entry.names]
        if not keys:
            raise ConfigurationError(f"client {name} has neither sha256 nor names; list one")
        for key in keys:
            if found.setdefault(key, client) is not client:
                raise ConfigurationError(
                    f"{key} is listed for {found[key].name} and for {name}; it can stand for one only"
                )
    return found


def _fingerprint(text: str, name: str) -> str:
    try:
        return plain_fingerprint(text)
    except ValueError as error:
        raise ConfigurationError(f"client {name}: {error}") from None


def _san(text: str, name: str) -> str:
    kind, _, value = text.partition(":")
    if kind not in {"DNS", "URI", "email"} or not value or "*" in value:
        raise ConfigurationError(
            f"client {name}: {text!r} is no name of a certificate; expected DNS:..., URI:... or email:..., without a wildcard"
        )
    return text
