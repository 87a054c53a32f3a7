"""A bank's node file: TOML, with any key overridden by the environment; how, says `riskfed.settings_file`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Final

from pydantic import Field

from bank_nodes.answers.settings import AnswersConfig
from bank_nodes.policy import Policy
from bank_nodes.settings import (
    ConsortiumConfig,
    DataConfig,
    FlowerConfig,
    KeysConfig,
    MetricsConfig,
    SchemaConfig,
    VaultConfig,
)
from riskfed.errors import ConfigurationError
from riskfed.settings_file import FileSettings

_LONGEST_SOCKET_PATH: Final = 107
"""What struct sockaddr_un of Linux holds; macOS holds four bytes less."""


class NodeConfig(FileSettings):
    """Everything that a bank's node is told. Read it by `load_config`.

    Attributes:
        bank: the bank's name in the consortium.
        data: where its records are; None for a party that holds none, the coordinator of vertical logistic regressions.
        flower: None where the node is never run: checking and scoring need no network.
        answers: how a feature holder answers while applicants are scored (`riskfed node answer`); None where it does not.
    """

    prefix: ClassVar[str] = "RISKFED_NODE__"
    secrets: ClassVar[tuple[tuple[str, str], ...]] = (("keys", "passphrase"), ("data", "password"))
    called: ClassVar[str] = "node file"

    bank: str = Field(min_length=1)
    data: DataConfig | None = None
    # BaseModel has a method called schema.
    loan_schema: SchemaConfig = Field(validation_alias="schema")
    consortium: ConsortiumConfig
    keys: KeysConfig
    vault: VaultConfig
    policy: Policy = Policy()
    flower: FlowerConfig | None = None
    metrics: MetricsConfig = MetricsConfig()
    answers: AnswersConfig | None = None

    @property
    def source(self) -> DataConfig:
        """Where the records are, for what cannot do without.

        Raises:
            ConfigurationError: the file has no such section.
        """
        if self.data is None:
            raise ConfigurationError(f"the node file of {self.bank} has no section [data]; say where its records are")
        return self.data


def load_config(path: Path) -> NodeConfig:
    """Read a node file; paths in it are relative to its own folder.

    Raises:
        ConfigurationError: absent, not TOML, a secret in the file, an unknown or missing key, or a value that does not fit. Names
            every such key and where it stands.
    """
    config = NodeConfig.read(path)
    if len(os.fsencode(config.vault.socket)) > _LONGEST_SOCKET_PATH:
        raise ConfigurationError(
            f"node file {path}: vault.socket is {config.vault.socket}, longer than the {_LONGEST_SOCKET_PATH} bytes that the path of "
            "a UNIX socket may have; choose a shorter folder"
        )
    return config
