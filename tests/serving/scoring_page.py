"""The scoring service's page in a real browser: a service on loopback, Chromium, and the picture of the documentation.

    python -m tests.serving.scoring_page docs/pictures

makes the picture, with trees grown on all the rows of the Taiwan data.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import xgboost
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, sync_playwright

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.protocols.release import ModelRelease
from riskfed.serving.access.gate import Gate
from riskfed.serving.api.app import create_app
from riskfed.serving.api.service import Service
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.reason_texts import ReasonOverlay
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.live import LiveModels
from tests.serving.models import score_cells

CHROMIUM = Path("/usr/bin/chromium")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 800}


def put(folder: Path, release: ModelRelease) -> None:
    """Make a release the model of a folder."""
    (folder / "release.json").write_bytes(release.to_bytes())


@contextlib.contextmanager
def serving(
    folder: Path, gate: Gate, texts: ReasonOverlay | None = None, build: Any = ScoringEngine
) -> Iterator[tuple[str, LiveModels]]:
    """A service of a folder's model on a free port of loopback: its address, and its models."""
    live = LiveModels(ModelFolder(folder), build=partial(build, texts=texts))
    live.start()
    app = create_app(Service(live=live, gate=gate), poll_seconds=None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws="none", log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/", live
    finally:
        server.should_exit = True
        thread.join(20)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield started
        finally:
            started.close()


@dataclass
class Watch:
    """What a page did that it should not, and the bodies that it sent."""

    complaints: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def of(self, page: Page, address: str) -> None:
        """Watch a page that may talk to one address alone."""

        def request(asked: Request) -> None:
            if not asked.url.startswith(address):
                self.complaints.append(f"asked {asked.url}")
            self.sent.append(asked.post_data or "")

        def said(message: ConsoleMessage) -> None:
            # Chromium reports every answer from 400 on; the page shows those itself.
            if "Failed to load resource" not in message.text:
                self.complaints.append(message.text)

        page.on("request", request)
        page.on("console", said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


def typed(page: Page, label: str) -> Locator:
    """A control of the applicant's form."""
    return page.locator("#fields").get_by_label(label, exact=True)


def fill(page: Page, applicant: dict[str, Any]) -> None:
    """Put a loan of `tests.serving.models` into the form, as a person would."""
    typed(page, "Income").fill(str(applicant["income"]))
    typed(page, "Balance/limit").fill(str(applicant["balance/limit"]))
    typed(page, "Late payments").select_option(applicant["late payments"])
    typed(page, "Region").select_option(str(applicant["region"]))
    if applicant["free"] is None:
        typed(page, "Free is not known").check()
    else:
        typed(page, "Free").fill(str(applicant["free"]))


def score(page: Page) -> int:
    """Press Score and read the score, once the answer and what would change it are there."""
    page.get_by_role("button", name="Score", exact=True).click()
    return shown_score(page)


def shown_score(page: Page) -> int:
    """The score on the page, once nothing is on its way."""
    page.locator("#result:not([aria-busy])").wait_for()
    return int(page.locator("#score").get_attribute("value") or "")


def taiwan_release(trees: int) -> ModelRelease:
    """Trees on the first 21,000 accounts, with figures on the others."""
    schema, accounts = taiwan_schema(), load_taiwan()
    names = list(schema.columns)
    training, held_out = accounts[:21_000], accounts[21_000:]
    rows = xgboost.DMatrix(schema.encode(training), schema.labels(training), feature_names=names)
    settings = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.1, "eval_metric": ["auc", "logloss"]}
    test = xgboost.DMatrix(schema.encode(held_out), schema.labels(held_out), feature_names=names)
    results: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(settings, rows, trees, evals=[(test, "test")], evals_result=results, verbose_eval=False)
    metrics = {name: values[-1] for name, values in results["test"].items()}
    counts = {"rows": float(len(held_out)), "defaults": float(schema.labels(held_out).sum())}
    cells = score_cells(booster.predict(test), schema.labels(held_out))
    model = bytes(booster.save_raw("json"))
    return ModelRelease(model, schema, {**metrics, **counts}, [metrics], cells, fixed_point_bits=40)


def main(target: Path) -> None:
    """Make the documentation's picture."""
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        put(Path(folder), taiwan_release(100))
        applicant = Path(folder) / "accounts.csv"
        load_taiwan()[:200].to_csv(applicant, index=False)
        with serving(Path(folder), Gate()) as (address, _):
            page = chromium.new_page(viewport={"width": 1280, "height": 1240})
            page.goto(address)
            page.get_by_role("button", name="Pick from a file").click()
            page.set_input_files("#picker-file", applicant)
            page.get_by_label("Search its rows").fill("id=1")
            page.get_by_role("button", name="Row 1 id 1 ·").click()
            page.get_by_role("button", name="Pick from a file").click()
            score(page)
            page.screenshot(path=target / "scoring_page.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
