"""What the registry keeps of a vertical model: the label holder's part, whole; of each feature holder's part its name and sha256, no more.

Beside ``model.json``, the label holder's model over its own columns and those that stand for a feature holder's answer (one 0/1 column for
each split, or one partial score), lie

- ``partners.json``: a list of `riskfed.vertical_model.PartnerReference`, in the order of their columns;
- ``fallback.json``: the label holder's own model, over its own columns alone, for applicants whom a partner does not know.

A feature holder's columns, thresholds and values are in its vault and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from riskfed.errors import RiskfedError
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.scoring import read_model
from riskfed.vertical_model import PartnerReference

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

FALLBACK: Final = "fallback.json"
PARTNERS: Final = "partners.json"
FEATURE_HOLDERS: Final = "feature_holders"
"""Tag of a run and of a version: names of the parties that hold the other columns; absent where there are none."""

ALONE: Final = "auc_label_holder_alone"
"""Figure of a vertical release: AUC of the fallback, on the same held-out customers."""


def write_parts(release: ModelRelease, folder: Path) -> None:
    """Write ``partners.json`` and ``fallback.json`` of a vertical model; nothing of others."""
    if release.partners:
        (folder / PARTNERS).write_text(_listed(release.partners))
        (folder / FALLBACK).write_bytes(release.fallback)


def part_tags(release: ModelRelease) -> dict[str, str]:
    """Tags that say who holds the rest of a vertical model, and by which sha256 the files beside it are known."""
    if not release.partners:
        return {}
    return {
        FEATURE_HOLDERS: ", ".join(partner.party for partner in release.partners),
        "partners_sha256": hashlib.sha256(_listed(release.partners).encode()).hexdigest(),
        "fallback_sha256": hashlib.sha256(release.fallback).hexdigest(),
    }


def common_facts(release: ModelRelease) -> dict[str, str]:
    """What readers of a vertical run are told besides: how many customers all parties have, where it is known."""
    common = common_customers(release) if release.partners else None
    return {} if common is None else {"common_customers": str(common)}


def common_customers(release: ModelRelease) -> int | None:
    """Customers whom all parties of a vertical job have, development and held-out ones; None where nothing was held out."""
    if release.evaluation is None:
        return None
    who = release.evaluation.population
    return who.development_rows + who.rows


def joint_metrics(release: ModelRelease) -> dict[str, float]:
    """Figures of the section ``joint``: what the other columns gain over the label holder's own, and who has how many splits."""
    if not release.partners:
        return {}
    figures = {
        f"joint/splits {partner.party}": float(partner.splits)
        for partner in release.partners
        if partner.answers != "partial_score"
    }
    if (common := common_customers(release)) is not None:
        figures["joint/common_customers"] = float(common)
    if ALONE in release.metrics:
        alone = release.metrics[ALONE]
        figures |= {f"joint/{ALONE}": alone, "joint/auc_gain": release.metrics["auc"] - alone}
    return figures


def part_faults(folder: Path, schema: Schema, stated: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with the files beside a vertical model; empty for a sound one, and for other models.

    Args:
        folder: the model's, as it came back from the registry.
        schema: the model's.
        stated: tags of the registered version.
    """
    if FEATURE_HOLDERS not in stated:
        return ("there are partners, and the registry names none",) if (folder / PARTNERS).exists() else ()
    try:
        partners, fallback = (folder / PARTNERS).read_bytes(), (folder / FALLBACK).read_bytes()
        told = [PartnerReference.model_validate_json(json.dumps(fields)) for fields in json.loads(partners)]
        read_model(fallback, schema.part_of(schema.label_holder))
    except (OSError, ValueError, TypeError, RiskfedError) as error:
        return (f"the fallback or the partners of a joint model cannot be read ({type(error).__name__})",)
    faults = []
    if {partner.party: partner.splits for partner in told if partner.splits} != _their_columns(schema):
        faults.append("the model's columns are not the partners' splits")
    for name, content in (("partners", partners), ("fallback", fallback)):
        if hashlib.sha256(content).hexdigest() != stated.get(f"{name}_sha256"):
            faults.append(f"{name}.json is not what was released (sha256)")
    return tuple(faults)


def other_columns(candidate: ModelVersion, champion: ModelVersion) -> str:
    """Why the figures of two versions decide nothing between them: one of them needs columns of parties that the other does without.

    A service that serves the one would not be set up for the other. Empty where both need the same.
    """
    held = [version.tags.get(FEATURE_HOLDERS, "") for version in (candidate, champion)]
    if held[0] == held[1]:
        return ""
    needs = [f"columns of {names}" if names else "no party's columns" for names in held]
    return f"it needs {needs[0]} besides the label holder's, the champion {needs[1]}: only a person can promote it"


def _their_columns(schema: Schema) -> dict[str, int]:
    """Feature holder -> number of its columns in the model."""
    return {f.holder: len(f.columns) for f in schema.features if f.holder != schema.label_holder}


def _listed(partners: tuple[PartnerReference, ...]) -> str:
    return json.dumps([partner.model_dump(mode="json") for partner in partners], indent=1)
