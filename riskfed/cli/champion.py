"""Fill in a run file's job the model that it is about: the champion of MLflow's registry."""

from __future__ import annotations

import json
from pathlib import Path

from riskfed.errors import ConfigurationError


def name_champion(job: Path, alias: str = "champion") -> Path:
    """Write a copy of a run file whose job names the champion, beside it: ``run.toml`` -> ``run.with-champion.json``.

    The champion is that of the run file's ``tracking`` table. A monitoring job gets it as ``model_sha256``, others as ``champion_sha256``.

    Returns:
        The copy's path, or `job` itself where it names a model already.

    Raises:
        ConfigurationError: the file cannot be read, or tracks no registered model.
        RegistryError: the registry has no such model, or cannot be reached.
    """
    from riskfed.flower.run_file import read_fields

    fields = read_fields(job)
    if not isinstance(stated := fields.get("job"), dict):
        raise ConfigurationError(f"run file {job.name} has no table job; name the job there")
    key = "model_sha256" if stated.get("kind") == "model_monitoring" else "champion_sha256"
    if stated.get(key):
        return job
    tracking = fields.get("tracking") or {}
    if not {"uri", "model"} <= set(tracking):
        raise ConfigurationError(
            f"{job.name} has no tracking table with uri and model, so there is no registry to find the champion in"
        )
    from riskfed.tracking.champion import champion_sha256

    stated[key] = champion_sha256(tracking["uri"], tracking["model"], alias)
    named = job.with_name(f"{job.stem}.with-champion.json")
    named.write_text(json.dumps(fields, indent=1) + "\n")
    return named
