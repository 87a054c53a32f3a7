"""The operator's commands, from ``riskfed train`` to ``riskfed register``. They talk to the SuperLink's control side."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riskfed.cli.champion import name_champion
from riskfed.errors import ConfigurationError

if TYPE_CHECKING:
    from riskfed.flower.control import Control
    from riskfed.flower.outcome import Outcome
    from riskfed.flower.watch import Launch

Job = Annotated[Path, typer.Option("--job", "-j", help="The run file, TOML or JSON.")]
Connection = Annotated[
    str | None,
    typer.Option(
        envvar="RISKFED_CONNECTION", help="Table [superlink.NAME] of $FLWR_HOME/config.toml; else its default."
    ),
]
_JOB = Path("run.toml")
_INTERRUPTED = 130


def train(
    job: Job = _JOB,
    connection: Connection = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that failed or was stopped.")] = False,
    attach: Annotated[bool, typer.Option("--attach", help="Start nothing; follow the run that goes on.")] = False,
    champion: Annotated[
        bool, typer.Option("--champion", help="Compare the model, loan by loan, with the registry's champion.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to follow the run; it goes on after that.")] = float("inf"),
) -> None:
    """Run a job with the banks of its roster, and follow it to its end: a bar on a terminal, JSON lines otherwise.

    Exit code 0: the model is out. Ctrl-C ends the following, not the run.
    """
    outcome = run_to_end(name_champion(job) if champion else job, connection, resume, attach, timeout)
    raise typer.Exit(0 if outcome.status == "finished" else 1)


def run_to_end(job: Path, connection: str | None, resume: bool, attach: bool, timeout: float) -> Outcome:
    """Start a run, or go on with or attach to one, follow it and report how it ended. Arguments as of `train`."""
    from riskfed.flower.run_file import RunFile
    from riskfed.flower.watch import launch, watch

    control, run = _control(connection), RunFile.load(job)
    started = _launched(job) if attach else launch(control, job, resume=resume)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _follower() as follow:
            outcome = watch(control, started, job, progress=follow, timeout=timeout)
    except KeyboardInterrupt:
        typer.secho(
            f"the run goes on; `riskfed train --attach --job {job}` follows it again, `riskfed stop --job {job}` ends it",
            err=True,
        )
        raise typer.Exit(_INTERRUPTED) from None
    _report_outcome(asdict(outcome), run.release_file)
    return outcome


def status(job: Job = _JOB, connection: Connection = None) -> None:
    """Show how the last run of a run file stands: state, attempt, trees, last event, banks' nodes and bytes."""
    from riskfed.flower.standing import standing
    from riskfed.reports.progress import show_standing

    fields = standing(_control(connection), job).as_fields()
    if sys.stdout.isatty():
        show_standing(_console(), fields)
    else:
        typer.echo(json.dumps(fields))


def logs(
    job: Job = _JOB,
    connection: Connection = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
) -> None:
    """Show what the run's ServerApp has logged, as the SuperLink keeps it."""
    started = _launched(job)
    with _control(connection).log(started.flower_run, follow=follow) as log:
        log.wait()


def stop(job: Job = _JOB, connection: Connection = None) -> None:
    """End the run that goes on. The banks keep their checkpoints: ``riskfed train --resume`` goes on with it."""
    started = _launched(job)
    _control(connection).stop(started.flower_run)
    typer.echo(f"run {started.flower_run} is stopped; `riskfed train --resume --job {job}` goes on with it")


def register(
    card: Annotated[Path, typer.Argument(help="The card that the bank has sent.")],
    connection: Connection = None,
    roster: Annotated[
        Path | None, typer.Option(help="TOML file of nodes that gets the line too; made if absent.")
    ] = None,
    fingerprint: Annotated[str | None, typer.Option(help="As the bank has read it out on the telephone.")] = None,
) -> None:
    """Admit a bank's node to the SuperLink: the Flower key of its card, whose signature is checked. Prints the roster's line.

    Without --fingerprint, whoever changed the card on its way gets a node under the bank's name. He could fail runs and see what any
    node sees, but take no bank's part: banks check each other's signing keys.
    """
    from bank_nodes.cards import read_card
    from riskfed.flower.roster_file import enter_node, roster_line

    read = read_card(card)
    read.check_heard(fingerprint)
    with TemporaryDirectory() as folder:
        public = Path(folder) / "node.pub"
        public.write_text(read.flower_key + "\n")
        node = _control(connection).register(public, read.bank)
    typer.echo(f"{read.bank} is registered, card {read.sequence}, {read.fingerprint}", err=True)
    if roster is not None and (old := enter_node(roster, read.bank, node)) not in {None, node}:
        typer.echo(f"it had node {old} before; end that by: flwr supernode unregister {old}", err=True)
    typer.echo(roster_line(read.bank, node))


def _control(connection: str | None) -> Control:
    from riskfed.flower.control import Control

    return Control(connection)


def _launched(job: Path) -> Launch:
    from riskfed.flower.watch import Launch

    started = Launch.load(job)
    if started is None:
        raise ConfigurationError(f"no run of {job.name} was started by `riskfed train` from this folder")
    return started


def _follower() -> Any:
    """A context manager that gives what takes progress lines."""
    from riskfed.reports.progress import ProgressBar

    return ProgressBar(_console()) if sys.stdout.isatty() else nullcontext(_print_line)


def _print_line(line: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(line))


def _report_outcome(fields: dict[str, Any], release_file: Path) -> None:
    from riskfed.reports.progress import show_outcome

    if sys.stdout.isatty():
        show_outcome(_console(), fields, release_file)
    else:
        _print_line({"event": "Outcome", **fields, "release_file": str(release_file)})


def _console() -> Any:
    from rich.console import Console

    return Console()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


COMMANDS: tuple[Callable[..., None], ...] = (train, status, logs, stop, register)
