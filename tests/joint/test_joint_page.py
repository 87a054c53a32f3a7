"""The analyst's page with a joint model: a customer's id is offered, sent, and taken away again; a fallback is told in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from riskfed.serving.access.gate import Gate
from riskfed.serving.engine.joint import UnknownCustomerError
from riskfed.serving.engine.vertical import build_engine
from riskfed.vertical_model import PartnerReference
from tests.joint.models import vertical_model
from tests.serving.scoring_page import CHROMIUM, DESKTOP, Watch, browser, put, score, serving, typed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the page test needs Chromium at {CHROMIUM}"),
]


class Knowing:
    """A partner that knows Q00001."""

    def __init__(self, part: PartnerReference, _: object) -> None:
        self._splits = part.splits

    async def columns(self, model_sha256: str, customer_id: str) -> np.ndarray:
        if customer_id != "Q00001":
            raise UnknownCustomerError
        return np.ones(self._splits, dtype=np.float32)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Watch]]:
    folder = tmp_path_factory.mktemp("model")
    put(folder, vertical_model().release())
    build = partial(build_engine, partner=Knowing)
    with serving(folder, Gate(), build=build) as (address, _), browser() as chromium:
        page, watch = chromium.new_page(viewport=DESKTOP), Watch()
        watch.of(page, address)
        page.goto(address)
        yield page, watch


def test_a_customers_id_makes_the_score_a_joint_one(tab: tuple[Page, Watch], tmp_path: Path) -> None:
    page, watch = tab
    typed(page, "Income").fill("30000")
    typed(page, "Late payments").select_option("none")
    alone = score(page)
    expect(page.locator("#result")).to_contain_text("this score comes from the bank's own data alone")
    customer = page.get_by_label("Customer id")
    expect(page.locator("#customer-note")).to_contain_text("payments and shop")
    customer.fill(" Q00001 ")
    expect(page.locator("#result-problem")).to_contain_text("changed since this score")
    assert score(page) != alone
    assert '"customer_id":"Q00001"' in watch.sent[-2]
    expect(page.locator("#result-body")).not_to_contain_text("own data alone")
    expect(page.locator("#what-if-body")).to_contain_text("Partners are not asked about values that are tried out")
    customer.fill("Q00002")
    assert score(page) == alone
    expect(page.locator("#result")).to_contain_text("The partner does not know this customer")
    page.get_by_role("button", name="Clear").click()
    expect(customer).to_have_value("")
    assert watch.complaints == []


def test_a_row_of_a_file_brings_its_customers_id(tab: tuple[Page, Watch], tmp_path: Path) -> None:
    page, _ = tab
    path = tmp_path / "rows.csv"
    path.write_text("customer_id,income,late payments\nQ00001,30000,none\n")
    page.get_by_role("button", name="Pick from a file").click()
    page.set_input_files("#picker-file", path)
    page.get_by_role("button", name="Row 1").click()
    expect(page.get_by_label("Customer id")).to_have_value("Q00001")
    page.get_by_role("button", name="Fill in the example").click()
    expect(page.get_by_label("Customer id")).to_have_value("")
