"""The analyst's desk in a real browser: an MLflow server with recorded federations, and pictures of its pages.

    python -m tests.tracking.desk_pages docs/pictures

makes the pictures of the documentation, from all the rows of the Taiwan data.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from playwright.sync_api import Browser, Page, sync_playwright

from riskfed.jobs import HorizontalScorecard, HorizontalXgboost, ModelMonitoring
from riskfed.operator_app import write_report
from riskfed.reports.pictures import run_pictures
from riskfed.stack.loopback import LoopbackStack
from riskfed.tracking.run import MlflowRun
from tests.tracking.federations import SCHEMA, federate, taiwan_banks

CHROMIUM = Path("/usr/bin/chromium")
EXPERIMENT, MODEL = "Taiwan credit cards", "riskfed-pd"
WIDTH, HEIGHT = 1400, 1000
_MODE = "?workflowType=machine_learning"
_QUIET = """
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
"""
"""Keeps MLflow's assistant, which covers a third of the page at the first visit, shut."""


@dataclass(frozen=True)
class Desk:
    """A server with runs: address, and the run of each kind."""

    uri: str
    scorecard: MlflowRun
    trees: MlflowRun
    monitoring: MlflowRun

    def run(self, tracking: MlflowRun, tab: str = "") -> str:
        """Address of a run's page."""
        return f"{self.uri}/#/experiments/1/runs/{tracking.run_id}{tab}{_MODE}"

    @property
    def runs(self) -> str:
        """Address of the list of runs."""
        return f"{self.uri}/#/experiments/1/runs{_MODE}"

    def version(self, number: str | None) -> str:
        """Address of a registered version."""
        return f"{self.uri}/#/models/{MODEL}/versions/{number}{_MODE}"


@contextlib.contextmanager
def desk(folder: Path, banks: dict[str, pd.DataFrame], trees: int) -> Iterator[Desk]:
    """A server with a scorecard, trees that challenge it, and the monitoring of the trees."""
    with LoopbackStack(folder / "stack") as stack:
        uri = stack.start_mlflow()

        def record(name: str) -> MlflowRun:
            release = folder / f"{name}.json"
            return MlflowRun(uri, EXPERIMENT, MODEL, release_path=release, pictures=run_pictures, report=write_report)

        common = {"validation_fraction": 0.3}
        with record("card") as scorecard:
            job = HorizontalScorecard(**common, max_bins=5, selection="backward", min_iv=0.05)
            card = federate(banks, SCHEMA, job, scorecard)
        with record("trees") as grown:
            job = HorizontalXgboost(
                **common,
                n_estimators=trees,
                max_depth=4,
                eta=0.15,
                compare_alone=True,
                champion_sha256=card.model_sha256,
            )
            shown = frozenset({"universal", "digital"})
            model = federate(banks, SCHEMA, job, grown, known=card, shown=shown)
        with record("monitoring") as monitoring:
            federate(banks, SCHEMA, ModelMonitoring(model_sha256=model.model_sha256), monitoring, known=model)
        yield Desk(uri, scorecard, grown, monitoring)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def new_page(browser: Browser, height: int = HEIGHT) -> Page:
    """An empty page of an analyst's laptop."""
    page = browser.new_page(viewport={"width": WIDTH, "height": height})
    page.add_init_script(_QUIET)
    page.set_default_timeout(30_000)
    return page


def visit(page: Page, address: str) -> None:
    """Load a page afresh: the addresses differ behind the # only, and MLflow's page does not always follow."""
    page.goto("about:blank")
    page.goto(address)


def open_cards(page: Page, desk: Desk, tracking: MlflowRun) -> None:
    """Open a run's cards and wait for the pictures of the first section."""
    visit(page, desk.run(tracking, "/model-metrics"))
    page.get_by_text("at a glance/1 roc", exact=True).first.wait_for()
    page.wait_for_function("[...document.images].filter(i => i.complete && i.naturalWidth > 300).length >= 3")


def wait_for_runs(page: Page) -> None:
    """Wait until the list shows the three runs below the champion's line."""
    page.get_by_text("champion of").first.wait_for()
    page.wait_for_function("/3\\s+matching runs/.test(document.body.innerText)")
    page.get_by_text("monitoring 20").first.wait_for()


def take(page: Page, folder: Path, name: str) -> Path:
    """A picture of what the page shows."""
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
    return folder / f"{name}.png"


def main(target: Path) -> None:
    """Make the documentation's pictures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        desk(Path(folder), taiwan_banks(), 60) as shown,
        browser() as chromium,
    ):
        page = new_page(chromium)
        open_cards(page, shown, shown.trees)
        take(page, target, "mlflow_run")
        visit(page, shown.runs)
        wait_for_runs(page)
        take(page, target, "mlflow_runs")
        visit(page, shown.run(shown.scorecard, "/artifacts/report/validation_report.html"))
        page.frame_locator("iframe").get_by_text("Validation report").first.wait_for()
        take(page, target, "mlflow_report")
        visit(page, shown.version(shown.trees.version))
        page.get_by_text("Model details").first.wait_for()
        take(page, target, "mlflow_version")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
