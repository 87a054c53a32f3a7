"""Look at a node before it runs: files, keys, schema, records and policy. Nothing is written but scratch, and the only network is that to
the bank's own database, where the records are in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bank_nodes.config import NodeConfig
from bank_nodes.holdings import load_own_keys, load_records, load_schema
from bank_nodes.keystore import read_consortium
from bank_nodes.node import flower_files
from bank_nodes.users import check_separation
from riskfed.errors import ConfigurationError, RiskfedError
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
        records = _look(
            findings,
            "records",
            lambda: load_records(config.data, schema),
            lambda records: f"{len(records)} rows, {len(records.columns)} encoded columns",
        )
        if records is not None:
            defaults = int((records.labels != 0).sum())
            _look(
                findings,
                "policy",
                lambda: config.policy.check_records(records, schema.target),
                lambda _: f"{defaults} defaults",
            )
    _look(findings, "vault", lambda: _places(config), str)
    if config.flower is not None:
        _look(findings, "flower", lambda: flower_files(config), str)
        if config.flower.user is not None:
            _look(findings, "users", lambda: check_separation(config), str)
    return findings


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
