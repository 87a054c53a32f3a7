"""The report in a real browser: nothing cut off, nothing overlapping, readable contrast, on a laptop and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from riskfed.evaluation.limits import Limits
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import judge_release
from riskfed.reports.validation_report import validation_report
from riskfed.reports.validation_report.pdf import report_pdf
from riskfed.reports.validation_report.report_input import ReportInput
from tests.reports.sample import FACTS, scorecard_release, xgboost_release

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium")
LAPTOP = {"width": 1366, "height": 768}
PAPER = {"width": 688, "height": 1000}  # CSS pixels of an A4 page between its margins
LONG = "months_since_the_most_recent_delinquency_on_any_revolving_or_instalment_credit_line"

# Text in pictures that sticks out of its drawing, or lies on other text of the same drawing.
CLIPPED = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll('text')];
  const boxes = texts.map(text => text.getBoundingClientRect());
  const out = texts.filter((_, i) => boxes[i].left < box.left - 1 || boxes[i].right > box.right + 1
    || boxes[i].top < box.top - 1 || boxes[i].bottom > box.bottom + 1).map(text => 'out: ' + text.textContent);
  const on = texts.filter((_, i) => boxes.some((b, j) => j > i && b.left < boxes[i].right - 1 && b.right > boxes[i].left + 1
    && b.top < boxes[i].bottom - 3 && b.bottom > boxes[i].top + 3)).map(text => 'overlaps: ' + text.textContent);
  return out.concat(on).map(what => svg.querySelector('title').textContent + ': ' + what);
})"""
WIDE = """() => [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => e.querySelector('caption').textContent)"""
# WCAG 2.1 contrast of every text with the nearest painted background; 4.5 is level AA.
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('body *')].filter(e => !e.closest('title') &&
      [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
    const style = getComputedStyle(e), ink = e.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(rgb(ink)), light(behind(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.textContent.slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


def document(release: ModelRelease) -> str:
    return validation_report(ReportInput(release, judge_release(release, Limits()), FACTS))


def long_named() -> ModelRelease:
    """A scorecard's release in which names are as long as they come."""
    release = scorecard_release()
    evaluation = release.evaluation.model_copy(
        update={
            "features": tuple(each.model_copy(update={"name": LONG}) for each in release.evaluation.features),
            "reasons": tuple(each.model_copy(update={"feature": LONG}) for each in release.evaluation.reasons),
            "groups": tuple(group.model_copy(update={"level": LONG}) for group in release.evaluation.groups),
            "vintages": tuple(each.model_copy(update={"cohort": LONG}) for each in release.evaluation.vintages),
        }
    )
    return replace(release, evaluation=evaluation)


@pytest.mark.parametrize("make", [scorecard_release, xgboost_release, long_named])
def test_laptop_shows_all_of_it(browser, make):
    page = browser.new_page(viewport=LAPTOP)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: complaints.append(request.url))
    page.set_content(document(make()))
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == LAPTOP["width"]
    assert page.evaluate(WIDE) == []
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(CONTRAST) == []
    verdict = page.query_selector(".verdict").bounding_box()
    assert verdict["y"] + verdict["height"] < 200  # seen without scrolling
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")
    page.close()


@pytest.mark.parametrize("make", [scorecard_release, xgboost_release, long_named])
def test_paper_is_wide_enough(browser, make):
    page = browser.new_page(viewport=PAPER)
    page.emulate_media(media="print")
    page.set_content(document(make()))
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
    assert page.evaluate(WIDE) == []
    assert page.evaluate(CLIPPED) == []
    page.close()


def test_pdf_is_printed():
    printed = report_pdf(document(scorecard_release()), CHROMIUM)
    assert printed.startswith(b"%PDF-")
    assert 5 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 25
