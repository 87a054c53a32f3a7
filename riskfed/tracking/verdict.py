"""What an analyst reads first: a run's verdict in one line, its note, and a version's description."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from riskfed.protocols.release import ModelRelease

_FIGURES = {
    "auc": "AUC",
    "ks": "KS",
    "logloss": "log-loss",
    "brier": "Brier score",
    "rows": "held-out loans",
    "defaults": "held-out defaults",
}


def booster_sha256(release: ModelRelease) -> str:
    """sha256 (hex) of the booster's bytes, as every bank can compute it from its own copy."""
    return hashlib.sha256(release.booster).hexdigest()


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
    booster = f"- booster sha256: `{booster_sha256(release)}`"
    return "\n".join([f"**{verdict}**", "", figures_table(release.metrics), "", *told, schema, booster])


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4f}"
