"""Sections 4 and 5 of a scorecard: bins, points card, coefficients and their tests."""

from __future__ import annotations

from collections.abc import Sequence

from riskfed.reports.validation_report import charts
from riskfed.reports.validation_report.blocks import Block, Cell, Column, Columns, Mark, Side, Table, Terms, missing
from riskfed.reports.validation_report.text_format import NONE, count, decimal, p_value, percent, ratio
from riskfed.schema import Schema
from riskfed.scorecard.card import CardBin, CardVariable, Scorecard


def tables(card: Scorecard, schema: Schema) -> list[Block]:
    terms = Terms(
        (
            ("WoE", "weight of evidence, ln(share of goods / share of defaults): above 0 is safer than average"),
            (
                "IV",
                "information value: strength of a variable alone; under 0.02 is weak, above 0.3 strong, above 0.5 worth a second look",
            ),
        )
    )
    blocks: list[Block] = [_values(card), terms]
    if not card.variables:
        return [missing("No variable is in the model: it gives every applicant the same score."), *blocks]
    described = {feature.name: feature.description for feature in schema.features}
    return [*blocks, *(_binning(each, described.get(each.feature, "")) for each in card.variables), _points_card(card)]


def _values(card: Scorecard) -> Block:
    """Information values of all features that were looked at."""
    chosen = {variable.feature for variable in card.variables}
    ranked = sorted(card.candidates, key=lambda candidate: (-candidate.iv, candidate.feature))
    if not ranked:
        return missing("The scorecard lists no candidates.")
    largest = ranked[0].iv
    columns = (
        Column("Feature", number=False),
        Column("Bins"),
        Column("IV"),
        Column("", number=False),
        Column("In the model", number=False),
        Column("Why not", number=False),
    )
    rows = [
        (
            each.feature,
            str(sum(row.goods != 0 or row.bads != 0 for row in each.bins)),
            decimal(each.iv),
            charts.cell_bar(each.iv, largest),
            "yes" if each.feature in chosen else "no",
            each.left_out,
        )
        for each in ranked
    ]
    return Table("Features that were looked at, by information value on the development loans", columns, rows)


def _points_card(card: Scorecard) -> Columns:
    columns = (Column("Value", number=False), Column("Points"), Column("Exact"))
    base = Table(
        "Base points", columns, [("every applicant", str(card.base_points), decimal(card.exact_base_points, 2))]
    )
    tables = [
        Table(
            each.feature, columns, [(row.label, signed(row.points), decimal(row.exact_points, 2)) for row in each.bins]
        )
        for each in card.variables
    ]
    most = decimal((len(card.variables) + 1) / 2, 1)
    note = (
        "Add the base points and one line of each variable; more points are safer. Points on the card are rounded line by line, so "
        f"that their sum may differ from the sum of the exact points by up to {most}."
    )
    return Columns("Points card", [base, *tables], note)


def signed(points: int) -> str:
    """Points with their sign."""
    return f"+{points}" if points > 0 else str(points).replace("-", "−")


def _binning(variable: CardVariable, described: str) -> Table:
    published = [row for row in variable.bins if row.goods is not None and row.bads is not None]
    whole = sum((row.goods or 0) + (row.bads or 0) for row in published)
    largest = max((abs(row.woe) for row in variable.bins), default=0.0)
    columns = (
        Column("Bin", number=False),
        Column("Loans"),
        Column("Share"),
        Column("Goods"),
        Column("Defaults"),
        Column("Default rate"),
        Column("WoE"),
        Column("Trend: riskier, safer", number=False),
        Column("Points"),
    )
    rows = [_bin(row, whole, largest) for row in variable.bins]
    hidden = "" if len(published) == len(variable.bins) else "Counts marked – were not released."
    explained = f": {described}" if described else ""
    return Table(
        f"{variable.feature}{explained}. IV {decimal(variable.iv)}, on the development loans", columns, rows, hidden
    )


def _bin(row: CardBin, whole: int, largest: float) -> tuple[Cell, ...]:
    trend = charts.cell_bar(row.woe, largest, signed=True)
    if row.goods is None or row.bads is None:
        return row.label, NONE, NONE, NONE, NONE, NONE, decimal(row.woe, 3), trend, signed(row.points)
    loans = row.goods + row.bads
    counts = (
        count(loans),
        percent(ratio(loans, whole)),
        count(row.goods),
        count(row.bads),
        percent(ratio(row.bads, loans)),
    )
    return row.label, *counts, decimal(row.woe, 3), trend, signed(row.points)


def tests(card: Scorecard) -> list[Block]:
    """Coefficients, selection steps and fit."""
    return [_coefficients(card), _TEST_TERMS, *_selection(card)]


_TEST_TERMS = Terms(
    (
        ("p", "chance of a coefficient as large as this without any effect (Wald's test)"),
        ("VIF", "variance inflation factor: above 5, a variable repeats others"),
        ("sign", "a safer WoE must lower the log-odds of default, so every coefficient should be below 0"),
    )
)


def _coefficients(card: Scorecard) -> Table:
    columns = (
        Column("Variable", number=False),
        Column("Coefficient", "log-odds per WoE"),
        Column("Standard error"),
        Column("z"),
        Column("p"),
        Column("VIF"),
        Column("Sign", number=False),
    )
    fit = card.fit
    rows: list[Sequence[Cell]] = [
        (
            "Intercept",
            decimal(fit.intercept),
            decimal(fit.intercept_error),
            decimal(ratio(fit.intercept, fit.intercept_error), 2),
            NONE,
            NONE,
            NONE,
        )
    ]
    for each in card.variables:
        sign = Mark("as expected", "green") if each.coefficient < 0 else Mark("wrong sign", "red")
        figures = (
            decimal(each.coefficient),
            decimal(each.standard_error),
            decimal(each.wald_z, 2),
            p_value(each.p_value),
        )
        rows.append((each.feature, *figures, decimal(each.vif, 2), sign))
    return Table("Coefficients of the logistic regression on weights of evidence", columns, rows)


def _selection(card: Scorecard) -> list[Block]:
    if not card.selection:
        return [missing("No variable was selected step by step: all candidates that may enter were taken."), _fit(card)]
    words = {"enter": "entered", "remove": "removed: no longer significant", "wrong sign": "removed: wrong sign"}
    columns = (
        Column("Step"),
        Column("Variable", number=False),
        Column("What was done", number=False),
        Column("Statistic"),
        Column("p"),
    )
    rows = [
        (str(number), step.feature, words[step.action], decimal(step.statistic, 2), p_value(step.p_value))
        for number, step in enumerate(card.selection, 1)
    ]
    return [Side(Table("Selection of variables, step by step", columns, rows, narrow=True), _fit(card))]


def _fit(card: Scorecard) -> Table:
    fit = card.fit
    explained = None if not fit.null_log_likelihood else 1 - fit.log_likelihood / fit.null_log_likelihood
    penalty = [f"ridge {fit.ridge:g}"] if fit.ridge else []
    penalty += ["Firth's"] if fit.firth else []
    rows = [
        ("Development loans", count(fit.rows)),
        ("Defaults among them", count(fit.defaults)),
        ("Log-likelihood", decimal(fit.log_likelihood, 2)),
        ("Log-likelihood of the intercept alone", decimal(fit.null_log_likelihood, 2)),
        ("McFadden's pseudo-R²", decimal(explained)),
        ("AIC", decimal(fit.aic, 2)),
        ("BIC", decimal(fit.bic, 2)),
        ("Newton steps", str(fit.iterations)),
        ("Penalty", " and ".join(penalty) or "none"),
    ]
    return Table("Fit on the development loans", (Column("Figure", number=False), Column("Value")), rows, narrow=True)
