"""Run the demo: SuperLink, MLflow, five bank nodes, one training under protection, the scoring API, and the pooled comparison."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from riskfed.demo.comparison import APPLICANTS, an_applicant, applicants, compare
from riskfed.demo.consortium import Consortium, lay_out
from riskfed.demo.next_steps import show_next_steps, write_run_files
from riskfed.demo.summary import Report, show, write_summary
from riskfed.demo.warm_up import compile_kernels
from riskfed.errors import RunFailedError
from riskfed.evaluation.limits import Limit, Limits
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import RunFile
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import judge_release
from riskfed.reports.progress import ProgressBar
from riskfed.stack.loopback import LoopbackStack

MODEL = "riskfed-pd"
EXPERIMENT = "Taiwan credit cards"
ACCEPTANCE = Limits(calibration_slope=Limit(amber=0.1), calibration_gap=Limit(amber=0.1))
"""No red for the PDs: those of a short demo may be far off, and its model is to be served all the same."""


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
        tracking_uri, nodes = _start_servers(stack, consortium, Path(sockets), console)
        outcome = _train(stack, settings, tracking_uri, nodes, console)
        with console.status("comparing with the pooled model and each bank alone"), ThreadPoolExecutor(1) as pool:
            starting = pool.submit(stack.start_scoring_api, tracking_uri, MODEL)
            release = ModelRelease.from_bytes((settings.folder / "release.json").read_bytes())
            comparison = compare(release, consortium.banks, consortium.schema, settings.job)
            _log_exactness(settings.folder, tracking_uri, outcome, comparison.trees_identical, comparison.trees)
            api = starting.result()
        applications = applicants(consortium.banks, consortium.schema, settings.job)
        applications.to_csv(settings.folder / APPLICANTS, index=False)
        applicant = an_applicant(applications)
        score = _score(api, applicant)
        seconds = time.monotonic() - started
        report = Report(
            comparison, outcome, score, applicant, tracking_uri, api, MODEL, judge_release(release, ACCEPTANCE), seconds
        )
        show(report, console, kept=settings.keep)
        if settings.keep:
            show_next_steps(settings.folder, stack, tracking_uri, api, outcome.tracking["run_id"], console)
        write_summary(report, settings.folder / "summary.json")
        if settings.keep:
            _wait(settings.folder, console)


def _start_servers(
    stack: LoopbackStack, consortium: Consortium, sockets: Path, console: Console
) -> tuple[str, dict[str, int]]:
    """SuperLink, MLflow and the banks' nodes; returns MLflow's address, and each bank's node id."""
    with console.status("starting SuperLink, MLflow and the banks' nodes"), ThreadPoolExecutor(2) as pool:
        # Compiled once, here, and found in the cache by every vault.
        compiling = pool.submit(compile_kernels)
        tracking = pool.submit(stack.start_mlflow)
        stack.start_superlink()
        consortium.write_node_files(stack, sockets, opted_in=frozenset({"universal", "digital"}))
        nodes = stack.register(consortium.flower_keys)
        compiling.result()
        for bank in consortium.banks:
            stack.start_node(bank, consortium.node_file(bank))
        tracking_uri = tracking.result()
    console.print(f"SuperLink (TLS, node keys) at {stack.address}, MLflow at {tracking_uri}")
    return tracking_uri, nodes


def _train(
    stack: LoopbackStack, settings: Settings, tracking_uri: str, nodes: Mapping[str, int], console: Console
) -> Outcome:
    folder = settings.folder
    run_file = write_run_files(folder, _run_file(settings, tracking_uri, nodes))
    with ProgressBar(console) as follow:
        outcome = stack.run(run_file, progress=follow)
    if outcome.status != "finished":
        raise RunFailedError(f"the run ended as {outcome.status}: {outcome.reason}; logs are in {folder / 'logs'}")
    return outcome


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


def _log_exactness(folder: Path, tracking_uri: str, outcome: Outcome, identical: int, total: int) -> None:
    from riskfed.tracking.run import MlflowRun

    tracking = MlflowRun(tracking_uri, EXPERIMENT, release_path=folder / "release.json")
    tracking.log_exactness(outcome.tracking["run_id"], identical, total)


def _rows(consortium: Consortium) -> str:
    return f"{sum(map(len, consortium.banks.values())):,}"


def _wait(folder: Path, console: Console) -> None:
    """Until SIGINT or SIGTERM. Whoever waits for the stack looks for the file."""
    (folder / "ready").touch()
    console.print("[dim]everything keeps running; Ctrl-C or `make down` stops it[/]")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")
