"""The sections of a bank's node file, one class each; `bank_nodes.config` reads the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from bank_nodes.row_filter import Condition
from riskfed.urls import holds_password

FileKind = Literal["csv", "parquet"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Where the records are: a file (`path`), or a database (`url` with `table` or `query`). See docs/connect-data.md.

    Attributes:
        path: a CSV file, a Parquet file, or a folder of Parquet files, possibly partitioned (``year=2024/...``).
        kind: "csv" or "parquet"; None: by the file's suffix (.csv, .parquet, .pq), and a folder is Parquet.
        delimiter: between the fields of a CSV file, which is UTF-8 with a header line.
        url: a SQLAlchemy URL without a password.
        password: of the database's user; from the environment only.
        table: a table or view, "schema.name" where it is not on the search path.
        query: one SELECT, in place of a table.
        filter: conditions that a row must meet to be a record, all of them.
        scratch: folder for records that are larger than memory; None keeps them in memory.
        connect_timeout: seconds until a database must have answered; PostgreSQL.
        statement_timeout: seconds that a database may take for one batch of rows; PostgreSQL.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    path: Path | None = None
    kind: FileKind | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    url: str | None = None
    password: SecretStr | None = None
    table: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)
    filter: tuple[Condition, ...] = ()
    scratch: Path | None = None
    connect_timeout: int = Field(default=10, ge=2, le=3600)
    statement_timeout: int = Field(default=600, ge=1, le=86_400)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("expected either path, a file or folder, or url, a database")
        if self.url is None and (self.table or self.query or self.password):
            raise ValueError("table, query and password go with url, a database")
        if self.url is not None and (self.table is None) == (self.query is None):
            raise ValueError("a database needs either table or query")
        return self

    @field_validator("url")
    @classmethod
    def _without_password(cls, url: str | None) -> str | None:
        if url is not None and holds_password(url):
            raise ValueError(
                "the URL holds a password, and a node file is copied around; leave it out and set "
                "RISKFED_NODE__DATA__PASSWORD or RISKFED_NODE__DATA__PASSWORD_FILE"
            )
        return url


class SchemaConfig(Section):
    """The consortium's schema: `file` is JSON as `Schema.model_dump_json` gives it."""

    file: Path


class ConsortiumConfig(Section):
    """Who belongs to the consortium: `file` is TOML, see `bank_nodes.consortium`; `riskfed node pin` writes it."""

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
        checkpoints: folder of the journals from which an interrupted run goes on.
        kept: folder of what is kept beyond a run: the common customers of vertical jobs, with their ids.
        threads: how many work on the records; as many as there are processors, up to two, unless said otherwise.
        socket_group: group that may connect besides the vault's own user; for a courier that runs as another user.
        user: whom `riskfed node run` runs the vault as, where it is started as root.
    """

    socket: Path
    log: Path
    models: Path
    checkpoints: Path = Path("checkpoints")
    kept: Path = Path("kept")
    threads: int = Field(default_factory=lambda: min(2, os.cpu_count() or 1), ge=1, le=64)
    socket_group: str | None = None
    user: str | None = None


class FlowerConfig(Section):
    """How the bank's SuperNode reaches the operator's SuperLink; always by TLS, always with its own key.

    Attributes:
        superlink: host:port.
        root_certificates: PEM file with the authority of the SuperLink's certificate.
        private_key: ECDSA key whose public half the operator has registered for this bank.
        home: Flower's own folder (FLWR_HOME); also holds the SuperNode's output.
        host: address on which the SuperNode talks to its own child processes; stay on loopback.
        port: its port; 0 picks a free one.
        user: the courier's own user, who must not be able to read the bank's keys, records and log; `riskfed node run` switches to it
            where it is started as root.
    """

    superlink: str = Field(pattern=r"^\S+:[0-9]{1,5}$")
    root_certificates: Path
    private_key: Path
    home: Path = Path("flower")
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    user: str | None = None


class MetricsConfig(Section):
    """Prometheus metrics, which stay inside the bank; none unless `file` is set.

    Attributes:
        file: text file that the vault writes every few seconds, for node_exporter's textfile collector; ends in .prom. The
            supervisor writes one of its own beside it, with -node before the .prom.
        listen: host:port on which `riskfed node run` serves both over HTTP: stay on loopback, or on an address that only the bank's
            monitoring reaches.
    """

    file: Path | None = None
    listen: str | None = Field(default=None, pattern=r"^\S+:[0-9]{1,5}$")

    @model_validator(mode="after")
    def _something_to_serve(self) -> Self:
        if self.file is not None and self.file.suffix != ".prom":
            raise ValueError("file must end in .prom, or no collector takes it")
        if self.listen is not None and self.file is None:
            raise ValueError("listen serves what file holds; set file too")
        return self
