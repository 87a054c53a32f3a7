"""``riskfed audit``: the scoring service's audit log, verified and shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from riskfed.terminal_text import printable

app = typer.Typer(
    no_args_is_help=True, help="The scoring service's audit log: who asked, when, which model answered, and what."
)
Folder = Annotated[Path, typer.Argument(help="The audit log's folder.")]
_OF_THE_CHAIN: Final = {"sequence", "time", "event", "previous", "hash", "client", "request_id"}
"""Not among a line's fields: they stand elsewhere in it, or tell a person nothing."""
_HEX_SHOWN: Final = 12


@app.command()
def verify(
    folder: Folder,
    noted: Annotated[str | None, typer.Option(help="Hash of a line that the log is known to have had.")] = None,
    after: Annotated[
        str | None, typer.Option(help="Hash of the last line of the files that the bank moved away.")
    ] = None,
) -> None:
    """Check that no line and no file of an audit log was changed, moved or taken out. Prints the last hash: note it elsewhere.

    Complete files may be moved away, oldest first; --after then names where the rest begins. Exit code 1: the log is broken.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from riskfed.serving.records.audit_files import files_of, verify_audit

    size = sum(path.stat().st_size for path in files_of(folder))
    columns = (TextColumn("verifying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=size)
        summary = verify_audit(folder, noted, after=after, on_bytes=lambda read: progress.advance(task, read))
    counts = ", ".join(f"{count:,} {printable(event)}" for event, count in sorted(summary.events.items()))
    typer.echo(f"{summary.lines:,} lines in {summary.files} files, unbroken: {counts or 'none yet'}")
    if summary.lines:
        typer.echo(f"from {summary.first} to {summary.last}")
    if summary.unfinished:
        typer.echo(
            f"{summary.unfinished} bytes of an unfinished line: being written, or a crash's; the next start cuts it"
        )
    typer.echo(f"last hash {summary.head.hash}")


@app.command()
def show(
    folder: Folder,
    request_id: Annotated[str | None, typer.Option(help="Only lines of this request.")] = None,
    client: Annotated[str | None, typer.Option(help="Only lines of this client.")] = None,
    event: Annotated[str | None, typer.Option(help="Only lines of this event, score for one.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only lines of this time (UTC) or later.")] = None,
) -> None:
    """Show an audit log: line, time (UTC), event, client, request, and what was answered. Verifies what it reads on the way."""
    from riskfed.serving.records.audit_files import read_audit

    wanted = {"request_id": request_id, "client": client, "event": event}
    for entry in read_audit(folder, None if since is None else since.replace(tzinfo=UTC)):
        if all(value is None or entry.get(name) == value for name, value in wanted.items()):
            typer.echo(_told(entry))


def _told(entry: Mapping[str, Any]) -> str:
    time = str(entry["time"])[:23].replace("T", " ")
    fields = "; ".join(f"{name}: {_short(name, value)}" for name, value in entry.items() if name not in _OF_THE_CHAIN)
    who = f"{entry.get('client', ''):<16}  {entry.get('request_id', ''):<36}"
    return printable(f"{entry['sequence']:>9}  {time}  {entry['event']:<9}  {who}  {fields}".rstrip())


def _short(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)[:_HEX_SHOWN] if name == "sha256" else str(value)
