"""What a vault guards and answers for: the bank's records under the consortium's schema, and the keys of the run's banks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from bank_nodes.config import NodeConfig
from bank_nodes.connectors import read_batches
from bank_nodes.keystore import load_identity, read_consortium
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError, SchemaError
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.secure.keys import Identity, fingerprint
from riskfed.storage import MEMORY, Scratch


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the vault guards: loaded and checked once, when it starts.

    Attributes:
        schema: the consortium's schema.
        own: what this bank reads of it (`own_part`); None at a party without records.
        records: this bank's records, which meet that; None at a party without.
    """

    schema: Schema
    own: Schema | None
    records: Records | None = field(repr=False)

    @classmethod
    def load(cls, config: NodeConfig) -> Holdings:
        """Read schema and records.

        Raises:
            ConfigurationError: a file is absent or malformed, a database refuses, or no records are named where some are needed.
            SchemaError: records are named, and a vertical schema has no features for this bank.
            ContractError: the records do not meet the schema.
        """
        schema = load_schema(config.loan_schema.file)
        if config.data is None and schema.is_vertical and config.bank not in schema.holders:
            return cls(schema, None, None)
        own = own_part(schema, config.bank)
        return cls(schema, own, load_records(config.source, own))


def own_part(schema: Schema, bank: str) -> Schema:
    """What a bank reads of the consortium's schema: of a vertical one its own part, of others all.

    Raises:
        SchemaError: the schema is vertical, and the bank holds none of its features.
    """
    return schema.part_of(bank) if schema.is_vertical else schema


def load_records(data: DataConfig, schema: Schema) -> Records:
    """Read a bank's records, into its scratch folder if it has one.

    Args:
        data: where they are.
        schema: what the bank reads (`own_part`).

    Raises:
        ConfigurationError: the source is absent, unreadable or refuses; the scratch folder has no room.
        ContractError: the records do not meet the schema.
    """
    storage = MEMORY if data.scratch is None else Scratch(data.scratch)
    return Records.from_batches(read_batches(data, schema), schema, storage)


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
