"""What an analyst sees in a real browser: pictures that are there, in order and whole, and the verdict first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from tests.tracking import desk_pages
from tests.tracking.desk_pages import CHROMIUM, Desk, browser, desk, new_page, open_cards, take, visit, wait_for_runs
from tests.tracking.federations import taiwan_banks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the page test needs Chromium at {CHROMIUM}"),
]
PICTURES = Path(__file__).parents[2] / "runs" / "pictures"
CARDS = [
    "1 roc",
    "2 ks",
    "3 calibration",
    "4 score distribution",
    "5 learning curve logloss",
    "6 federated against alone",
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A server with three recorded federations."""
    with desk(tmp_path_factory.mktemp("desk"), taiwan_banks(4000), 12) as ready:
        yield ready


@pytest.fixture(scope="module")
def page(shown: Desk) -> Iterator[desk_pages.Page]:
    with browser() as chromium:
        yield new_page(chromium)


def test_the_pictures_come_first_and_are_whole(shown: Desk, page: desk_pages.Page) -> None:
    open_cards(page, shown, shown.trees)
    text = page.inner_text("body")
    places = [text.index(f"at a glance/{card}") for card in CARDS]
    assert places == sorted(places)
    assert places[-1] < text.index("bank.digital"), "the pictures are not the first section"
    for card in page.locator("img").all()[:3]:
        assert card.evaluate("image => image.complete && image.naturalWidth") >= 700
    pixels = np.asarray(Image.open(io.BytesIO(take(page, PICTURES, "run_cards").read_bytes())).convert("L"))
    for box in (image.bounding_box() for image in page.locator("img").all()[:3]):
        assert box is not None
        width, height = 0.78 * box["width"], 0.39 * box["height"]
        left, top = int(box["x"]), int(box["y"])
        drawn = pixels[top : int(top + height), left : int(left + width)]
        assert (drawn < 128).mean() > 0.005, "the card shows no picture"
        # The axis' name is the lowest thing in a picture: it must be on the page, not below the card's edge.
        assert (drawn[int(0.86 * len(drawn)) :] < 128).any(), "the card cuts the picture's lower edge off"


def test_the_run_tells_its_verdict_first(shown: Desk, page: desk_pages.Page) -> None:
    visit(page, shown.run(shown.trees))
    page.get_by_text("Metrics (").wait_for()
    assert shown.trees.verdict is not None
    colour = shown.trees.verdict.colour.upper()
    heading = page.get_by_role("heading").first.inner_text()
    assert heading.startswith(colour)
    assert ", 5 banks, masking" in heading
    assert page.get_by_text(f"{colour}: AUC").first.is_visible()
    take(page, PICTURES, "run_overview")


def test_the_list_of_runs_names_the_champion(shown: Desk, page: desk_pages.Page) -> None:
    visit(page, shown.runs)
    banner = page.get_by_text("champion of riskfed-pd: version").first
    wait_for_runs(page)
    assert ", AUC 0.7" in banner.inner_text()
    assert "(95 % " in banner.inner_text()
    assert ", verdict " in banner.inner_text()
    assert page.get_by_text("monitoring").first.is_visible()
    take(page, PICTURES, "runs")


def test_the_report_is_rendered_among_the_artifacts(shown: Desk, page: desk_pages.Page) -> None:
    visit(page, shown.run(shown.scorecard, "/artifacts/report/validation_report.html"))
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Validation report").first.wait_for()
    assert frame.locator("svg").count() > 3
    take(page, PICTURES, "report")


def test_tables_and_the_points_card_can_be_read(shown: Desk, page: desk_pages.Page) -> None:
    visit(page, shown.run(shown.scorecard, "/artifacts/tables/points_card.json"))
    page.get_by_text("View as table").wait_for()
    page.get_by_text("base points").first.wait_for()
    visit(page, shown.run(shown.scorecard, "/artifacts/points_card.md"))
    page.get_by_text("points double the odds").first.wait_for()
    take(page, PICTURES, "points_card")


def test_the_registered_version_has_its_model_card(shown: Desk, page: desk_pages.Page) -> None:
    visit(page, shown.version(shown.trees.version))
    page.get_by_text("Model details").first.wait_for()
    for heading in ("Intended use", "Training data", "Quantitative analyses", "Caveats and recommendations"):
        assert page.get_by_text(heading).count() >= 1
    take(page, PICTURES, "version")
