"""The bank's own copies of the models that it took part in.

    models/
      current               name of the run whose model is in use
      <run>/model.json      its JSON
      <run>/release.json    schema and its fingerprint, pooled metrics, sha256 of the model
      <run>/fallback.json   of a vertical model, at the label holder: its own model, for applicants whom a partner does not know
      <run>/part.json       of a vertical model, at a feature holder: see `bank_nodes.parts`

A model appears as a whole or not at all: it is written beside its place and then renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from riskfed.errors import ConfigurationError, PlanError, RegistryError, RiskfedError
from riskfed.evaluation.record import Evaluation
from riskfed.files import sync_folder, write_synced
from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel, read_model, scale_of
from riskfed.vertical_model import PartnerReference

_POINTER = "current"
_RUN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on the bank's disk.

    Attributes:
        run: the run that made it.
        model: its JSON.
        sha256: of `model`, hexadecimal.
        schema: how applicants are encoded for it.
        evaluation: how good it was; None where nothing was measured.
        partners: the parts of a vertical model that feature holders keep; none of others.
    """

    run: str
    model: bytes = field(repr=False)
    sha256: str
    schema: Schema = field(repr=False)
    evaluation: Evaluation | None = field(default=None, repr=False)
    partners: tuple[PartnerReference, ...] = ()

    @property
    def scale(self) -> ScoreScale:
        """The model's own scale, or the usual one."""
        return scale_of(self.model) or ScoreScale()

    def scoring(self) -> ScoringModel:
        """The model, ready to score.

        Raises:
            RegistryError: it does not suit its schema, or needs what other parties know of an applicant.
        """
        if self.partners:
            others = ", ".join(partner.party for partner in self.partners)
            raise RegistryError(
                f"the model of run {self.run} needs answers of {others} about each applicant; use the scoring service (riskfed serve)"
            )
        try:
            return read_model(self.model, self.schema)
        except RegistryError as error:
            raise RegistryError(f"the model of run {self.run}: {error}; restore it from a backup") from None


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
    files = {"model.json": release.model, "release.json": _json(_facts(plan, release))}
    if release.partners:
        files["fallback.json"] = release.fallback
    home = store_files(folder, plan.run, files)
    pointer = folder / f".{_POINTER}"
    try:
        write_synced(pointer, f"{plan.run}\n".encode(), how=os.O_TRUNC)
        pointer.replace(folder / _POINTER)
        sync_folder(folder)
    except OSError as error:
        raise _not_stored(folder, error) from None
    return home


def store_files(folder: Path, run: str, files: Mapping[str, bytes], *, mode: int = 0o666) -> Path:
    """Write a run's files into a folder of its own, its owner's alone, which appears as a whole or not at all.

    Args:
        folder: of all models.
        run: the run's name.
        files: name -> content.
        mode: of the files, less the process's umask.

    Returns:
        The run's folder.

    Raises:
        ConfigurationError: it cannot be written.
        PlanError: the run's name cannot be a folder's.
    """
    check_run_name(run)
    home = folder / run
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
        for name, content in files.items():
            write_synced(draft / name, content, mode=mode)
        sync_folder(draft)
        if home.exists():
            # A vault that was killed between storing and logging; the run was done again as another attempt.
            shutil.rmtree(home)
        draft.replace(home)
        sync_folder(folder)
    except OSError as error:
        raise _not_stored(folder, error) from None
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
        model = (folder / name / "model.json").read_bytes()
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
    sha256 = hashlib.sha256(model).hexdigest()
    try:
        schema = Schema(**facts["schema"])
        told = facts["evaluation"]
        evaluation = None if told is None else Evaluation.model_validate(told)
        partners = tuple(PartnerReference.from_dict(partner) for partner in facts.get("partners", ()))
        intact = (sha256, schema.fingerprint) == (facts["model_sha256"], facts["schema_fingerprint"])
    except (RiskfedError, KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        raise ConfigurationError(
            f"the files of model {name} in {folder} do not belong together; restore them from a backup"
        )
    return StoredModel(name, model, sha256, schema, evaluation, partners)


def find_model(folder: Path, sha256: str) -> StoredModel:
    """Read the model with this sha256 (hexadecimal).

    Raises:
        ConfigurationError: this bank has none, or its files are damaged.
    """
    for facts in sorted(folder.glob("*/release.json")):
        if sha256.encode() in facts.read_bytes():
            stored = load_model(folder, facts.parent.name)
            if stored.sha256 == sha256:
                return stored
    raise ConfigurationError(
        f"no model {sha256[:12]} in {folder}; only a model that this bank helped to make can be measured"
    )


def known_model(folder: Path, plan: Plan, bank: str) -> StoredModel | None:
    """This bank's copy of the model that the plan's job names; None where it names none.

    Raises:
        PlanError: this bank does not have it.
    """
    sha256 = plan.job.needs_model
    try:
        return None if sha256 is None else find_model(folder, sha256)
    except ConfigurationError:
        raise PlanError(
            f"bank {bank} has no sound copy of model {str(sha256)[:12]}, which the job names; a bank measures only models that it helped "
            "to train; the operator must name another model"
        ) from None


def _facts(plan: Plan, release: ModelRelease) -> dict[str, Any]:
    """What release.json says."""
    facts = {
        "run": plan.run,
        "attempt": plan.attempt,
        "roster": list(plan.roster),
        "protection": plan.protection,
        "job": plan.job.model_dump(mode="json"),
        "schema": release.schema.model_dump(mode="json"),
        "schema_fingerprint": release.schema.fingerprint,
        "metrics": dict(release.metrics),
        "evaluation": None if release.evaluation is None else release.evaluation.model_dump(mode="json"),
        "fixed_point_bits": release.fixed_point_bits,
        "model_sha256": hashlib.sha256(release.model).hexdigest(),
    }
    if release.partners:
        facts["partners"] = [partner.to_dict() for partner in release.partners]
    return facts


def _json(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, indent=1, sort_keys=True).encode()


def _not_stored(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot store the model in {folder}: {error.strerror}; the bank must mend its vault.models"
    )
