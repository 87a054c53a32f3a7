"""The page for an analyst, in headless Chromium against a real service: what is typed, shown and sent."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect

from riskfed.schema import Attribute
from riskfed.serving.access.api_keys import ApiKeys
from riskfed.serving.access.gate import Gate
from riskfed.serving.access.key_file import add_key
from riskfed.serving.engine.reason_texts import ReasonOverlay
from riskfed.serving.models.live import LiveModels
from tests.reports.sample import scorecard_release
from tests.serving.models import SCHEMA, make_release
from tests.serving.scoring_page import (
    CHROMIUM,
    DESKTOP,
    PHONE,
    Watch,
    fill,
    put,
    score,
    serving,
    shown_score,
    typed,
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the page test needs Chromium at {CHROMIUM}"),
]
RISKY = {"income": 12_000, "balance/limit": 1.5, "late payments": "many", "region": 3, "free": None}
PROTECTED = Attribute(name="region", encoding="ordinal", levels=(1, 2, 3), role="protected")
TEXTS = ReasonOverlay({"en": {"late payments": "Payments were late"}, "de": {"late payments": "Zahlungen kamen spät"}})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("model")
    put(folder, make_release())
    with serving(folder, Gate(), TEXTS) as (address, _):
        yield address


@pytest.fixture(scope="module")
def tab(chromium: Browser, address: str) -> Iterator[tuple[Page, Watch]]:
    watch = Watch()
    page = chromium.new_page(viewport=DESKTOP)
    page.set_default_timeout(10_000)
    watch.of(page, address)
    yield page, watch
    page.close()


@pytest.fixture
def page(tab: tuple[Page, Watch], address: str) -> Iterator[Page]:
    """The page, loaded anew; at the end it must not have complained, nor asked anybody else for anything."""
    page, watch = tab
    page.goto(address)
    page.locator("#desk").wait_for()
    watch.sent.clear()
    yield page
    page.unroute_all()
    assert watch.complaints == []


@pytest.fixture
def sent(tab: tuple[Page, Watch]) -> list[str]:
    """Bodies that the page sent since it was loaded."""
    return tab[1].sent


def asked(address: str, path: str, **body: Any) -> Any:
    return httpx.post(f"{address}{path}", json=body).raise_for_status().json()


def test_what_is_shown_is_what_the_service_answers(page: Page, address: str, sent: list[str]) -> None:
    names = page.locator("#fields [name]").evaluate_all("inputs => inputs.map(input => input.name)")
    assert names == [feature.name for feature in SCHEMA.features]
    fill(page, RISKY)
    points = score(page)
    answer = asked(address, "v1/score", applicant=RISKY)
    assert points == answer["score"]
    assert float(page.locator("#pd").get_attribute("value") or "") == answer["pd"]
    assert page.locator(".reasons .code").all_inner_texts() == [reason["code"] for reason in answer["reasons"]]
    lost = [float(text.replace("−", "-")) for text in page.locator(".reasons .lost").all_inner_texts()]
    assert lost == [-reason["points_lost"] for reason in answer["reasons"]]
    model = answer["model"]
    assert f"{model['name']}, version {model['version']}" in page.inner_text("#result")
    assert model["sha256"] in page.inner_text("#card")
    assert json.loads(sent[-2]) == {"applicant": RISKY}
    bars = [bar.bounding_box()["width"] for bar in page.locator(".reasons .bar").all()]
    assert bars == sorted(bars, reverse=True)


def test_a_problem_stands_at_its_field(page: Page) -> None:
    fill(page, {**RISKY, "income": "1,000", "balance/limit": 77})
    page.get_by_role("button", name="Score", exact=True).click()
    wrong = typed(page, "Balance/limit")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(typed(page, "Income")).to_be_focused()
    described = (wrong.get_attribute("aria-describedby") or "").split()
    assert "must be between -1 and 5" in page.inner_text(f"[id='{described[-1]}']")
    assert "without commas" in page.inner_text("form")
    assert page.locator("#score").count() == 0
    page.get_by_role("alert").get_by_role("button", name="Balance/limit").click()
    expect(wrong).to_be_focused()
    fill(page, RISKY)
    score(page)
    assert page.locator("[aria-invalid]").count() == 0
    typed(page, "Income").fill("1")
    expect(page.locator("#result")).to_contain_text("changed since this score")
    typed(page, "Income").fill(str(RISKY["income"]))
    expect(page.locator("#result")).not_to_contain_text("changed since this score")


def test_a_value_is_missing_only_by_choice(page: Page, sent: list[str]) -> None:
    fill(page, {**RISKY, "free": ""})
    before = len(sent)
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("say that it is not known")
    assert sent[before:] == []
    typed(page, "Free is not known").check()
    expect(typed(page, "Free")).to_be_disabled()
    typed(page, "Region").select_option("not known")
    score(page)
    assert json.loads(sent[-2])["applicant"] == {**RISKY, "region": None}


def test_trying_a_value_out_changes_the_score_and_can_be_taken_back(page: Page, address: str) -> None:
    fill(page, RISKY)
    own = score(page)
    found = asked(address, "v1/score:what-if", applicant=RISKY)["alternatives"]
    late = next(each for each in found if each["feature"] == "late payments")
    page.get_by_role("button", name=f"Try {late['best']}", exact=True).first.click()
    assert shown_score(page) == late["best_points"] > own
    expect(page.locator("#result")).to_contain_text("Tried out, not the applicant's own")
    expect(page.locator("#result")).to_contain_text(f"{late['best']} instead of many")
    assert typed(page, "Late payments").input_value() == late["best"]
    page.get_by_role("button", name="Back to the applicant's own values").click()
    assert shown_score(page) == own
    assert typed(page, "Late payments").input_value() == "many"
    assert "Tried out" not in page.inner_text("#result")


def test_a_curve_is_walked_by_keyboard(page: Page, address: str) -> None:
    fill(page, RISKY)
    score(page)
    found = asked(address, "v1/score:what-if", applicant=RISKY)["alternatives"]
    curve = next(each for each in found if each["feature"] == "balance/limit")["curve"]
    slider = page.get_by_role("slider", name="Values of Balance/limit")
    slider.focus()
    page.keyboard.press("Home")
    (value, points), *_ = curve
    assert f": {points} points" in (slider.get_attribute("aria-valuetext") or "")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert shown_score(page) == points
    assert float(typed(page, "Balance/limit").input_value()) == value


def test_a_row_of_a_file_is_picked_and_no_other_row_leaves(page: Page, sent: list[str]) -> None:
    head = "account;income;balance/limit;late payments;region;free\n"
    rows = "".join(f"A-{n};{40_000 + n},5;0,25;one;{1 + n % 3}.0;\n" for n in range(500))
    page.get_by_role("button", name="Pick from a file").click()
    file = {"name": "loans.csv", "mimeType": "text/csv", "buffer": f"\ufeff{head}{rows}".encode()}
    page.set_input_files("#picker-file", files=[file])
    expect(page.locator("#picker")).to_contain_text("500 of 500 rows, the first 20 are shown")
    page.get_by_label("Search its rows").fill("account=a-321")
    expect(page.locator("#picker")).to_contain_text("1 of 500 rows")
    page.get_by_role("button", name="Row 322 account A-321").click()
    expect(page.get_by_role("button", name="Score", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    shown_score(page)
    bodies = [json.loads(body)["applicant"] for body in sent if body]
    picked = {"income": 40_321.5, "balance/limit": 0.25, "late payments": "one", "region": 1, "free": None}
    assert bodies == [picked, picked]  # scored, and asked what would change it


def test_the_key_is_asked_for_and_kept_in_memory_alone(chromium: Browser, tmp_path: Path) -> None:
    watch = Watch()
    put(tmp_path, make_release())
    key = add_key(tmp_path / "keys.json", "desk", ["score", "models"])
    gate = Gate(keys=ApiKeys(tmp_path / "keys.json"))
    with serving(tmp_path, gate) as (address, _):
        page = chromium.new_page()
        watch.of(page, address)
        page.goto(address)
        for attempt, reason in (("wrong", "needs an API key"), (key, "does not take this key")):
            expect(page.get_by_role("dialog")).to_contain_text(reason)
            page.get_by_label("Key, or access token").fill(attempt)
            page.keyboard.press("Enter")
        fill(page, RISKY)
        score(page)
        kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert kept == [0, 0, "", address]
        assert page.evaluate("document.getElementById('key-input').value") == ""
        page.reload()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.close()
    assert watch.complaints == []


def test_other_problems_say_what_to_do(page: Page) -> None:
    fill(page, RISKY)
    for status, headers, shown in (
        (429, {"Retry-After": "7"}, "Too many requests with this key. Wait. Try again in 7 seconds."),
        (503, {}, "cannot score at the moment"),
        (403, {}, "scopes score and models"),
        (502, {}, "The service gave no reason"),
    ):
        body = json.dumps({"title": "Refused", "status": status, "detail": "Wait."}) if status != 502 else "<html>"
        answer = {"status": status, "headers": headers, "body": body, "content_type": "application/problem+json"}
        page.route("**/v1/score", lambda route, _, answer=answer: route.fulfill(**answer))
        page.get_by_role("button", name="Score", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text(shown)
    page.route("**/v1/score", lambda route: route.abort())
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    assert typed(page, "Income").input_value() == "12000"


def test_reasons_come_in_the_language_that_is_chosen(page: Page) -> None:
    fill(page, RISKY)
    score(page)
    expect(page.get_by_text("Payments were late").first).to_have_attribute("lang", "en")
    page.get_by_label("Language of reasons").select_option("de")
    expect(page.get_by_text("Zahlungen kamen spät").first).to_have_attribute("lang", "de")


def test_another_champion_brings_its_own_form_and_card(chromium: Browser, tmp_path: Path) -> None:
    watch = Watch()
    put(tmp_path, make_release())
    with serving(tmp_path, Gate()) as (address, live):
        page = chromium.new_page(viewport=PHONE)
        watch.of(page, address)
        page.goto(address)
        fill(page, RISKY)
        score(page)
        expect(page.locator("#card")).to_contain_text("gradient-boosted trees")
        guarded = SCHEMA.model_copy(update={"attributes": (PROTECTED,)})
        _swap(tmp_path, live, replace(make_release(40), schema=guarded))
        score(page)
        expect(page.locator("#what-if")).to_contain_text("nobody can change it, or is to be asked to: Region.")
        expect(page.locator("#model-line")).to_contain_text(live.champion.model.version)
        assert typed(page, "Income").input_value() == "12000"
        _swap(tmp_path, live, scorecard_release())
        page.reload()
        page.get_by_role("button", name="Fill in the example").click()
        score(page)
        expect(page.locator("#card table thead")).to_have_text("FeatureBinWoEPoints")
        assert page.locator("#card tbody tr").count() > 20
        page.close()
    assert watch.complaints == []


def _swap(folder: Path, live: LiveModels, release: Any) -> None:
    put(folder, release)
    assert live.refresh()


def test_csv_is_read_as_it_was_written(page: Page) -> None:
    draw = random.Random(1)
    pieces = ["a", "1.5", '"', ",", ";", "\t", "\n", "\r\n", " ", "ü", ""]
    tables, texts = [], []
    for _ in range(300):
        width = draw.randint(2, 4)
        rows = [["".join(draw.choices(pieces, k=4)) + "x" for _ in range(width)] for _ in range(draw.randint(1, 5))]
        stream = io.StringIO()
        csv.writer(stream, quoting=draw.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])).writerows(
            [[f"c{n}" for n in range(width)], *rows]
        )
        tables.append([{f"c{n}": cell for n, cell in enumerate(row)} for row in rows])
        texts.append(stream.getvalue())
    read = page.evaluate(
        "async texts => { const m = await import('/page/rows.js'); return texts.map(m.parseRows); }", texts
    )
    assert read == tables
