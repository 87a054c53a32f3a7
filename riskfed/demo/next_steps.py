"""What else can be done with the demo's stack while it is kept running: run files for other jobs, and the commands that use them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from rich.console import Console

from riskfed.demo.comparison import APPLICANTS
from riskfed.flower.run_file import RunFile
from riskfed.jobs import HorizontalScorecard
from riskfed.stack.loopback import CONNECTION, LoopbackStack


def write_run_files(folder: Path, run: RunFile) -> Path:
    """Write the demo's run file, and beside it those of a scorecard and of monitoring, each in a folder of its own.

    Returns:
        The path of the demo's.
    """
    run.save(folder / "run.json")
    card = HorizontalScorecard(selection="stepwise", validation_fraction=run.job.validation_fraction)
    # The model to be monitored is the champion, once there is one: `riskfed monitor` fills it in.
    jobs = {"scorecard": card.model_dump(mode="json"), "monitor": {"kind": "model_monitoring"}}
    for name, job in jobs.items():
        (folder / name).mkdir(exist_ok=True)
        fields = {**run.model_dump(mode="json"), "job": job, "schema_file": "../schema.json"}
        (folder / name / "run.json").write_text(json.dumps(fields, indent=2) + "\n")
    return folder / "run.json"


def show_next_steps(
    folder: Path, stack: LoopbackStack, tracking_uri: str, api: str, run_id: str, console: Console
) -> None:
    """Print commands that work as they stand while the stack runs."""
    shown = Path(os.path.relpath(folder))
    home = os.path.relpath(stack.environment("operator")["FLWR_HOME"])
    console.print("\nto go on, as the operator:", highlight=False)
    for line in (
        f"export FLWR_HOME={home} RISKFED_CONNECTION={CONNECTION} MLFLOW_TRACKING_URI={tracking_uri}",
        f"riskfed report {run_id}",
        f"riskfed train --job {shown}/scorecard/run.json --champion",
        f"riskfed monitor --job {shown}/monitor/run.json",
        f"riskfed score-file {shown}/{APPLICANTS} --output {shown}/scores.csv --url {api}",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True)


def keep_running(folder: Path, console: Console) -> None:
    """Wait until SIGINT or SIGTERM. Whoever waits for the stack looks for the file ``ready``."""
    (folder / "ready").touch()
    console.print("[dim]everything keeps running; Ctrl-C or `make down` stops it[/]")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")
