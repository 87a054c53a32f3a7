"""What an analyst reads first: a run's verdict in one line, its note with the checks, and a version's description."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from riskfed.evaluation.limits import Check, Colour, Verdict
from riskfed.evaluation.privacy import NOT_PRIVATE
from riskfed.jobs import ReleaseForm
from riskfed.plan import SEALED
from riskfed.protocols.release import ModelRelease
from riskfed.tracking.joint import part_tags

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

COLOUR_TAG: Final = "verdict"
"""Tag of a run and of a registered version: green, amber or red; absent where nothing was judged."""
_LINE_TAG = "riskfed.verdict"
_NAME_LENGTH = 250


def model_sha256(release: ModelRelease) -> str | None:
    """sha256 (hex) of the model's JSON that was released; None where it was withheld."""
    return hashlib.sha256(release.model).hexdigest() if release.model else None


def form_facts(release: ModelRelease) -> dict[str, str]:
    """Tags of a run or version that say what of the model was released, and which model of the banks it is."""
    released = model_sha256(release)
    stated = {} if released is None else {"model_sha256": released}
    return {
        "model_kind": release.kind,
        "release_form": release.form,
        "bank_model_sha256": release.model_sha256,
        "differential_privacy": NOT_PRIVATE if release.privacy is None else release.privacy.in_short(),
        **stated,
        **part_tags(release),
    }


def headline(metrics: Mapping[str, float], parties: int, protection: str) -> str:
    """One line, such as ``AUC 0.7812, KS 0.4270, 5 banks, masking``."""
    figures = [f"{_FIGURES[name]} {metrics[name]:.4f}" for name in ("auc", "ks") if name in metrics]
    return ", ".join([*(figures or ["nothing held out"]), f"{parties} {members(protection)}", protection])


def members(protection: str) -> str:
    """What those who took part are called: in a vertical run, not all of them need be banks."""
    return "parties" if protection == SEALED else "banks"


def verdict_tags(line: str, verdict: Verdict | None) -> dict[str, str]:
    """Tags that `run_name` builds a run's name from."""
    return {_LINE_TAG: line, **({} if verdict is None else {COLOUR_TAG: verdict.colour})}


def run_name(tags: Mapping[str, str], standing: str = "") -> str:
    """A run's name, such as ``GREEN: AUC 0.7812, KS 0.4270, 5 banks, masking (champion v3)``.

    The list of runs shows about 18 characters of it: the colour and the AUC.

    Args:
        tags: the run's.
        standing: its model's, such as "champion v3".
    """
    colour, line = tags.get(COLOUR_TAG, "").upper(), tags.get(_LINE_TAG, "")
    told = ": ".join(part for part in (colour, line) if part)
    return (f"{told} ({standing})" if told and standing else told or standing)[:_NAME_LENGTH]


def figures_table(metrics: Mapping[str, float]) -> str:
    """Markdown table of the pooled figures on the held-out loans."""
    if not metrics:
        return "No loans were held out, so nothing was measured."
    rows = [f"| {text} | {_shown(metrics[name])} |" for name, text in _FIGURES.items() if name in metrics]
    return "\n".join(["| pooled, held out | |", "|---|---:|", *rows])


def checks_table(verdict: Verdict) -> str:
    """Markdown table of a verdict's checks, the worst first."""
    worst: tuple[Colour, ...] = ("red", "amber", "green")
    checks = sorted(verdict.checks, key=lambda check: worst.index(check.colour))
    rows = [f"| {c.colour} | {c.what} | {c.value:.4g} | {_limit(c, 'amber')} | {_limit(c, 'red')} |" for c in checks]
    return "\n".join(["| | check | value | amber | red |", "|---|---|---:|---:|---:|", *rows])


def summary(line: str, verdict: Verdict | None) -> str:
    """The first line of a note: the colour, the figures, and what is not green."""
    if verdict is None:
        return (
            f"**{line}** (nothing was judged: no evaluation, for which enough loans of both kinds have to be held out)"
        )
    told = "; ".join(verdict.reasons) or f"all {len(verdict.checks)} checks are green"
    return f"**{verdict.colour.upper()}: {line}** ({told})"


def note(line: str, release: ModelRelease, facts: Mapping[str, str], verdict: Verdict | None = None) -> str:
    """Markdown note of a run or a version; MLflow folds it after about three lines, so the verdict is the first."""
    told = [f"- {name}: {value}" for name, value in facts.items()]
    schema = f"- schema: {release.schema.name} {release.schema.version} (`{release.schema.fingerprint[:12]}`)"
    form = f"- release: {_FORMS[release.form]}"
    digests = [f"- sha256 of the banks' model: `{release.model_sha256}`"]
    if release.form == "reduced":
        digests.insert(0, f"- sha256 of this file: `{model_sha256(release)}`")
    checks = [] if verdict is None else [checks_table(verdict), ""]
    table = figures_table(release.metrics)
    return "\n".join([summary(line, verdict), "", *checks, table, "", *told, schema, form, *digests])


def _limit(check: Check, step: Colour) -> str:
    value = check.limit.amber if step == "amber" else check.limit.red
    if value is None:
        return "none"
    return f"{'below' if check.is_least else 'above'} {value:g}"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4f}"
