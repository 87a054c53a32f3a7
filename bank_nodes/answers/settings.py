"""The section ``[answers]`` of a node file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from bank_nodes.settings import Section
from riskfed.peer_fingerprint import plain_fingerprint

Fingerprint = Annotated[str, AfterValidator(plain_fingerprint)]
ClientName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class AnswersConfig(Section):
    """Where a feature holder answers, to whom, and how often. Always by TLS 1.3, always with the client's certificate.

    Attributes:
        host, port: loopback and 8443; port 0 takes a free one.
        certificate, key: PEM files of this endpoint's own TLS certificate and key.
        client_authorities: PEM file with the authorities of clients' certificates, or with these certificates themselves.
        clients: name -> sha256 of each certificate (DER, hex, colons allowed) that stands for it. No other is answered.
        per_minute: questions that one client may ask within 60 seconds.
        per_day: questions that one client may ask on one day (UTC); counted from the log, so a restart forgives none.
        log: folder of the hash-chained log of what was answered, one file a day.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65535)
    certificate: Path
    key: Path
    client_authorities: Path
    clients: dict[ClientName, tuple[Fingerprint, ...]] = Field(min_length=1)
    per_minute: int = Field(default=600, ge=1)
    per_day: int = Field(default=20_000, ge=1)
    log: Path = Path("answers")

    @model_validator(mode="after")
    def _one_client_each(self) -> Self:
        known = [fingerprint for fingerprints in self.clients.values() for fingerprint in fingerprints]
        if len(set(known)) != len(known) or not all(self.clients.values()):
            raise ValueError(
                "each client needs a certificate of its own, and one certificate can stand for one client only"
            )
        return self

    @property
    def client_of(self) -> dict[str, str]:
        """Fingerprint -> client."""
        return {fingerprint: name for name, fingerprints in self.clients.items() for fingerprint in fingerprints}
