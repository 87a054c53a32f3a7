"""Figures of single banks in the report: of those that show them, and of no others."""

from __future__ import annotations

import json

import pytest

from riskfed.reports.validation_report.blocks import Table, Text
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.single_banks import single_banks
from tests.serving.models import make_release

SHOWN = {
    "north": {"rows": 1200.0, "defaults": 300.0, "auc": 0.75, "ks": 0.4},
    "<b>": {"rows": 10.0, "defaults": 0.0, "federated_logloss": 0.31, "alone_logloss": 0.33},
}


def block(told: str | None) -> Table | Text:
    facts = {} if told is None else {"bank_figures": told}
    return single_banks(ReportInput(make_release(), None, facts))


def test_banks_that_show_their_figures_stand_in_the_table() -> None:
    table = block(json.dumps(SHOWN))
    assert isinstance(table, Table)
    assert table.rows == [
        ("<b>", "10", "0.00 %", "–", "–", "0.3100", "0.3300"),
        ("north", "1,200", "25.00 %", "0.7500", "0.4000", "–", "–"),
    ]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, "no bank chose"),
        ("{}", "no bank chose"),
        ("[1]", "cannot be read"),
        ('{"a": 1}', "cannot be read"),
        ("x", "cannot"),
    ],
)
def test_without_them_it_says_why(told: str | None, said: str) -> None:
    found = block(told)
    assert not isinstance(found, Table)
    assert said in str(found)
