"""The validation report: complete, in order, escaped, and true to the evaluation that it is made from."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from riskfed.errors import ConfigurationError
from riskfed.evaluation.limits import Limit, Limits
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import judge_release
from riskfed.reports.validation_report import sections, validation_report
from riskfed.reports.validation_report.blocks import Columns, Section, Side, Table
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.summary import MEANINGS
from riskfed.schema import Schema
from tests.reports.sample import FACTS, scorecard_release, xgboost_release

ORDER = [
    "verdict",
    "discrimination",
    "calibration",
    "model",
    "coefficients",
    "stability",
    "parts",
    "treatment",
    "limits",
]
VOID = {"meta", "wbr", "link", "br", "img", "input", "path", "rect", "circle", "polyline"}


class Outline(HTMLParser):
    """Elements, text and ids of a document; fails where tags do not close in order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(document)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        said = dict(attrs)
        self.ids += [said["id"]] if said.get("id") else []
        self.links += [value for name, value in attrs if name in ("href", "src", "data", "xlink:href") and value]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def given(release: ModelRelease, facts: dict[str, str] | None = None, limits: Limits | None = None) -> ReportInput:
    return ReportInput(release, judge_release(release, limits or Limits()), FACTS if facts is None else facts)


def tables(section: Section) -> list[Table]:
    found: list[Table] = []
    for block in section.blocks:
        parts = [block.left, block.right] if isinstance(block, Side) else [block]
        found += [part for part in parts if isinstance(part, Table)]
        found += [table for part in parts if isinstance(part, Columns) for table in part.tables]
    return found


def table(release: ModelRelease, anchor: str, caption: str) -> Table:
    section = next(section for section in sections(given(release)) if section.anchor == anchor)
    return next(table for table in tables(section) if table.caption.startswith(caption))


@pytest.mark.parametrize("make", [scorecard_release, xgboost_release])
def test_one_self_contained_document_with_all_sections_in_order(make):
    material = given(make())
    started = time.perf_counter()
    document = validation_report(material)
    seconds = time.perf_counter() - started
    outline = Outline(document)
    assert [name for name in outline.ids if name in ORDER] == ORDER
    assert outline.links == [f"#{name}" for name in ORDER]  # the contents, and nothing that would be loaded
    assert not outline.tags & {"script", "link", "img", "iframe", "object"}
    assert "url(" not in document
    assert "@import" not in document
    assert seconds < 3
    assert len(document.encode()) < 2_000_000
    assert document == validation_report(given(make()))


def test_headline_and_verdict_are_those_of_the_evaluation():
    release = scorecard_release()
    auc = release.evaluation.discrimination.auc
    text = Outline(validation_report(given(release))).text
    assert f"{auc.value:.4f} {auc.low:.4f} to {auc.high:.4f}" in text
    verdict = judge_release(release, Limits())
    assert verdict.colour.upper() in text.split("Verdict, definition")[0]
    for check in verdict.checks:
        assert check.what[1:] in text
    assert release.schema.description in text
    assert "community, digital, premier, specialty, universal" in text


def test_each_colour_comes_with_its_own_words():
    release = scorecard_release()
    strict = given(release, limits=Limits(auc=Limit(amber=0.99, red=0.98)))
    assert (
        "RED Not acceptable as it stands: 1 figure is beyond the red limit" in Outline(validation_report(strict)).text
    )
    gentle = given(release, limits=Limits(**{name: Limit() for name in Limits.model_fields}))
    assert "GREEN Acceptable: all" in Outline(validation_report(gentle)).text
    row = next(row for row in table(release, "verdict", "The model's figures").rows if row[0] == "AUC")
    assert (row[1], row[2], row[3], row[4].colour) == (
        f"{release.evaluation.discrimination.auc.value:.4f}", "below 0.7", "below 0.6", "green",
    )  # fmt: skip


@pytest.mark.parametrize("name", list(Limits.model_fields))
def test_each_limit_has_a_meaning_that_knows_its_direction(name):
    def accepts(amber: float, red: float) -> bool:
        try:
            Limits(**{name: Limit(amber=amber, red=red)})
        except ConfigurationError:
            return False
        return True

    assert MEANINGS[name].says
    assert MEANINGS[name].least == accepts(2, 1)
    assert MEANINGS[name].least != accepts(1, 2)


def test_gains_and_grades_add_up():
    release = xgboost_release()
    grades = release.evaluation.grades
    bads = np.cumsum([grade.bads for grade in grades])
    loans = np.cumsum([grade.goods + grade.bads for grade in grades])
    rows = table(release, "discrimination", "Gains table").rows
    assert [row[7] for row in rows[:-1]] == [f"{share:.1f} %" for share in bads / bads[-1] * 100]
    assert [row[8] for row in rows[:-1]] == [f"{lift:.2f}" for lift in (bads / loans) / (bads[-1] / loans[-1])]
    assert rows[-1][2:5] == tuple(f"{n:,}" for n in (loans[-1], loans[-1] - bads[-1], bads[-1]))
    readings = table(release, "calibration", "Calibration by grade").rows
    low = [row[-1].text == "PD too low" for row in readings]
    assert low == [grade.jeffreys_p * len(grades) < 0.05 for grade in grades]


def test_scorecard_shows_every_bin_and_every_point():
    release = scorecard_release()
    card = given(release).card
    shown = tables(next(section for section in sections(given(release)) if section.anchor == "model"))
    for variable in card.variables:
        bins = next(
            table for table in shown if table.caption.startswith((f"{variable.feature}:", f"{variable.feature}. "))
        )
        points = next(table for table in shown if table.caption == variable.feature)
        for row, binned, printed in zip(variable.bins, bins.rows, points.rows, strict=True):
            assert (binned[0], binned[1], binned[6]) == (
                row.label,
                f"{row.goods + row.bads:,}",
                f"{row.woe:.3f}".replace("-", "−"),
            )
            assert binned[8] == printed[1]
            assert int(printed[1].replace("−", "-")) == row.points
    names = [row[0] for row in table(release, "coefficients", "Coefficients").rows]
    assert names == ["Intercept", *(variable.feature for variable in card.variables)]


def test_trees_show_gains_and_constraints():
    facts = {**FACTS, "monotone_constraints": '{"bureau_score": -1}'}
    section = next(s for s in sections(given(xgboost_release(), facts)) if s.anchor == "model")
    rows = tables(section)[0].rows
    shares = [float(row[1].removesuffix(" %")) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.6)
    assert shares == sorted(shares, reverse=True)
    assert {row[0]: row[4] for row in rows}["bureau_score"] == "falls"


def test_what_is_absent_is_said_and_not_left_blank():
    text = Outline(validation_report(given(scorecard_release(everything=False), {}))).text
    for line in (
        "the schema names no protected attribute",
        "the schema names no attribute with the role segment",
        "no champion was named to compare with",
        "the schema names no cohort",
        "The parameters of the job were not given",
    ):
        assert line in text


def test_withheld_model_and_release_without_evaluation_and_monitoring_have_reports():
    release = scorecard_release()
    withheld = Outline(validation_report(given(release.withheld()))).text
    assert "The banks withheld the model" in withheld
    assert f"{release.evaluation.discrimination.auc.value:.4f}" in withheld
    nothing = Outline(validation_report(given(replace(release, evaluation=None)))).text
    assert "NOT JUDGED Nothing was held out" in nothing
    assert nothing.count("Not measured: no loans of both kinds") == 5
    watched = replace(release.withheld(), kind="model_monitoring")
    assert "Monitoring report" in Outline(validation_report(given(watched))).text


def test_names_from_files_are_text_and_never_markup():
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"
    release = scorecard_release()
    fields = release.schema.model_dump() | {"name": evil, "version": evil, "description": evil}
    for attribute in fields["attributes"]:
        attribute["name"] = evil + attribute["name"]
    evaluation = release.evaluation.model_copy(
        update={
            "groups": tuple(group.model_copy(update={"level": evil}) for group in release.evaluation.groups),
            "vintages": tuple(each.model_copy(update={"cohort": evil}) for each in release.evaluation.vintages),
            "features": tuple(each.model_copy(update={"name": evil}) for each in release.evaluation.features),
        }
    )
    facts = {**FACTS, "roster": evil, evil: evil}
    document = validation_report(given(replace(release, schema=Schema(**fields), evaluation=evaluation), facts))
    outline = Outline(document)  # refuses attributes such as onerror
    assert not outline.tags & {"script", "img"}
    assert outline.text.count(evil) > 10


def test_roc_picture_is_the_curve_whose_area_is_the_auc():
    release = xgboost_release()
    drawn = re.search(
        r"<title>ROC curve</title>.*?<polyline points=\"([^\"]+)\"", validation_report(given(release)), re.DOTALL
    )
    at = np.array([pair.split(",") for pair in drawn[1].split()], dtype=float)
    x = (at[:, 0] - at[0, 0]) / (at[-1, 0] - at[0, 0])
    y = (at[:, 1] - at[0, 1]) / (at[-1, 1] - at[0, 1])
    assert np.trapezoid(y, x) == pytest.approx(release.evaluation.discrimination.auc.value, abs=0.004)
