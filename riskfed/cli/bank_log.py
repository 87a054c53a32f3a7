"""``riskfed node log``: the vault's log, shown and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The vault's log of every decision and of everything that left the bank.")
Log = Annotated[Path, typer.Argument(help="The vault's log.")]


@app.command()
def verify(
    log: Log,
    noted: Annotated[str | None, typer.Option(help="Hash of a line that the log is known to have had.")] = None,
) -> None:
    """Check that no line of a vault's log was changed, moved or taken out. Prints the last hash: note it elsewhere."""
    from bank_nodes.log import verify_log

    head = verify_log(log, noted)
    typer.echo(f"{head.lines} lines, unbroken; last hash {head.hash}")


@app.command()
def show(
    log: Log,
    run: Annotated[str | None, typer.Option(help="Only this run, or only this run/attempt.")] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Each frame that left on a line of its own.")] = False,
) -> None:
    """Show a vault's log: line, time (UTC), event, run, and what was asked, decided or let out. Verifies it on the way."""
    from bank_nodes.log_view import view_log

    for row in view_log(log, run, frames=frames):
        typer.echo(f"{row.line:>7}  {row.time}  {row.event:<9}  {row.run:<24}  {row.text}")
