"""The client's TLS certificate, for applications behind uvicorn.

uvicorn verifies a client's certificate (``ssl_ca_certs`` with ``ssl_cert_reqs``) but tells the application nothing of it.
`PeerCertificateProtocol`, given as ``uvicorn.Config(http=...)``, puts it into the ASGI scope; there it cannot come from a header, so a
client cannot make it up, and nothing must be stripped at a proxy.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
