"""Settings of a process from a TOML file, with any key overridden by the environment.

With the prefix RISKFED_NODE__, the key ``min_rows`` of section ``policy`` is overridden by RISKFED_NODE__POLICY__MIN_ROWS. A key that does
not exist is refused by name, wherever it stands: a misspelt rule must not silently fall back to its default. Secrets come from the
environment alone, directly or as ..._FILE, which names a file that holds the secret.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from riskfed.errors import ConfigurationError

_Model = TypeVar("_Model", bound=BaseModel)


class FileSettings(BaseModel):
    """Base class of the settings of one kind of process. Read them by `read`.

    Attributes:
        prefix: of the environment's variables, in capitals, with two underscores at its end.
        secrets: (section, key) of what must not stand in the file.
        called: what messages call the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: ClassVar[str]
    secrets: ClassVar[tuple[tuple[str, str], ...]] = ()
    called: ClassVar[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; paths in it are relative to its own folder.

        Raises:
            ConfigurationError: absent, not TOML, a secret in the file, an unknown or missing key, or a value that does not fit. Names
                every such key and where it stands.
        """
        try:
            settings = cls(**_merged(cls._tables(path), cls._environment()))
        except ValidationError as error:
            raise ConfigurationError(cls._reasons(path, error)) from None
        return _anchored(settings, path.resolve().parent)

    @classmethod
    def _tables(cls, path: Path) -> dict[str, Any]:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"cannot read the {cls.called} {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{cls.called} {path} is not TOML: {error}") from None
        for section, key in cls.secrets:
            if key in _table(tables, section):
                raise ConfigurationError(
                    f"{cls.called} {path}: {section}.{key} is a secret and must not stand in a file that is copied around; "
                    f"set {cls._variable(section, key)} or {cls._variable(section, key)}_FILE"
                )
        return tables

    @classmethod
    def _environment(cls) -> dict[str, Any]:
        """Variables PREFIX__SECTION__KEY as nested tables, unknown ones too, so that they are refused."""
        tables: dict[str, Any] = {}
        for variable, text in os.environ.items():
            if not variable.startswith(cls.prefix):
                continue
            *sections, key = variable.removeprefix(cls.prefix).lower().split("__")
            table = tables
            for section in sections:
                table = table.setdefault(section, {})
                if not isinstance(table, dict):
                    raise ConfigurationError(f"environment variable {variable}: {section} is a key, not a section")
            secret = key.removesuffix("_file")
            if secret != key and (*sections, secret) in cls.secrets:
                table[secret] = _secret(variable, Path(text))
            else:
                table[key] = _listed(variable, text) if text.startswith("[") else text
        return tables

    @classmethod
    def _variable(cls, *place: str) -> str:
        return cls.prefix + "__".join(place).upper()

    @classmethod
    def _reasons(cls, path: Path, error: ValidationError) -> str:
        """One clause for each finding, with the key and where it stands; never the value, which may be a secret."""
        clauses = []
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            place = [str(part) for part in item["loc"]]
            variable = cls._variable(*place)
            source = f"environment variable {variable}" if variable in os.environ else f"{cls.called} {path}"
            what = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
            clauses.append(f"{source}: {'.'.join(place)}: {what}")
        return "; ".join(clauses)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables with every key of ``above`` laid over them."""
    merged = dict(below)
    for key, value in above.items():
        beneath = merged.get(key)
        merged[key] = _merged(beneath, value) if isinstance(beneath, dict) and isinstance(value, dict) else value
    return merged


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


def _anchored(model: _Model, folder: Path) -> _Model:
    """A copy whose relative paths start at `folder`."""
    changed: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changed[name] = folder / value.expanduser()
        elif isinstance(value, BaseModel):
            changed[name] = _anchored(value, folder)
        elif isinstance(value, tuple):
            changed[name] = tuple(_anchored(one, folder) if isinstance(one, BaseModel) else one for one in value)
    return model.model_copy(update=changed)
