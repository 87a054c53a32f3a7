"""What an analyst reads first: a run's verdict in one line, its note, and a version's description."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from riskfed.jobs import ReleaseForm
from riskfed.protocols.release import ModelRelease

_FIGURES = {
    "auc": "AUC",
    "ks": "KS",
    "logloss": "log-loss",
    "brier": "Brier score",
    "rows": "held-out loans",
    "defaults": "held-out defaults",
}


_FORMS: dict[ReleaseForm, str] = {
    "full": "the model as the banks keep it",
    "reduced": "reduced: predicts as the banks' model does; gains and inner weights are left out, covers are rounded",
    "withheld": "withheld: the banks keep the model, nobody else has it",
}


def booster_sha256(release: ModelRelease) -> str | None:
    """sha256 (hex) of the booster that was released; None where it was withheld."""
    return hashlib.sha256(release.booster).hexdigest() if release.booster else None


def form_facts(release: ModelRelease) -> dict[str, str]:
    """Tags of a run or version that say what of the model was released, and which model of the banks it is."""
    released = booster_sha256(release)
    stated = {} if released is None else {"booster_sha256": released}
    return {"release_form": release.form, "bank_model_sha256": release.model_sha256, **stated}


def headline(metrics: Mapping[str, float], banks: int, protection: str) -> str:
    """One line, such as ``AUC 0.7812, KS 0.4270, 5 banks, masking``."""
    figures = [f"{_FIGURES[name]} {metrics[name]:.4f}" for name in ("auc", "ks") if name in metrics]
    return ", ".join([*(figures or ["nothing held out"]), f"{banks} banks", protection])


def figures_table(metrics: Mapping[str, float]) -> str:
    """Markdown table of the pooled figures on the held-out loans."""
    if not metrics:
        return "No loans were held out, so nothing was measured."
    rows = [f"| {text} | {_shown(metrics[name])} |" for name, text in _FIGURES.items() if name in metrics]
    return "\n".join(["| pooled, held out | |", "|---|---|", *rows])


def note(verdict: str, release: ModelRelease, facts: Mapping[str, str]) -> str:
    """Markdown note of a run or a version; MLflow folds it after about three lines, so the verdict is the first."""
    told = [f"- {name}: {value}" for name, value in facts.items()]
    schema = f"- schema: {release.schema.name} {release.schema.version} (`{release.schema.fingerprint[:12]}`)"
    form = f"- release: {_FORMS[release.form]}"
    digests = [f"- sha256 of the banks' model: `{release.model_sha256}`"]
    if release.form == "reduced":
        digests.insert(0, f"- sha256 of this booster: `{booster_sha256(release)}`")
    return "\n".join([f"**{verdict}**", "", figures_table(release.metrics), "", *told, schema, form, *digests])


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4f}"
