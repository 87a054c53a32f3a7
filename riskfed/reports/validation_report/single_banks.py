"""Figures of single banks: of those alone whose policy shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from riskfed.reports.validation_report.blocks import Block, Column, Table, missing
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.text_format import count, decimal, percent, ratio

_UNSHOWN = "By bank: no bank chose to show figures of its own (show_own_metrics in its policy)."


def single_banks(given: ReportInput) -> Block:
    """A table of the banks that show their own held-out loans' figures, or why there is none."""
    try:
        told: Mapping[str, Mapping[str, float]] = json.loads(given.facts.get("bank_figures", "{}"))
        rows = [(bank, *_figures(figures)) for bank, figures in sorted(told.items())]
    except (ValueError, TypeError, AttributeError):
        return missing("By bank: the run's record of single banks' figures cannot be read.")
    if not rows:
        return missing(_UNSHOWN)
    columns = (
        Column("Bank", number=False),
        Column("Loans"),
        Column("Default rate"),
        Column("AUC"),
        Column("KS"),
        Column("Log-loss", "federated"),
        Column("Log-loss", "own model alone"),
    )
    note = "On each bank's own held-out loans. Other banks keep their figures to themselves."
    return Table("Banks that show their own figures", columns, rows, note)


def _figures(figures: Mapping[str, float]) -> tuple[str, ...]:
    rows, defaults = figures.get("rows"), figures.get("defaults")
    rate = None if rows is None or defaults is None else ratio(defaults, rows)
    ranked = (decimal(figures.get(name)) for name in ("auc", "ks", "federated_logloss", "alone_logloss"))
    return (count(rows), percent(rate, 2), *ranked)
