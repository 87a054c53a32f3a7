"""Run the demo: SuperLink, MLflow, five bank nodes, one training under protection, the scoring API, and the pooled comparison."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from riskfed.demo.comparison import APPLICANTS, an_applicant, applicants, compare
from riskfed.demo.consortium import Consortium, lay_out
from riskfed.demo.federation import ACCEPTANCE, log_exactness, run_to_the_end, start_servers
from riskfed.demo.next_steps import keep_running, show_next_steps, write_run_files
from riskfed.demo.summary import Report, show, write_summary
from riskfed.errors import RunFailedError
from riskfed.flower.run_file import RunFile
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import judge_release
from riskfed.stack.loopback import LoopbackStack

MODEL = "riskfed-pd"
EXPERIMENT = "Taiwan credit cards"
_OPTED_IN = ("universal", "digital")
"""Banks whose policy shows their own figures to the operator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the demo runs.

    Attributes:
        folder: emptied first; everything is written below it.
        job, protection, key_bits, transport: as in a run file.
        keep: leave all servers running until interrupted.
    """

    folder: Path
    job: HorizontalXgboost
    protection: str = "paillier"
    key_bits: int = 2048
    transport: str = "session"
    keep: bool = False


def run_demo(settings: Settings, console: Console) -> None:
    """Run it, print the table, write ``summary.json``; stops all that it started.

    Raises:
        RiskfedError: something did not come up, or the run failed; says which log to read.
    """
    started = time.monotonic()
    shutil.rmtree(settings.folder, ignore_errors=True)
    consortium = lay_out(settings.folder)
    console.print(f"[bold]riskfed demo[/]: {len(consortium.banks)} banks, {_rows(consortium)} real loan records")
    with tempfile.TemporaryDirectory(prefix="riskfed-") as sockets, LoopbackStack(settings.folder) as stack:
        shown = dict.fromkeys(_OPTED_IN, "show_own_metrics = true")
        write_node_files = partial(consortium.write_node_files, stack, Path(sockets), shown)
        tracking_uri, nodes = start_servers(stack, consortium, write_node_files, console)
        run_file = write_run_files(settings.folder, _run_file(settings, tracking_uri, nodes))
        outcome = run_to_the_end(stack, run_file, console)
        with console.status("comparing with the pooled model and each bank alone"), ThreadPoolExecutor(1) as pool:
            starting = pool.submit(stack.start_scoring_api, tracking_uri, MODEL)
            release = ModelRelease.from_bytes((settings.folder / "release.json").read_bytes())
            comparison = compare(release, consortium.banks, consortium.schema, settings.job)
            same, trees = comparison.trees_identical, comparison.trees
            log_exactness(settings.folder, tracking_uri, EXPERIMENT, outcome, same, trees)
            api = starting.result()
        applications = applicants(consortium.banks, consortium.schema, settings.job)
        applications.to_csv(settings.folder / APPLICANTS, index=False)
        applicant = an_applicant(applications)
        score = _score(api, applicant)
        seconds = time.monotonic() - started
        report = Report(
            comparison=comparison,
            score=score,
            applicant=applicant,
            verdict=judge_release(release, ACCEPTANCE),
            outcome=outcome,
            tracking_uri=tracking_uri,
            api=api,
            model=MODEL,
            seconds=seconds,
        )
        show(report, console, kept=settings.keep)
        if settings.keep:
            show_next_steps(settings.folder, stack, tracking_uri, api, outcome.tracking["run_id"], console)
        write_summary(report, settings.folder / "summary.json")
        if settings.keep:
            keep_running(settings.folder, console)


def _run_file(settings: Settings, tracking_uri: str, nodes: Mapping[str, int]) -> RunFile:
    return RunFile(
        job=settings.job,
        protection=settings.protection,
        key_bits=settings.key_bits,
        transport=settings.transport,
        roster=nodes,
        schema_file=Path("schema.json"),
        acceptance=ACCEPTANCE,
        tracking={"uri": tracking_uri, "experiment": EXPERIMENT, "model": MODEL},
    )


def _score(api: str, applicant: Mapping[str, float]) -> dict[str, Any]:
    answer = httpx.post(f"{api}/v1/score", json={"applicant": dict(applicant)}, timeout=30)
    if answer.status_code != 200:
        raise RunFailedError(f"the scoring API answered {answer.status_code}: {answer.text[:300]}")
    scored: dict[str, Any] = answer.json()
    return scored


def _rows(consortium: Consortium) -> str:
    return f"{sum(map(len, consortium.banks.values())):,}"
