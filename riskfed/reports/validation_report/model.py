"""Sections 4 and 5: what the model looks at, and how it was fitted."""

from __future__ import annotations

from riskfed.reports.validation_report import linear, scorecard, trees
from riskfed.reports.validation_report.blocks import Block, Section, missing
from riskfed.reports.validation_report.report_input import MONITORING, ReportInput

_WITHHELD = "The banks withheld the model: it is with them alone, and this report cannot show it."
_MONITORED = "This run measured a model in use and released none; see the report of the run that made it, by the sha256 in section 9."


def anatomy(given: ReportInput) -> Section:
    """Binning table and points card, or gains and constraints."""
    if given.card is not None:
        blocks = scorecard.tables(given.card, given.release.schema)
        return Section("model", "Binning table and points card", blocks)
    if given.booster is not None:
        blocks = [*trees.features(given, given.booster), *trees.learning(given, given.booster)]
        return Section("model", "What the trees look at", blocks)
    if given.linear is not None:
        return Section("model", "Points card in parts", linear.tables(given.linear, given.release.schema))
    return Section("model", "The model", [_absent(given)])


def regression(given: ReportInput) -> Section:
    """Coefficients, selection steps and fit."""
    blocks: list[Block] = [_absent(given)]
    if given.card is not None:
        blocks = scorecard.tests(given.card)
    elif given.linear is not None:
        blocks = linear.coefficients(given.linear)
    elif given.booster is not None:
        blocks = [missing("Trees have no coefficients; section 4 shows what they look at.")]
    return Section("coefficients", "Coefficients and their tests", blocks)


def _absent(given: ReportInput) -> Block:
    return missing(_MONITORED if given.release.kind == MONITORING else _WITHHELD)
