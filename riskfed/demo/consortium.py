"""Lay out the demo's banks on disk, each with its own folder of records, keys and node file, as so many data centres would have them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from bank_nodes.keystore import generate_identity, write_consortium, write_node_key
from riskfed.datasets import taiwan_consortium, taiwan_schema
from riskfed.schema import Schema
from riskfed.stack.loopback import LoopbackStack


@dataclass(frozen=True, slots=True)
class Consortium:
    """The demo's banks.

    Attributes:
        folder: everything lies below it.
        schema: what a record looks like.
        banks: bank -> its records; the demo needs them all for the pooled comparison, no bank's node does.
        flower_keys: party -> public key of its Flower node.
        coordinator: a further party, which has no records; empty where there is none.
    """

    folder: Path
    schema: Schema
    banks: Mapping[str, pd.DataFrame]
    flower_keys: Mapping[str, Path]
    coordinator: str = ""

    @property
    def parties(self) -> tuple[str, ...]:
        """All that have a node."""
        return tuple(self.flower_keys)

    @property
    def schema_file(self) -> Path:
        """The schema as all parties hold it."""
        return self.folder / "schema.json"

    def node_file(self, bank: str) -> Path:
        """The bank's configuration."""
        return self.folder / bank / "bank.toml"

    def write_node_files(
        self, stack: LoopbackStack, sockets: Path, policies: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Write each bank's configuration, now that the SuperLink's address is known.

        Args:
            stack: has the SuperLink.
            sockets: folder for the vaults' sockets; its path must be short, because a UNIX socket's must be.
            policies: bank -> further lines of its section policy, and further sections behind them, TOML.
        """
        for bank in self.parties:
            self.node_file(bank).write_text(
                _NODE_FILE.format(
                    bank=bank,
                    data=_DATA if bank in self.banks else "",
                    socket=json.dumps(str(sockets / f"{bank}.sock")),
                    superlink=stack.address,
                    certificates=json.dumps(str(stack.root_certificates)),
                    policy=policies.get(bank, ""),
                )
            )


_NODE_FILE = """\
bank = "{bank}"

{data}
[schema]
file = "../schema.json"

[consortium]
file = "../consortium.toml"

[keys]
identity = "identity.pem"

[vault]
socket = {socket}
log = "vault-log.jsonl"
models = "models"

[flower]
superlink = "{superlink}"
root_certificates = {certificates}
private_key = "flower-key"

[policy]
min_rows = 500
{policy}
"""


_DATA = """\
[data]
path = "records.parquet"
"""


def lay_out(
    folder: Path,
    banks: Mapping[str, pd.DataFrame] | None = None,
    schema: Schema | None = None,
    *,
    coordinator: str = "",
) -> Consortium:
    """Write records, schema, keys and the consortium file below `folder`, which must be empty or absent.

    Args:
        folder: everything lies below it.
        banks: bank -> its records; None for `taiwan_consortium`.
        schema: what they are records of; None for `taiwan_schema`.
        coordinator: a further party, without records.
    """
    schema, banks = schema or taiwan_schema(), banks or taiwan_consortium()
    folder.mkdir(parents=True, exist_ok=True)
    publics, flower_keys = {}, {}
    for bank in (*banks, *([coordinator] if coordinator else [])):
        home = folder / bank
        home.mkdir()
        if bank in banks:
            banks[bank].to_parquet(home / "records.parquet", index=False)
        publics[bank] = generate_identity(home / "identity.pem").public
        flower_keys[bank] = write_node_key(home / "flower-key")
    texts = {bank: path.read_text() for bank, path in flower_keys.items()}
    write_consortium(folder / "consortium.toml", publics, texts)
    consortium = Consortium(folder, schema, banks, flower_keys, coordinator)
    consortium.schema_file.write_text(schema.model_dump_json(indent=1))
    return consortium
