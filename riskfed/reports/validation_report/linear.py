"""Sections 4 and 5 of a linear model in parts: the label holder's points card and coefficients, and what stands for the partners."""

from __future__ import annotations

from riskfed.linear_model import VerticalLogisticModel, model_rows
from riskfed.reports.validation_report.blocks import Block, Column, Table, missing
from riskfed.reports.validation_report.scorecard import signed
from riskfed.reports.validation_report.text_format import NONE, decimal
from riskfed.schema import Schema


def tables(model: VerticalLogisticModel, schema: Schema) -> list[Block]:
    """The card: base points, bins of the own terms, and a row for each partner."""
    columns = (
        Column("Variable", number=False),
        Column("Value", number=False),
        Column("WoE", "centred: 0 is the average loan"),
        Column("Log-odds", "that it adds; of a standardised column for each standard deviation"),
        Column("Points"),
    )
    base = ("base points", "every applicant", NONE, decimal(model.intercept, 3), str(model.base_points))
    rows = [
        (variable, label, _figure(woe), _figure(share), NONE if points is None else signed(points))
        for variable, label, woe, share, points in model_rows(model, schema)
    ]
    note = (
        "Add the base points, one line of each variable, and each partner's partial score in points; more points are safer. The partners' "
        f"own bins are in their vaults. Whole points are off the exact ones by up to {decimal(model.rounding, 1)}."
    )
    return [Table("Points card", columns, [base, *rows], note)]


def coefficients(model: VerticalLogisticModel) -> list[Block]:
    """The label holder's coefficients."""
    columns = (Column("Variable", number=False), Column("Coefficient", "log-odds of default"))
    rows = [
        ("intercept", decimal(model.intercept)),
        *((term.feature, decimal(term.coefficient)) for term in model.own.terms),
    ]
    note = missing(
        "The descent on encrypted residuals gives no standard errors; the partners' coefficients are in their vaults."
    )
    return [Table("The label holder's coefficients", columns, rows), note]


def _figure(value: float | None) -> str:
    return NONE if value is None else decimal(value, 3)
