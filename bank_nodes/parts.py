"""A feature holder's parts of vertical models: its splits, which never leave it.

    models/<run>/part.json      `riskfed.vertical_model.FeaturePart.to_bytes`, mode 0600

The label holder's model names a part by the sha256 of these bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from bank_nodes.models import check_run_name, store_files
from riskfed.errors import ConfigurationError, RegistryError
from riskfed.files import PRIVATE
from riskfed.linear_model import Part, ScorePart, read_part
from riskfed.plan import Plan
from riskfed.scorecard.tables import markdown

PART_FILE: Final = "part.json"


def store_part(folder: Path, plan: Plan, part: Part) -> Path:
    """Write the part that a run has made, whole or not at all.

    Returns:
        The run's own folder.

    Raises:
        ConfigurationError: it cannot be written.
        PlanError: the run's name cannot be a folder's.
    """
    return store_files(folder, plan.run, {PART_FILE: part.to_bytes()}, mode=PRIVATE)


def load_part(folder: Path, sha256: str) -> Part:
    """Read the part with this sha256 (hexadecimal).

    Raises:
        ConfigurationError: this bank has none, or its file is damaged or cannot be read.
    """
    for path in sorted(folder.glob(f"*/{PART_FILE}")):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"cannot read {path}: {error.strerror}; the bank must mend its permissions"
            ) from None
        if hashlib.sha256(content).hexdigest() == sha256:
            return _read(path, content)
    raise ConfigurationError(
        f"no part {sha256[:12]} of a vertical model in {folder}, or a damaged one; take part in a run first, or restore it from a backup"
    )


def describe_part(folder: Path, run: str) -> str:
    """A run's part in Markdown, for this party's own eyes: a points card, or the splits.

    Raises:
        ConfigurationError: the run left no part here, or its file is damaged.
        PlanError: no run has such a name.
    """
    check_run_name(run)
    path = folder / run / PART_FILE
    try:
        part = _read(path, path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"no part of run {run} in {folder} ({error.strerror}); see the vault's log") from None
    if isinstance(part, ScorePart):
        return part.as_text()
    rows = [["split", "column", "goes right from", "missing goes"]]
    rows += [
        [str(number), rule.column, f"{rule.threshold:.9g}", "left" if rule.default_left else "right"]
        for number, rule in enumerate(part.rules)
    ]
    return f"{part.party}: {len(part.rules)} splits of a joint model of trees. The label holder gets decisions.\n\n{markdown(rows)}"


def _read(path: Path, content: bytes) -> Part:
    try:
        return read_part(content)
    except RegistryError:
        raise ConfigurationError(f"{path} is no part that this release can read; restore it from a backup") from None
