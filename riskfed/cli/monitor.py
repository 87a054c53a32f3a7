"""``riskfed monitor``: how the champion does on the banks' recent loans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riskfed.cli.champion import name_champion
from riskfed.cli.operator import Connection, Job, run_to_end
from riskfed.errors import ConfigurationError, RemoteProtocolError

if TYPE_CHECKING:
    from riskfed.evaluation.limits import Verdict
    from riskfed.flower.run_file import RunFile

_JOB = Path("monitor.toml")
_EXIT_CODES = {"green": 0, "amber": 10, "red": 20}
_COLOURS = {"green": typer.colors.GREEN, "amber": typer.colors.YELLOW, "red": typer.colors.RED}


def monitor(
    job: Job = _JOB,
    connection: Connection = None,
    alias: Annotated[
        str, typer.Option(help="Which version of the registered model: the one with this alias.")
    ] = "champion",
    timeout: Annotated[float, typer.Option(help="Seconds to follow the run; it goes on after that.")] = float("inf"),
) -> None:
    """Measure the champion on the banks' recent loans, together and under protection; say red, amber or green.

    The run file's job has the kind "model_monitoring"; where it names no model_sha256, the champion of its tracking table is taken.

    Exit code 0: green; 10: amber; 20: red; 1: the run failed.
    """
    from riskfed.flower.run_file import RunFile

    named = name_champion(job, alias)
    run = RunFile.load(named)
    if run.job.kind != "model_monitoring":
        raise ConfigurationError(
            f"{job.name} has a job of kind {run.job.kind}, expected model_monitoring; use riskfed train"
        )
    outcome = run_to_end(named, connection, resume=False, attach=False, timeout=timeout)
    if outcome.status == "failed":
        raise typer.Exit(1)
    verdict = _verdict(run)
    typer.secho(f"{verdict.colour.upper()}: model {run.job.needs_model}", fg=_COLOURS[verdict.colour], bold=True)
    for reason in verdict.reasons:
        typer.echo(f"  {reason}")
    raise typer.Exit(_EXIT_CODES[verdict.colour])


def _verdict(run: RunFile) -> Verdict:
    from riskfed.protocols.release import ModelRelease
    from riskfed.protocols.release_verdict import judge_release

    try:
        verdict = judge_release(ModelRelease.from_bytes(run.release_file.read_bytes()), run.acceptance)
    except (OSError, RemoteProtocolError):
        verdict = None
    if verdict is None:
        raise ConfigurationError(f"{run.release_file.name} holds no evaluation; the run's outcome says why")
    return verdict
