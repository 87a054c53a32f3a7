"""Clients that prove their name by a TLS certificate.

uvicorn verifies a client's certificate (``ssl_ca_certs`` with ``ssl_cert_reqs``) but tells the application nothing of it.
`PeerCertificateProtocol`, given as ``uvicorn.Config(http=...)``, puts it into the ASGI scope; there it cannot come from a header, so a
client cannot make it up, and nothing must be stripped at a proxy.

That an authority has signed a certificate does not let its holder in: the certificate, or a name in it, must be in the operator's list.
Names are those that the TLS library has verified: entries of subjectAltName, compared whole; a common name does not count (RFC 9525).
Revocation lists are not consulted: take a client out of the list, which acts within a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from riskfed.errors import ConfigurationError
from riskfed.serving.access.client import Client, ClientName, Scope
from riskfed.serving.access.watched_file import WatchedFile, read_guarded

PEER: Final = "riskfed.peer"  # of scope["extensions"]


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A client's certificate that the TLS library has verified.

    Attributes:
        fingerprint: sha256 of its DER form, hex.
        names: its subjectAltName entries, as "DNS:desk.bank.example" or "URI:spiffe://bank.example/desk".
        expires: seconds since 1970: connections may outlive their certificate.
    """

    fingerprint: str
    names: frozenset[str]
    expires: float


class PeerCertificateProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which also passes the verified peer certificate on as ``scope["extensions"]["riskfed.peer"]``."""

    _extensions: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The handshake is over here, and TLS 1.3 has none later on: once for all requests of the connection.
        peer = _peer(transport.get_extra_info("ssl_object"))
        self._extensions = None if peer is None else {PEER: peer}

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._extensions is not None:
            self.scope["extensions"] = self._extensions


def _peer(connection: ssl.SSLObject | ssl.SSLSocket | None) -> PeerCertificate | None:
    # Empty unless the certificate was verified; the binary form alone would not say that.
    certificate: Mapping[str, Any] = (connection.getpeercert() if connection is not None else None) or {}
    der = connection.getpeercert(binary_form=True) if connection is not None and certificate else None
    if der is None:
        return None
    names = frozenset(f"{kind}:{name}" for kind, name in certificate.get("subjectAltName", ()))
    return PeerCertificate(hashlib.sha256(der).hexdigest(), names, ssl.cert_time_to_seconds(certificate["notAfter"]))


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
    plain = text.replace(":", "").lower()
    if len(plain) != 64 or not set(plain) <= set("0123456789abcdef"):
        raise ConfigurationError(f"client {name}: {text!r} is no sha256; expected 64 hex digits, colons allowed")
    return plain


def _san(text: str, name: str) -> str:
    kind, _, value = text.partition(":")
    if kind not in {"DNS", "URI", "email"} or not value or "*" in value:
        raise ConfigurationError(
            f"client {name}: {text!r} is no name of a certificate; expected DNS:..., URI:... or email:..., without a wildcard"
        )
    return text
