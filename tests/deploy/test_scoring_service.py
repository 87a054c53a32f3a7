"""The shipped service file at work: TLS, API keys and client certificates, without memory that is both writable and executable."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from riskfed.cli import app
from riskfed.stack.processes import Processes, free_port, port_open
from tests.deploy.proxy import DEPLOY
from tests.serving.access.tls import Authority
from tests.serving.models import loans, make_release

START = """\
import ctypes, os, sys
# What MemoryDenyWriteExecute=yes does (prctl(2), PR_SET_MDWE of Linux 6.3); an older kernel refuses, and the service runs without.
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Host:
    """A host on which the service runs as deploy/scoring.toml says, for a model in a folder."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.port = free_port()
        self.authority = Authority(folder, "authority")
        service, _ = self.authority.issue("service", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        self.desk, _ = self.authority.issue("desk", x509.DNSName("desk.bank.example"))
        names = 'names = ["DNS:desk.bank.example"]'
        (folder / "clients.toml").write_text(f'[clients.loan-desk]\nscopes = ["score", "models"]\n{names}\n')
        (folder / "model").mkdir()
        (folder / "model" / "release.json").write_bytes(make_release().to_bytes())
        keys = ["api-key", "add", "batch", "--scope", "score", "--scope", "models", "--keys", f"{folder}/api-keys.json"]
        (folder / "key").write_text(CliRunner().invoke(app, keys).stdout)
        self._write(service)
        riskfed = str(Path(sys.executable).with_name("riskfed"))
        command = [sys.executable, "-c", START, riskfed, "serve", "--config", str(folder / "scoring.toml")]
        child = processes.start("service", command, log=folder / "service.log", env=dict(os.environ))
        processes.wait_until(child, lambda: port_open(self.port), timeout=60)

    def _write(self, service: Path) -> None:
        """The shipped file with this test's paths, a folder for the registry, and client certificates besides."""
        folder = self.folder
        text = (DEPLOY / "scoring.toml").read_text()
        for old, new in {
            'tracking_uri = "http://127.0.0.1:5000"': f'folder = "{folder / "model"}"',
            'name = "riskfed-pd"': "",
            'host = "0.0.0.0"': 'host = "127.0.0.1"',
            "port = 9443": f'port = {self.port}\nclient_authorities = "{self.authority.certificate}"',
            "/etc/riskfed/scoring/tls.pem": str(service),
            "/etc/riskfed/scoring/tls.key": str(service),
            "/etc/riskfed/scoring/api-keys.json": str(folder / "api-keys.json"),
            "[records]": f'certificates = "{folder / "clients.toml"}"\n[records]',
            "/var/lib/riskfed-scoring": str(folder / "records"),
        }.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (folder / "scoring.toml").write_text(text)

    def score(self, *options: object) -> Result:
        """`riskfed score-file` of ten applicants."""
        given = self.folder / "applicants.csv"
        loans(10, 1).to_csv(given, index=False)
        url = f"https://127.0.0.1:{self.port}"
        command = ["score-file", given, "--output", self.folder / "scores.csv", "--url", url, *options]
        return CliRunner().invoke(app, [str(part) for part in command])


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Processes() as processes:
        yield Host(tmp_path_factory.mktemp("host"), processes)


@pytest.mark.slow
def test_keys_and_certificates_open_the_shipped_service(host: Host) -> None:
    trusted = ("--ca-file", host.authority.certificate)
    by_key = host.score(*trusted, "--key-file", host.folder / "key")
    assert by_key.exit_code == 0, by_key.output
    assert by_key.stdout.startswith("10 of 10 applicants scored by test-loans")
    by_certificate = host.score(*trusted, "--certificate", host.desk)
    assert by_certificate.exit_code == 0, by_certificate.output
    audited = CliRunner().invoke(app, ["audit", "show", str(host.folder / "records" / "audit"), "--event", "score"])
    assert audited.stdout.count("  batch  ") == audited.stdout.count("  loan-desk  ") == 10
    nobody = host.score(*trusted)
    assert nobody.exit_code == 2
    assert "refuses the API key" in nobody.stderr


@pytest.mark.slow
def test_certificates_that_prove_nothing_are_refused(host: Host) -> None:
    stranger, _ = Authority(host.folder, "other").issue("stranger", x509.DNSName("desk.bank.example"))
    for options, reason in (
        (("--key-file", host.folder / "key"), "certificate is not accepted"),
        (("--ca-file", host.folder / "other.pem", "--key-file", host.folder / "key"), "certificate is not accepted"),
        (
            ("--ca-file", host.authority.certificate, "--certificate", stranger),
            "does not accept this side's certificate",
        ),
        (("--ca-file", host.folder / "absent.pem"), "there is no file"),
        (("--ca-file", host.folder / "key"), "cannot be used for TLS"),
    ):
        refused = host.score(*options)
        assert refused.exit_code == 2, refused.output
        assert reason in " ".join(refused.stderr.split()), refused.stderr
        assert not (host.folder / ".scores.csv.parts").exists()
