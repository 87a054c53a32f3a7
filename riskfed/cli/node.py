"""``riskfed node``: a bank's own commands. Nothing here talks to the network but ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bank_nodes.check import Finding

app = typer.Typer(no_args_is_help=True, help="Make, check and run a bank's node.")
log_app = typer.Typer(no_args_is_help=True, help="The vault's log of everything that left the bank.")
app.add_typer(log_app, name="log")

Config = Annotated[Path, typer.Option("--config", "-c", help="The bank's node file.")]
_NODE_FILE = Path("bank.toml")


@app.command()
def keygen(
    path: Annotated[Path, typer.Argument(help="Where to write the signing key; must not exist.")],
    bank: Annotated[str, typer.Option(help="The bank's name, for the line that is printed.")] = "BANK",
) -> None:
    """Make the bank's signing key, and print what the other banks need.

    RISKFED_NODE__KEYS__PASSPHRASE, or a file named by RISKFED_NODE__KEYS__PASSPHRASE_FILE, encrypts the key.
    """
    import json

    from bank_nodes.config import passphrase_from_environment
    from bank_nodes.keystore import generate_identity
    from riskfed.secure.keys import fingerprint

    identity = generate_identity(path, passphrase_from_environment())
    typer.echo(f"signing key   {path} (secret, mode 0600)")
    typer.echo(f"fingerprint   {fingerprint(identity.public)}   compare it with every other bank by telephone")
    typer.echo("for the [banks] table of the consortium file:")
    typer.echo(f"{json.dumps(bank, ensure_ascii=False)} = {json.dumps(identity.public)}")


@app.command()
def check(config: Config = _NODE_FILE) -> None:
    """Check keys, schema, records, policy and folders. Exit code 1 if something is wrong."""
    from bank_nodes.check import check_node
    from bank_nodes.config import load_config

    findings = check_node(load_config(config))
    _show(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def run(config: Config = _NODE_FILE) -> None:
    """Run the bank's vault and its courier until they are stopped."""
    from bank_nodes.node import run_node

    raise typer.Exit(run_node(config))


@app.command()
def score(
    applicants: Annotated[Path, typer.Argument(help="CSV or Parquet file.")],
    output: Annotated[Path, typer.Argument(help="CSV or Parquet file that gets PD and points.")],
    config: Config = _NODE_FILE,
    model: Annotated[str | None, typer.Option(help="The run whose model to use; the current one otherwise.")] = None,
    id_column: Annotated[str, typer.Option(help="Copied to the output where the file has it.")] = "id",
) -> None:
    """Score applicants with the bank's own copy of the model, without any network."""
    from bank_nodes.config import load_config
    from bank_nodes.score import score_file

    scored = score_file(load_config(config), applicants, output, model, id_column=id_column)
    typer.echo(f"{scored.rows} applicants scored by the model of run {scored.run}: {scored.output}")


@log_app.command()
def verify(
    log: Annotated[Path, typer.Argument(help="The vault's log.")],
    noted: Annotated[str | None, typer.Option(help="Hash of a line that the log is known to have had.")] = None,
) -> None:
    """Check that no line of a vault's log was changed, moved or taken out. Prints the last hash: note it elsewhere."""
    from bank_nodes.log import verify_log

    head = verify_log(log, noted)
    typer.echo(f"{head.lines} lines, unbroken; last hash {head.hash}")


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "what", "found", box=None, pad_edge=False)
    for finding in findings:
        mark = Text("ok", style="green") if finding.ok else Text("wrong", style="bold red")
        table.add_row(mark, finding.area, Text(finding.detail, overflow="fold"))
    Console().print(table)
