"""Who can use the page: by keyboard, by screen reader, with weak sight, on a phone (WCAG 2.2, level AA, as far as it can be computed)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect

from riskfed.datasets import SyntheticLoans, taiwan_schema
from riskfed.serving.access.gate import Gate
from riskfed.serving.engine.applicant import ApplicantForm
from tests.serving.models import make_release
from tests.serving.scoring_page import CHROMIUM, DESKTOP, PHONE, Watch, put, score, serving, shown_score, typed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the page test needs Chromium at {CHROMIUM}"),
]
NARROWEST = {"width": 320, "height": 640}  # WCAG 1.4.10: 1280 pixels at 400 %
# WCAG 1.4.3 and 1.4.11: text against the nearest painted background 4.5 to 1, edges of controls and bars 3 to 1.
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const ratio = (a, b) => { const [y, x] = [light(a), light(b)].sort((p, q) => p - q); return (x + 0.05) / (y + 0.05); };
  const seen = e => e.checkVisibility() && !e.disabled && !e.closest('.visually-hidden, .skip, option');
  const texts = [...document.querySelectorAll('body *')].filter(seen)
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .map(e => [ratio(rgb(getComputedStyle(e).color), behind(e)), 4.5, e.textContent.slice(0, 40)]);
  const edges = [...document.querySelectorAll('input[type=text], select, button:not(.link, .rows button)')].filter(seen)
    .map(e => [Math.max(ratio(rgb(getComputedStyle(e).borderTopColor), behind(e.parentElement)),
      ratio(rgb(getComputedStyle(e).backgroundColor), behind(e.parentElement))), 3, 'edge of ' + (e.id || e.textContent)]);
  const bars = [...document.querySelectorAll('.bar, .needle, .filled')].filter(seen)
    .map(e => [ratio(rgb(getComputedStyle(e).backgroundColor), behind(e.parentElement)), 3, e.className]);
  return [texts.length + edges.length + bars.length, [...texts, ...edges, ...bars].filter(([got, needed]) => got < needed)];
}"""
# Controls without a name, names that are used twice for fields, ids that are not unique or are pointed at in vain, skipped headings.
NAMES = """() => {
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id), found = [];
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  for (const e of document.querySelectorAll('input, select, button')) {
    const name = e.getAttribute('aria-label') || [...(e.labels ?? [])].map(l => l.textContent.trim()).join(' ')
      || (e.tagName === 'BUTTON' && e.textContent.trim());
    if (!name) found.push('no name: ' + e.outerHTML.slice(0, 80));
  }
  for (const name of ['aria-describedby', 'aria-labelledby', 'aria-controls', 'for'])
    for (const e of document.querySelectorAll(`[${name}]`))
      for (const id of e.getAttribute(name).split(' ')) if (!ids.includes(id)) found.push(`${name} leads nowhere: ${id}`);
  const levels = [...document.querySelectorAll('h1, h2, h3')].filter(e => e.checkVisibility()).map(e => Number(e.tagName[1]));
  if (levels.some((level, at) => level > (levels[at - 1] ?? 0) + 1)) found.push('skipped heading: ' + levels);
  return found.concat(twice.map(id => 'twice: ' + id));
}"""
# WCAG 2.5.8: at least 24 by 24 pixels, inline links in text aside; and nothing wider than the page.
SMALL = """() => [...document.querySelectorAll('button:not(.link), select, input:not([type=checkbox]), summary')]
  .filter(e => e.checkVisibility()).map(e => [e.getBoundingClientRect(), e.id || e.textContent])
  .filter(([box]) => box.height < 23.9 || box.width < 23.9).map(([, name]) => name)"""
OUTSIDE = """() => [...document.querySelectorAll('body *')]
  .filter(e => e.checkVisibility() && !e.closest('.skip, .visually-hidden, .scroll, svg, option'))
  .filter(e => { const box = e.getBoundingClientRect(); return box.right > innerWidth + 1 || box.left < -1; })
  .map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("model")
    put(folder, make_release())
    with serving(folder, Gate()) as (address, _):
        yield address


def scored(chromium: Browser, address: str, **settings: object) -> Page:
    """A page with a score, with everything that it can show on it."""
    page = chromium.new_page(**settings)
    page.goto(address)
    page.get_by_role("button", name="Fill in the example").click()
    typed(page, "Late payments").select_option("many")
    score(page)
    page.get_by_role("button", name="Try").first.click()
    shown_score(page)
    page.get_by_role("button", name="Pick from a file").click()
    return page


def test_contrast_suffices_in_both_colour_schemes(chromium: Browser, address: str) -> None:
    page = scored(chromium, address, viewport=DESKTOP, reduced_motion="reduce")
    for scheme, dark in (("light", False), ("dark", True)):
        page.emulate_media(color_scheme=scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(ground) < 384) == dark
        looked_at, weak = page.evaluate(CONTRAST)
        assert looked_at > 100
        assert weak == [], scheme
    typed(page, "Income").fill("much")
    page.get_by_role("button", name="Score", exact=True).click()
    page.get_by_role("alert").wait_for()
    page.get_by_role("button", name="API key").click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST)[1] == [], scheme
    page.close()


def test_everything_has_a_name_and_fits(chromium: Browser, address: str) -> None:
    page = scored(chromium, address, viewport=DESKTOP)
    assert page.evaluate(NAMES) == []
    for viewport in (DESKTOP, PHONE, NARROWEST):
        page.set_viewport_size(viewport)
        assert page.evaluate(SMALL) == []
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert page.evaluate(OUTSIDE) == []
    page.close()


def test_the_keyboard_is_enough(chromium: Browser, address: str) -> None:
    watch = Watch()
    page = chromium.new_page(viewport=DESKTOP)
    watch.of(page, address)
    page.goto(address)
    page.locator("#desk").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the result")).to_be_focused()
    reached = _tab_to(page, "Fill in the example")
    assert "API key" in reached
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Score", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    before = shown_score(page)
    expect(page.get_by_role("status").first).to_contain_text(f"Score {before}")
    typed(page, "Income").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("1000")
    page.keyboard.press("Enter")
    after = shown_score(page)
    assert after < before
    typed(page, "Income").focus()
    _tab_to(page, "Copy the request's id")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.close()
    assert watch.complaints == []


def _tab_to(page: Page, name: str) -> list[str]:
    """Press Tab until a control is reached; the names of those on the way."""
    names: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("(e => e.getAttribute('aria-label') || e.textContent.trim())(document.activeElement)")
        )
        if names[-1] == name:
            return names
    raise AssertionError(f"{name} is not reached by the keyboard: {names}")


def test_fields_are_named_in_words(chromium: Browser, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    load = "async inputs => (await import('/page/fields.js')).groupsOf(inputs)"
    groups = page.evaluate(load, ApplicantForm(taiwan_schema()).json_schema())
    assert [group["title"] for group in groups] == [
        "General",
        "Months of delay",
        "Bill statement (NT$)",
        "Amount paid (NT$)",
    ]
    titles = {field["name"]: field["title"] for group in groups for field in group["fields"]}
    assert list(titles) == [feature.name for feature in taiwan_schema().features]
    assert titles["pay_0"] == "Months of delay, September 2005"
    assert titles["limit_bal"] == "Credit limit, including supplementary cards"
    loan = page.evaluate(load, ApplicantForm(SyntheticLoans(3).schema()).json_schema())
    assert {"Bureau score", "Debt to income"} <= {field["title"] for group in loan for field in group["fields"]}
    page.close()


def test_nothing_moves_for_who_wants_it_still(chromium: Browser, address: str) -> None:
    page = scored(chromium, address, viewport=DESKTOP, reduced_motion="reduce")
    moving = (
        "[...document.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0).length"
    )
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0
    page.close()
