"""Look at a node before it runs: files, keys, schema, records and policy. Nothing is written but scratch, and the only network is that to
the bank's own database, where the records are in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from bank_nodes.config import NodeConfig
from bank_nodes.holdings import load_own_keys, load_records, load_schema, own_part
from bank_nodes.keystore import read_consortium
from bank_nodes.node import flower_files
from bank_nodes.users import check_separation
from riskfed.errors import ConfigurationError, RiskfedError
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.secure.keys import fingerprint

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: what it was.
        detail: what was found; where `error` is set, its message.
        error: what is wrong; None where all is well.
    """

    area: str
    detail: str
    error: RiskfedError | None = None

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.error is None


def check_node(config: NodeConfig) -> list[Finding]:
    """Look at everything that a run will need, and go on after what is wrong.

    What depends on something that is wrong is left out: a policy on records is not judged on records that cannot be read.
    """
    findings: list[Finding] = []
    _look(findings, "consortium", lambda: _consortium(config), str)
    _look(findings, "identity key", lambda: load_own_keys(config)[0], lambda identity: fingerprint(identity.public))
    schema = _look(
        findings,
        "schema",
        lambda: load_schema(config.loan_schema.file),
        lambda schema: f"{schema.name} version {schema.version}, fingerprint {schema.fingerprint[:16]}",
    )
    if schema is not None:
        own: Schema | None = schema
        if schema.is_vertical and config.data is None and config.bank not in schema.holders:
            findings.append(Finding("own part", "no records: the coordinator, which holds the key"))
            own = None
        elif schema.is_vertical:
            _look(findings, "alignment", _alignment, str)
            own = _look(findings, "own part", lambda: own_part(schema, config.bank), partial(_described_part, schema))
        if own is not None:
            _look_at_records(findings, config, own)
    _look(findings, "vault", lambda: _places(config), str)
    if config.flower is not None:
        _look(findings, "flower", lambda: flower_files(config), str)
        if config.flower.user is not None:
            _look(findings, "users", lambda: check_separation(config), str)
    return findings


def _look_at_records(findings: list[Finding], config: NodeConfig, own: Schema) -> None:
    records = _look(findings, "records", lambda: load_records(config.source, own), _described_records)
    if records is not None:
        defaults = f"{int((records.labels != 0).sum())} defaults" if own.target else "this bank holds no labels"
        _look(findings, "policy", lambda: config.policy.check_records(records, own.target), lambda _: defaults)


def _described_records(records: Records) -> str:
    found = f"{len(records)} rows, {len(records.columns)} encoded columns"
    return found if records.ids is None else f"{found}, {len(records.ids)} customer ids, each once"


def _described_part(schema: Schema, own: Schema) -> str:
    """What this bank is to a vertical schema."""
    role = "label holder" if own.target else f"feature holder; labels are with {schema.label_holder}"
    others = ", ".join(holder for holder in schema.holders if holder != own.features[0].holder)
    return f"{role}; {len(own.features)} of {len(schema.features)} features, the others with {others}"


def _alignment() -> str:
    """Whether what finds the common customers is installed. It is looked for, and not loaded."""
    if find_spec("private_set_intersection") is None:
        raise ConfigurationError(
            "openmined-psi, which finds the common customers, is not installed; install riskfed[vertical]"
        )
    return "private set intersection is installed"


def _consortium(config: NodeConfig) -> str:
    banks = read_consortium(config.consortium.file)
    return ", ".join(f"{bank} {fingerprint(public)[:9]}" for bank, public in sorted(banks.items()))


def _places(config: NodeConfig) -> str:
    vault = config.vault
    for key, path in (("socket", vault.socket.parent), ("log", vault.log.parent), ("models", vault.models)):
        nearest = _nearest_folder(path)
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"vault.{key}: cannot write in {nearest}; mend its permissions or choose another folder"
            )
    if vault.log.exists() and not os.access(vault.log, os.R_OK | os.W_OK):
        raise ConfigurationError(f"vault.log: cannot write {vault.log}; mend its permissions")
    return f"socket {vault.socket}"


def _nearest_folder(path: Path) -> Path:
    """`path`, or the first folder above it that exists: missing ones are made when the vault starts."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _look(findings: list[Finding], area: str, look: Callable[[], T], describe: Callable[[T], str]) -> T | None:
    try:
        found = look()
    except RiskfedError as error:
        findings.append(Finding(area, str(error), error))
        return None
    findings.append(Finding(area, describe(found)))
    return found
