"""The sections of a bank's node file, one class each; `bank_nodes.config` reads the file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

FileKind = Literal["csv", "parquet"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Where the records are.

    Attributes:
        path: the file.
        kind: "csv" or "parquet"; None: by the file's suffix (.csv, .parquet, .pq).
        delimiter: between the fields of a CSV file, which is UTF-8 with a header line.
    """

    path: Path
    kind: FileKind | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)


class SchemaConfig(Section):
    """The consortium's schema: `file` is JSON as `Schema.model_dump_json` gives it."""

    file: Path


class ConsortiumConfig(Section):
    """Who belongs to the consortium: `file` is TOML, see `bank_nodes.keystore.read_consortium`."""

    file: Path


class KeysConfig(Section):
    """The bank's signing key.

    Attributes:
        identity: PEM file, mode 0600.
        passphrase: of that file; from the environment only.
    """

    identity: Path
    passphrase: SecretStr | None = None


class VaultConfig(Section):
    """The vault's own places.

    Attributes:
        socket: UNIX socket that the courier connects to.
        log: the vault's log.
        models: folder of finished models.
        socket_group: group that may connect besides the vault's own user; for a courier that runs as another user.
    """

    socket: Path
    log: Path
    models: Path
    socket_group: str | None = None


class FlowerConfig(Section):
    """How the bank's SuperNode reaches the operator's SuperLink; always by TLS, always with its own key.

    Attributes:
        superlink: host:port.
        root_certificates: PEM file with the authority of the SuperLink's certificate.
        private_key: ECDSA key whose public half the operator has registered for this bank.
        home: Flower's own folder (FLWR_HOME); also holds the SuperNode's output.
        host: address on which the SuperNode talks to its own child processes; stay on loopback.
        port: its port; 0 picks a free one.
    """

    superlink: str = Field(pattern=r"^\S+:[0-9]{1,5}$")
    root_certificates: Path
    private_key: Path
    home: Path = Path("flower")
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
