"""Lay out the vertical demo's parties on disk: a lender with the outcome and a payments company, with what lets them score together."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from riskfed.datasets.vertical import LENDER
from riskfed.demo.consortium import Consortium
from riskfed.stack.keys import write_own_certificate
from riskfed.stack.loopback import LoopbackStack
from riskfed.stack.processes import free_port

PARTNER = "payments"
LEAST_ROWS = 20
"""Fewest development rows of a node or bin for which the partner gives sums."""


@dataclass(frozen=True, slots=True)
class JointScoring:
    """Who asks whom while applicants are scored.

    Attributes:
        consortium: the two parties.
        answers_port: of the partner's endpoint.
        service_port: of the lender's scoring service.
        client_certificate, server_certificate: of the lender's service and the partner's endpoint; each trusts just the other's.
    """

    consortium: Consortium
    answers_port: int
    service_port: int
    client_certificate: Path
    server_certificate: Path

    @classmethod
    def prepare(cls, consortium: Consortium) -> JointScoring:
        """Make both certificates, and find free ports."""
        lender, partner = consortium.folder / LENDER, consortium.folder / PARTNER
        client, server = write_own_certificate(lender, "scoring"), write_own_certificate(partner, "answers")
        return cls(consortium, free_port(), free_port(), client, server)

    def write_node_files(self, stack: LoopbackStack, sockets: Path) -> None:
        """Write both parties' configurations; see `Consortium.write_node_files`."""
        self.consortium.write_node_files(stack, sockets, {PARTNER: self._partners_sections()})

    def write_service_file(self, tracking_uri: str, model: str) -> Path:
        """Write what ``riskfed serve`` is told, with the partner that it may ask."""
        path = self.consortium.folder / LENDER / "service.toml"
        path.write_text(
            _SERVICE_FILE.format_map(
                {
                    "tracking_uri": json.dumps(tracking_uri),
                    "model": json.dumps(model),
                    "port": self.service_port,
                    "records": json.dumps(str(self.consortium.folder / LENDER / "scoring")),
                    "partner": json.dumps(PARTNER),
                    "url": json.dumps(f"https://127.0.0.1:{self.answers_port}"),
                    **_files(self.client_certificate),
                    "ca": json.dumps(str(self.server_certificate)),
                }
            )
        )
        return path

    def _partners_sections(self) -> str:
        return _PARTNERS_SECTIONS.format_map(
            {
                "least": LEAST_ROWS,
                "port": self.answers_port,
                **_files(self.server_certificate),
                "client_authorities": json.dumps(str(self.client_certificate)),
                "fingerprint": json.dumps(_fingerprint(self.client_certificate)),
            }
        )


_PARTNERS_SECTIONS = """\
min_node = {least}
min_bin = {least}
max_alignments_per_day = 3

[answers]
port = {port}
certificate = {certificate}
key = {key}
client_authorities = {client_authorities}

[answers.clients]
lender = [{fingerprint}]
"""

_SERVICE_FILE = """\
[model]
tracking_uri = {tracking_uri}
name = {model}

[listen]
port = {port}

[records]
folder = {records}

[[partners]]
name = {partner}
url = {url}
certificate = {certificate}
key = {key}
ca = {ca}
"""


def _files(certificate: Path) -> Mapping[str, str]:
    return {"certificate": json.dumps(str(certificate)), "key": json.dumps(str(certificate.with_suffix(".key")))}


def _fingerprint(certificate: Path) -> str:
    return sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
