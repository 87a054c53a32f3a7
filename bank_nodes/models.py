"""The bank's own copies of the models that it took part in.

    models/
      current               name of the run whose model is in use
      <run>/booster.json    XGBoost's JSON
      <run>/release.json    schema and its fingerprint, pooled metrics, sha256 of the booster

A model appears as a whole or not at all: it is written beside its place and then renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from riskfed.errors import ConfigurationError, PlanError, RiskfedError
from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema

_POINTER = "current"
_RUN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on the bank's disk.

    Attributes:
        run: the run that made it.
        booster: XGBoost's JSON.
        sha256: of `booster`, hexadecimal.
        schema: how applicants are encoded for it.
    """

    run: str
    booster: bytes = field(repr=False)
    sha256: str
    schema: Schema = field(repr=False)


def check_run_name(run: str) -> None:
    """Refuse names that could not be a folder's: the name comes from the server.

    Raises:
        PlanError: such a name.
    """
    if not _RUN_NAME.fullmatch(run) or run == _POINTER:
        raise PlanError(f"run {run!r} cannot be stored under its name; the operator must start it under another one")


def store_release(folder: Path, plan: Plan, release: ModelRelease) -> Path:
    """Write a finished model and make it the current one.

    Returns:
        The model's own folder.

    Raises:
        ConfigurationError: it cannot be written.
        PlanError: the run's name cannot be a folder's.
    """
    check_run_name(plan.run)
    home = folder / plan.run
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
        _write(draft / "booster.json", release.booster)
        _write(draft / "release.json", json.dumps(_facts(plan, release), indent=1, sort_keys=True).encode())
        if home.exists():
            # A vault that was killed between storing and logging; the run was done again as another attempt.
            shutil.rmtree(home)
        draft.replace(home)
        pointer = folder / f".{_POINTER}"
        _write(pointer, f"{plan.run}\n".encode())
        pointer.replace(folder / _POINTER)
        _sync_folder(folder)
    except OSError as error:
        raise ConfigurationError(
            f"cannot store the model in {folder}: {error.strerror}; the bank must mend its vault.models"
        ) from None
    return home


def load_model(folder: Path, run: str | None = None) -> StoredModel:
    """Read a model that this bank has stored.

    Args:
        folder: the models' folder.
        run: None for the current model.

    Raises:
        ConfigurationError: there is none, or its files are damaged.
    """
    try:
        name = run or (folder / _POINTER).read_text().strip()
        check_run_name(name)
        booster = (folder / name / "booster.json").read_bytes()
        facts: dict[str, Any] = json.loads((folder / name / "release.json").read_bytes())
    except OSError as error:
        wanted = "current model" if run is None else f"model of run {run}"
        raise ConfigurationError(
            f"no {wanted} in {folder}: {error.strerror}; take part in a run first, or name another one"
        ) from None
    except ValueError:
        raise ConfigurationError(
            f"release.json of the model in {folder} is damaged; restore it from a backup"
        ) from None
    sha256 = hashlib.sha256(booster).hexdigest()
    try:
        schema = Schema(**facts["schema"])
        intact = (sha256, schema.fingerprint) == (facts["booster_sha256"], facts["schema_fingerprint"])
    except (RiskfedError, KeyError, TypeError):
        intact = False
    if not intact:
        raise ConfigurationError(
            f"the files of model {name} in {folder} do not belong together; restore them from a backup"
        )
    return StoredModel(name, booster, sha256, schema)


def _facts(plan: Plan, release: ModelRelease) -> dict[str, Any]:
    """What release.json says."""
    return {
        "run": plan.run,
        "attempt": plan.attempt,
        "roster": list(plan.roster),
        "protection": plan.protection,
        "job": plan.job.model_dump(mode="json"),
        "schema": release.schema.model_dump(mode="json"),
        "schema_fingerprint": release.schema.fingerprint,
        "metrics": dict(release.metrics),
        "fixed_point_bits": release.fixed_point_bits,
        "booster_sha256": hashlib.sha256(release.booster).hexdigest(),
    }


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
