"""``riskfed api-key``: keys of the applications that may call the scoring service. Only their hashes are kept."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Keys of the applications that may call the scoring service.")
Keys = Annotated[
    Path, typer.Option("--keys", "-k", help="The file of keys, mode 0600; the service takes it up at once.")
]
Days = Annotated[
    float | None,
    typer.Option("--days", min=0, max=36_500, help="How long the new key counts; without it, until it is revoked."),
]
_KEYS = Path("api-keys.json")


@app.command()
def add(
    client: Annotated[str, typer.Argument(help="Name of the application; stands in the audit log.")],
    scope: Annotated[list[str], typer.Option(help='What it may ask: "score", "models", "metrics"; repeat it.')],
    keys: Keys = _KEYS,
    days: Days = None,
) -> None:
    """Make a key and show it, once."""
    from riskfed.serving.access.key_file import add_key

    _show(add_key(keys, client, scope, valid=_span(days)))


@app.command()
def rotate(
    client: Annotated[str, typer.Argument(help="The application.")],
    keys: Keys = _KEYS,
    overlap: Annotated[float, typer.Option(min=0, max=36_500, help="Days for which its old keys still count.")] = 7.0,
    days: Days = None,
) -> None:
    """Make a new key with the scopes of the client's newest one; its old keys end after the overlap."""
    from riskfed.serving.access.key_file import rotate_key

    key, ending = rotate_key(keys, client, overlap=datetime.timedelta(days=overlap), valid=_span(days))
    _show(key)
    for old in ending:
        typer.echo(f"old key {old.id} counts until {_time(old.expires)}")


@app.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The 8 letters after rf_; not the whole key.")],
    keys: Keys = _KEYS,
) -> None:
    """End a key at once. The service refuses it within a second or two."""
    from riskfed.serving.access.key_file import revoke_key

    key = revoke_key(keys, identity)
    typer.echo(f"key {key.id} of {key.client} is revoked")


@app.command("list")
def list_keys(keys: Keys = _KEYS) -> None:
    """List all keys: id, client, scopes, when they were made and end, and their state. Never a key or its hash."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from riskfed.serving.access.key_file import read_keys

    now = datetime.datetime.now(datetime.UTC)
    table = Table("id", "client", "scopes", "created", "expires", "state", box=None, pad_edge=False)
    for key in read_keys(keys):
        scopes = Text(" ".join(key.scopes))
        table.add_row(key.id, Text(key.client), scopes, _time(key.created), _time(key.expires), key.state(now))
    Console().print(table)


def _show(key: str) -> None:
    typer.echo(key)
    typer.echo("Hand it over now: it is stored nowhere and cannot be shown again.", err=True)


def _span(days: float | None) -> datetime.timedelta | None:
    return None if days is None else datetime.timedelta(days=days)


def _time(moment: datetime.datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}Z"
