"""Section 8: how groups of people are treated, what speaks against applicants, and vintages."""

from __future__ import annotations

from collections.abc import Sequence

from riskfed.evaluation.limits import Colour
from riskfed.evaluation.record import Evaluation, Group, Reason
from riskfed.reports.validation_report import charts
from riskfed.reports.validation_report.blocks import (
    Block,
    Cell,
    Column,
    Mark,
    Picture,
    Pictures,
    Section,
    Side,
    Table,
    Terms,
    missing,
)
from riskfed.reports.validation_report.performance import UNMEASURED
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.stability import group_table
from riskfed.reports.validation_report.text_format import NONE, count, decimal, percent, ratio
from riskfed.schema import Schema


def treatment(given: ReportInput) -> Section:
    """AIR and SMD, reasons, vintages."""
    evaluation, title = given.release.evaluation, "Treatment of groups, reasons and vintages"
    if evaluation is None:
        return Section("treatment", title, [missing(UNMEASURED)])
    blocks = [
        *_protected(given, evaluation),
        *_reasons(evaluation.reasons),
        *_vintages(given.release.schema, evaluation),
    ]
    return Section("treatment", title, blocks)


def _protected(given: ReportInput, evaluation: Evaluation) -> list[Block]:
    groups = [group for group in evaluation.groups if group.role == "protected"]
    if not groups:
        if any(attribute.role == "protected" for attribute in given.release.schema.attributes):
            return [missing("No protected group is large enough to be shown.")]
        return [missing("AIR and SMD: the schema names no protected attribute.")]
    terms = Terms(
        (
            ("AIR", "adverse impact ratio: approval rate of the group over that of the reference group; 1 is equal"),
            (
                "SMD",
                "standardised mean difference: how many standard deviations the group's mean points are off the reference group's",
            ),
        )
    )
    names = dict.fromkeys(group.attribute for group in groups)
    tables = [
        _attribute(given, name, [group for group in groups if group.attribute == name], evaluation) for name in names
    ]
    return [terms, *tables]


def _attribute(given: ReportInput, name: str, groups: Sequence[Group], evaluation: Evaluation) -> Table:
    reference = _reference(given.release.schema, name)
    columns = (
        Column(name, number=False),
        Column("Loans"),
        Column("Approved"),
        Column("AIR"),
        Column("SMD"),
        Column("Default rate"),
        Column("Mean PD"),
        Column("AUC"),
        Column("Reading", number=False),
    )
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        rates = percent(ratio(group.defaults, group.rows), 2), percent(group.mean_pd, 2)
        own = (
            count(group.rows),
            percent(ratio(group.approved, group.rows)),
            decimal(group.air, 3),
            decimal(group.smd, 3),
        )
        reading: Cell = "reference" if group.level == reference else _reading(given, group.air)
        rows.append((group.level, *own, *rates, decimal(group.auc), reading))
    note = (
        f"Approved: {evaluation.cutoff} points or more, {percent(evaluation.approval_rate)} of all held-out loans. The model does not "
        "see this attribute unless it is a feature too. The ratio is watched by the consortium's choice; no legal duty is claimed."
    )
    return Table(f"Treatment by {name}, against {reference or 'the reference group'}", columns, rows, note)


def _reference(schema: Schema, name: str) -> str:
    found = next((attribute for attribute in schema.attributes if attribute.name == name), None)
    return found.groups[found.reference] if found is not None and found.role == "protected" else ""


def _reading(given: ReportInput, air: float | None) -> Cell:
    if air is None:
        return NONE
    limit = given.limit("air")
    colour: Colour = "green"
    if limit.amber is not None and air < limit.amber:
        colour = "amber"
    if limit.red is not None and air < limit.red:
        colour = "red"
    return Mark("within limits" if colour == "green" else "approved less often", colour)


def _reasons(reasons: Sequence[Reason]) -> list[Block]:
    if not reasons:
        return [missing("Reasons: none were counted.")]
    ranked = sorted(reasons, key=lambda reason: (-reason.first, -reason.among_four, reason.feature))
    largest = max(reason.among_four for reason in ranked)
    columns = (
        Column("Feature", number=False),
        Column("First reason", "of loans"),
        Column("Among the first four", "of loans"),
        Column("", number=False),
    )
    rows = [
        (reason.feature, percent(reason.first), percent(reason.among_four), charts.cell_bar(reason.among_four, largest))
        for reason in ranked
    ]
    note = "A reason is a feature that raises a loan's PD above that of the average loan; the larger its share, the earlier it comes."
    return [
        Table("How often each feature is an adverse reason, over the held-out loans that have any", columns, rows, note)
    ]


def _vintages(schema: Schema, evaluation: Evaluation) -> list[Block]:
    vintages = evaluation.vintages
    if schema.cohort is None:
        return [missing("Vintages: the schema names no cohort.")]
    if not vintages:
        return [missing("Vintages: no cohort is large enough to be shown.")]
    names, bads = [vintage.cohort for vintage in vintages], [vintage.defaults for vintage in vintages]
    loans, cohort = [vintage.rows for vintage in vintages], schema.cohort.name
    groups = [group for group in evaluation.groups if group.role == "cohort"]
    pds = [group.mean_pd for group in groups] if [group.level for group in groups] == names else None
    drawn = charts.rates("Default rate by cohort", names, bads, loans, pds, cohort)
    rate = Picture(drawn, "Default rate of the held-out loans by cohort.")
    if pds is not None:
        volume = Picture(charts.volumes("Loans by cohort", names, loans, cohort), "Held-out loans by cohort.")
        return [Pictures((rate, volume)), group_table(cohort, groups, evaluation)]
    columns = (Column(cohort, number=False), Column("Loans"), Column("Defaults"), Column("Default rate"))
    rows = [
        (name, count(all_), count(bad), percent(ratio(bad, all_), 2))
        for name, bad, all_ in zip(names, bads, loans, strict=True)
    ]
    return [Side(Pictures((rate,)), Table("Vintages: held-out loans by cohort", columns, rows, narrow=True))]
