"""Contribution runs in MLflow: the reward split as a table, a picture and figures, and a note that says how far to trust it.

There is no model: nothing is registered, judged or reported on. Figures have the sections ``contribution`` (Shapley value by bank, and the
total) and ``reward`` (share by bank).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from riskfed.evaluation.contribution import ContributionRecord
from riskfed.protocols.release import ModelRelease
from riskfed.tracking.measures import safe_name
from riskfed.tracking.tables import Table

_UTILITIES: Final = {"auc": "AUC", "logloss": "negative log-loss", "profit": "profit per applicant"}
_MOST_NAMED = 3


def headline(record: ContributionRecord, protection: str) -> str:
    """One line, such as ``contribution: universal 22%, premier 21%, digital 20%, ..., AUC +0.2698 shared, 5 banks, masking``."""
    ranked = sorted(record.banks, key=lambda bank: (-(bank.reward_share or 0.0), bank.bank))
    named = [f"{bank.bank} {bank.reward_share or 0.0:.0%}" for bank in ranked[:_MOST_NAMED]]
    more = ["..."] if len(ranked) > _MOST_NAMED else []
    shared = f"{_UTILITIES[record.utility]} {record.total:+.4f} shared"
    return "contribution: " + ", ".join([*named, *more, shared, f"{len(record.banks)} banks", protection])


def metrics(release: ModelRelease) -> dict[str, float]:
    """Metric -> value of the sections ``contribution`` and ``reward``; empty for other releases."""
    record = release.contribution
    if record is None:
        return {}
    shapley = {f"contribution/{safe_name(bank.bank)}": bank.shapley for bank in record.banks}
    rewards = {f"reward/{safe_name(b.bank)}": b.reward_share for b in record.banks if b.reward_share is not None}
    return {**shapley, **rewards, "contribution/total of all": record.total}


def tables(release: ModelRelease) -> dict[str, Table]:
    """Name -> table; empty for other releases."""
    return {} if release.contribution is None else {"reward_split": reward_split(release.contribution)}


def reward_split(record: ContributionRecord) -> Table:
    """Banks by falling Shapley value."""
    rows = [
        (b.bank, b.reward_share, b.shapley, b.lower, b.upper, b.leave_one_out, b.copies, b.repeats)
        for b in sorted(record.banks, key=lambda bank: (-bank.shapley, bank.bank))
    ]
    heads = ("bank", "share of reward", "Shapley value", "95 % from", "95 % to", "leave one out")
    return Table((*heads, "rows left out as copies", "as repeats"), rows)


def note(line: str, release: ModelRelease, facts: Mapping[str, str]) -> str:
    """Markdown note of a run; MLflow folds it after about three lines, so the split and its warnings come first."""
    record = release.contribution
    assert record is not None
    warnings = [f"- **{text}**" for text in record.warnings]
    found = "over all coalitions" if record.method == "exact" else f"estimated from {record.orders} orders of the banks"
    reached = record.start + record.total
    told = [
        f"- utility: {_UTILITIES[record.utility]} on {record.rows:,} held-out loans of the banks, {record.defaults:,} in default; "
        f"{record.base:.4f} without a model, {record.start:.4f} where sharing starts, {reached:.4f} of the model of all",
        f"- Shapley values {found}: {record.coalitions} models were trained, of coalitions from size {record.least_coalition} on",
        "- a value's sign and order can be chance where it is small beside the utility's sampling error on the held-out loans",
        *(f"- {name}: {value}" for name, value in facts.items()),
        f"- schema: {release.schema.name} {release.schema.version} (`{release.schema.fingerprint[:12]}`)",
    ]
    return "\n".join([f"**{line}**", "", *warnings, "", reward_split(record).to_markdown(), "", *told])
