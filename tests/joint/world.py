"""Real endpoints of feature holders: `riskfed node answer` as processes over TLS, with certificates made for the test."""

from __future__ import annotations

import ipaddress
import json
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from cryptography import x509

from benchmarks.joint_models import VerticalModel
from riskfed.serving.partner import PartnerSettings
from tests.joint.linear_models import LinearParts
from tests.joint.models import SCHEMA
from tests.serving.access.tls import Authority, serving

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
PATH = "/v1/decisions"


@dataclass
class Holder:
    """A feature holder's folder, and its endpoint while it runs.

    Attributes:
        home: holds bank.toml, records, and the vault's models.
        client: PEM file of the client that it lists, with its key.
    """

    name: str
    home: Path
    authority: Authority
    client: Path
    process: subprocess.Popen[str] | None = None
    port: int = 0
    errors: list[str] = field(default_factory=list)

    def store(self, model: VerticalModel | LinearParts, run: str = "run-1") -> None:
        """Put its part where the vault would."""
        folder = self.home / "models" / run
        folder.mkdir(parents=True)
        (folder / "part.json").write_bytes(model.parts[self.name].to_bytes())

    def start(self) -> None:
        command = [sys.executable, "-m", "riskfed.cli", "node", "answer", "--config", str(self.home / "bank.toml")]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=(self.home / "stderr").open("a"), text=True
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"https://127\.0\.0\.1:(\d+)/v1/decisions", said)
        assert found, said + self.stderr
        if not self.port:  # it comes back where it was
            self.port = int(found[1])
            text = (self.home / "bank.toml").read_text()
            (self.home / "bank.toml").write_text(text.replace("port = 0", f"port = {self.port}"))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.communicate(timeout=20)
            self.process = None

    @property
    def stderr(self) -> str:
        return (self.home / "stderr").read_text()

    def settings(self, certificate: Path | None = None) -> PartnerSettings:
        """What the label holder's service file would say."""
        shown = certificate or self.client
        url = f"https://127.0.0.1:{self.port}"
        return PartnerSettings(name=self.name, url=url, certificate=shown, key=shown, ca=self.authority.certificate)

    def context(self, certificate: Path | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context

    @contextmanager
    def asking(self, certificate: Path | None = None) -> Iterator[httpx.Client]:
        """A plain client, by default with the listed certificate."""
        verify = self.context(certificate or self.client)
        with httpx.Client(base_url=f"https://127.0.0.1:{self.port}", verify=verify, trust_env=False) as client:
            yield client


def make_holder(folder: Path, name: str, frame: pd.DataFrame, answers: Mapping[str, Any] | None = None) -> Holder:
    """Write a feature holder's files: records of its own columns, schema, node file, certificates."""
    home = folder / name
    home.mkdir()
    authority = Authority(home, "authority")
    served, _ = authority.issue("endpoint", LOOPBACK)
    client, fingerprint = authority.issue("lender", x509.DNSName("lender.example"))
    part = SCHEMA.part_of(name)
    frame[["customer_id", *(feature.name for feature in part.features)]].to_parquet(home / "records.parquet")
    (home / "schema.json").write_text(SCHEMA.model_dump_json())
    limits = "\n".join(f"{key} = {json.dumps(value)}" for key, value in (answers or {}).items())
    (home / "bank.toml").write_text(
        f'''bank = "{name}"
[data]
path = "records.parquet"
[schema]
file = "schema.json"
[consortium]
file = "consortium.toml"
[keys]
identity = "identity.pem"
[vault]
socket = "vault.sock"
log = "vault.log"
models = "models"
[answers]
port = 0
certificate = "{served.name}"
key = "{served.name}"
client_authorities = "authority.pem"
{limits}
[answers.clients]
lender = ["{fingerprint}"]
'''
    )
    return Holder(name, home, authority, client)


@contextmanager
def holders(folder: Path, frame: pd.DataFrame, *models: VerticalModel | LinearParts) -> Iterator[dict[str, Holder]]:
    """Running endpoints of all feature holders."""
    made = {name: make_holder(folder, name, frame) for name in models[0].parts}
    try:
        for holder in made.values():
            for number, model in enumerate(models, 1):
                holder.store(model, f"run-{number}")
            holder.start()
        yield made
    finally:
        for holder in made.values():
            holder.stop(signal.SIGKILL)


@contextmanager
def impostor(folder: Path, status: int, body: bytes) -> Iterator[tuple[list[PartnerSettings], list[bytes]]]:
    """A server in place of both partners, which has a good certificate, and what it heard."""
    authority = Authority(folder, "authority")
    served, _ = authority.issue("endpoint", LOOPBACK)
    heard: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["body"])
        headers = [(b"location", b"/v1/decisions"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with serving(app, ssl_certfile=str(served), ssl_keyfile=str(served)) as port:
        url = f"https://127.0.0.1:{port}"
        shown = {"url": url, "certificate": served, "key": served, "ca": authority.certificate}
        yield [PartnerSettings.model_validate({"name": name, **shown}) for name in ("payments", "shop")], heard
