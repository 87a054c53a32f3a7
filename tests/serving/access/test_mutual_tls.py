"""Client certificates through a real uvicorn over TLS, on both event loops."""

import datetime
import json
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from riskfed.errors import ConfigurationError
from riskfed.serving.access import watched_file
from riskfed.serving.access.client import AccessError
from riskfed.serving.access.gate import Gate
from riskfed.serving.access.mutual_tls import CertificateEntry, Certificates, PeerCertificate, PeerCertificateProtocol
from tests.serving.access.tls import Authority, client_context, serving

DESK = x509.DNSName("desk.bank.example")


class Site:
    """A service behind a gate, and those who call it."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs = Authority(folder, "ours"), Authority(folder, "theirs")
        self.server, _ = self.ours.issue("server", x509.DNSName("localhost"))
        self.desk, _ = self.ours.issue("desk", DESK, x509.DNSName("other.example"))
        self.batch, fingerprint = self.ours.issue("batch")
        self.unlisted, _ = self.ours.issue("desk.bank.example", x509.DNSName("unlisted.example"))
        self.foreign, _ = self.theirs.issue("foreign", DESK)
        self.expired, _ = self.ours.issue("expired", DESK, ends=-datetime.timedelta(days=1))
        self.file = folder / "clients.toml"
        self.file.write_text(
            f'[clients.loan-desk]\nscopes = ["score"]\nnames = ["DNS:desk.bank.example"]\n'
            f'[clients.batch]\nscopes = ["score", "models"]\nsha256 = ["{fingerprint.upper()}"]\n'
        )
        self.file.chmod(0o644)
        self.gate = Gate(certificates=Certificates(self.file))
        self.port = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            client = await self.gate.admit(scope, "score")
            status, said = 200, {"name": client.name, "scopes": sorted(client.scopes), "how": client.how}
        except AccessError as error:
            status, said = error.status, {"detail": error.detail}
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})

    def call(self, certificate: Path | None, times: int = 1, **headers: str) -> tuple[int, dict[str, Any]]:
        with httpx.Client(verify=client_context(self.ours, certificate)) as client:
            for _ in range(times):
                answer = client.get(f"https://localhost:{self.port}/", headers=headers)
        return answer.status_code, answer.json()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("tls"))
    settings = {
        "http": PeerCertificateProtocol,
        "loop": request.param,
        "ssl_certfile": made.server,
        "ssl_ca_certs": made.ours.certificate,
        "ssl_cert_reqs": ssl.CERT_OPTIONAL,
    }
    with serving(made, **settings) as port:
        made.port = port
        yield made


def test_a_listed_name_and_a_listed_fingerprint_are_let_in(site: Site) -> None:
    # Twice over one connection: the certificate is looked at once, and counts for every request.
    assert site.call(site.desk, times=2) == (
        200,
        {"name": "loan-desk", "scopes": ["score"], "how": "certificate"},
    )
    assert site.call(site.batch) == (200, {"name": "batch", "scopes": ["models", "score"], "how": "certificate"})


def test_a_connection_without_a_certificate_is_refused(site: Site) -> None:
    assert site.call(None) == (403, {"detail": "a client certificate is needed"})


def test_headers_cannot_stand_in_for_a_certificate(site: Site) -> None:
    headers = {"riskfed.peer": "DNS:desk.bank.example", "x-client-cert": "x", "extensions": "riskfed.peer"}
    assert site.call(None, **headers)[0] == 403


def test_a_certificate_that_is_not_listed_is_refused_although_its_common_name_is(site: Site) -> None:
    status, said = site.call(site.unlisted)
    assert status == 403
    assert "not listed" in said["detail"]


@pytest.mark.parametrize("certificate", ["foreign", "expired"])
def test_another_authority_and_an_expired_certificate_end_in_the_handshake(site: Site, certificate: str) -> None:
    # With TLS 1.3 the client may see the connection's end before the alert.
    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
        site.call(getattr(site, certificate))


def test_taking_a_client_out_of_the_list_counts_without_a_restart(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "_LOOK_SECONDS", 0.0)
    before = site.file.read_text()
    try:
        site.file.write_text(before.replace("DNS:desk", "DNS:another"))
        time.sleep(1.05)  # the service may have looked a moment ago
        assert site.call(site.desk)[0] == 403
    finally:
        site.file.write_text(before)
    assert site.call(site.desk)[0] == 200


def test_a_plain_connection_has_no_certificate(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with serving(site, http=PeerCertificateProtocol) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 403


def peer(*names: str, fingerprint: str = "ab" * 32, ends: float = 60) -> PeerCertificate:
    return PeerCertificate(fingerprint, frozenset(names), time.time() + ends)


def entry(**fields: Any) -> CertificateEntry:
    return CertificateEntry(scopes=("score",), **fields)


def test_a_certificate_that_ends_while_its_connection_stands_is_refused() -> None:
    certificates = Certificates({"desk": entry(sha256=("ab" * 32,))})
    assert certificates.client(peer()) is not None
    assert certificates.client(peer(ends=-1)) is None


def test_names_of_two_clients_in_one_certificate_are_nobodys_unless_it_is_listed_itself() -> None:
    entries = {"one": entry(names=("DNS:one",)), "two": entry(names=("DNS:two",))}
    assert Certificates(entries).client(peer("DNS:one", "DNS:two")) is None
    entries["three"] = entry(sha256=("AB:" * 31 + "AB",))
    assert Certificates(entries).client(peer("DNS:one", "DNS:two")).name == "three"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[clients.a]\nscopes = ["score"]', "client a has neither sha256 nor names"),
        ('[clients.a]\nscopes = ["score"]\nnames = ["DNS:*.bank"]', "without a wildcard"),
        ('[clients.a]\nscopes = ["score"]\nnames = ["CN:desk"]', "no name of a certificate"),
        ('[clients.a]\nscopes = ["score"]\nsha256 = ["ab"]', "64 hex digits"),
        ('[clients.a]\nscopes = ["all"]\nnames = ["DNS:a"]', "see clients.a.scopes"),
        ('[clients."a b"]\nscopes = ["score"]\nnames = ["DNS:a"]', "no list of certificates"),
        (
            '[clients.a]\nscopes = ["score"]\nnames = ["DNS:a"]\n[clients.b]\nscopes = ["score"]\nnames = ["DNS:a"]',
            "listed for a and for b",
        ),
        ("[clients", "no TOML"),
        ("", "see clients"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        Certificates(file)


def test_a_list_that_others_may_change_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text('[clients.a]\nscopes = ["score"]\nnames = ["DNS:a"]')
    file.chmod(0o664)
    with pytest.raises(ConfigurationError, match="expected 0644"):
        Certificates(file)
