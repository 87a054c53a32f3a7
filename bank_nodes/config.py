"""A bank's node file: TOML, with any key overridden by the environment.

The key ``min_rows`` of section ``policy`` is overridden by RISKFED_NODE__POLICY__MIN_ROWS. A key that does not exist is refused by
name, wherever it stands: a misspelt rule of a policy must not silently fall back to its default. Secrets come from the
environment alone, directly or as ..._FILE, which names a file that holds the secret.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

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

PREFIX: Final = "RISKFED_NODE__"
_LONGEST_SOCKET_PATH: Final = 107
"""What struct sockaddr_un of Linux holds; macOS holds four bytes less."""
_SECRETS: Final = (("keys", "passphrase"), ("data", "password"))
_Model = TypeVar("_Model", bound=BaseModel)


class NodeConfig(BaseSettings):
    """Everything that a bank's node is told. Read it by `load_config`.

    Attributes:
        bank: the bank's name in the consortium.
        flower: None where the node is never run: checking and scoring need no network.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    bank: str = Field(min_length=1)
    data: DataConfig
    # BaseModel has a method called schema.
    loan_schema: SchemaConfig = Field(validation_alias="schema")
    consortium: ConsortiumConfig
    keys: KeysConfig
    vault: VaultConfig
    policy: Policy = Policy()
    flower: FlowerConfig | None = None
    metrics: MetricsConfig = MetricsConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the file."""
        return _Environment(settings_cls), init_settings


def load_config(path: Path) -> NodeConfig:
    """Read a node file; paths in it are relative to its own folder.

    Raises:
        ConfigurationError: absent, not TOML, a secret in the file, an unknown or missing key, or a value that does not fit. Names
            every such key and where it stands.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the node file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"node file {path} is not TOML: {error}") from None
    for section, key in _SECRETS:
        if key in _table(tables, section):
            raise ConfigurationError(
                f"node file {path}: {section}.{key} is a secret and must not stand in a file that is copied around; "
                f"set {_variable(section, key)} or {_variable(section, key)}_FILE"
            )
    if odd := sorted(key for key in tables if key.startswith("_")):
        raise ConfigurationError(f"node file {path}: unknown key {', '.join(odd)}")
    try:
        config = NodeConfig(**tables)
    except ValidationError as error:
        raise ConfigurationError(_reasons(path, error)) from None
    config = _anchored(config, path.resolve().parent)
    if len(os.fsencode(config.vault.socket)) > _LONGEST_SOCKET_PATH:
        raise ConfigurationError(
            f"node file {path}: vault.socket is {config.vault.socket}, longer than the {_LONGEST_SOCKET_PATH} bytes that the path of "
            "a UNIX socket may have; choose a shorter folder"
        )
    return config


class _Environment(PydanticBaseSettingsSource):
    """Variables RISKFED_NODE__SECTION__KEY as nested tables. Unlike pydantic-settings' own source, it passes on unknown keys, so
    that they are refused."""

    def __call__(self) -> dict[str, Any]:
        return _environment()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Asked for by the base class; this source gives all fields at once."""
        return None, field_name, False


def _environment() -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for variable, text in os.environ.items():
        if not variable.startswith(PREFIX):
            continue
        *sections, key = variable.removeprefix(PREFIX).lower().split("__")
        table = tables
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigurationError(f"environment variable {variable}: {section} is a key, not a section")
        secret = key.removesuffix("_file")
        if secret != key and (*sections, secret) in _SECRETS:
            table[secret] = _secret(variable, Path(text))
        else:
            table[key] = _listed(variable, text) if text.startswith("[") else text
    return tables


def _listed(variable: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigurationError(f"environment variable {variable} starts as a JSON list and is none") from None


def _secret(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable} names {path}, which cannot be read ({type(error).__name__})") from None


def _table(tables: dict[str, Any], section: str) -> dict[str, Any]:
    table = tables.get(section)
    return table if isinstance(table, dict) else {}


def _variable(*place: str) -> str:
    return PREFIX + "__".join(place).upper()


def _reasons(path: Path, error: ValidationError) -> str:
    """One clause for each finding, with the key and where it stands; never the value, which may be a secret."""
    clauses = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        place = [str(part) for part in item["loc"]]
        source = f"environment variable {_variable(*place)}" if _variable(*place) in os.environ else f"node file {path}"
        what = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
        clauses.append(f"{source}: {'.'.join(place)}: {what}")
    return "; ".join(clauses)


def _anchored(model: _Model, folder: Path) -> _Model:
    """A copy whose relative paths start at `folder`."""
    changed: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changed[name] = folder / value.expanduser()
        elif isinstance(value, BaseModel):
            changed[name] = _anchored(value, folder)
    return model.model_copy(update=changed)
