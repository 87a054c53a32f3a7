"""What a vault guards and answers for: the bank's records under the consortium's schema, and the keys of the run's banks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from bank_nodes.config import NodeConfig
from bank_nodes.connectors import load_frame
from bank_nodes.keystore import load_identity, read_consortium
from riskfed.errors import ConfigurationError, SchemaError
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.secure.keys import Identity, fingerprint


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the vault guards: loaded and checked once, when it starts.

    Attributes:
        schema: the consortium's schema.
        records: this bank's records, which meet it.
    """

    schema: Schema
    records: Records = field(repr=False)

    @classmethod
    def load(cls, config: NodeConfig) -> Holdings:
        """Read schema and records.

        Raises:
            ConfigurationError: a file is absent or malformed.
            ContractError: the records do not meet the schema.
        """
        schema = load_schema(config.loan_schema.file)
        return cls(schema, Records.from_frame(load_frame(config.data, schema), schema))


def load_schema(path: Path) -> Schema:
    """Read a schema file.

    Raises:
        ConfigurationError: absent, or not JSON.
        SchemaError: not a schema.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the schema {path}: {error.strerror}; correct schema.file") from None
    except ValueError:
        raise ConfigurationError(f"schema {path} is not JSON; copy the consortium's file again") from None
    if not isinstance(fields, dict):
        raise SchemaError(f"schema {path} is not a JSON object; copy the consortium's file again")
    return Schema(**fields)


def load_own_keys(config: NodeConfig) -> tuple[Identity, dict[str, str]]:
    """The bank's signing key, and the consortium's public keys.

    Raises:
        ConfigurationError: a file is unfit, or the consortium knows this bank by another key.
    """
    passphrase = config.keys.passphrase
    identity = load_identity(config.keys.identity, None if passphrase is None else passphrase.get_secret_value())
    pinned = read_consortium(config.consortium.file)
    if config.bank not in pinned:
        raise ConfigurationError(
            f"bank {config.bank} is not in the consortium file {config.consortium.file}; correct either"
        )
    if pinned[config.bank] != identity.public:
        raise ConfigurationError(
            f"the consortium file has key {fingerprint(pinned[config.bank])} for bank {config.bank}, its identity key is "
            f"{fingerprint(identity.public)}; all banks must pin the bank's present key"
        )
    return identity, pinned
