"""``riskfed node``: a bank's own commands. Nothing here talks to the network but ``run`` and ``courier``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riskfed.cli import bank_log, keys, policy
from riskfed.errors import ConfigurationError

if TYPE_CHECKING:
    from bank_nodes.check import Finding

app = typer.Typer(no_args_is_help=True, help="Make, check and run a bank's node.")
app.add_typer(bank_log.app, name="log")

Config = Annotated[Path, typer.Option("--config", "-c", help="The bank's node file.")]
_NODE_FILE = Path("bank.toml")


for command in (keys.keygen, keys.pin, keys.rotate, keys.revoke, keys.banks):
    app.command()(command)
for of_policy in (policy.policy, policy.pending, policy.approve, policy.reject):
    app.command()(of_policy)


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
    """Run the bank's vault and its courier until they are stopped. As root: each as the user that the node file names."""
    from bank_nodes.node import run_node

    raise typer.Exit(run_node(config))


@app.command()
def vault(config: Config = _NODE_FILE) -> None:
    """Run the bank's vault alone, as the present user; for a unit of its own."""
    from bank_nodes.vault import main

    raise typer.Exit(main(["--config", str(config)]))


@app.command()
def courier(config: Config = _NODE_FILE) -> None:
    """Run the bank's courier alone, as the present user: wait for the vault, then become the stock flower-supernode."""
    from bank_nodes.node import become_courier

    become_courier(config)


@app.command()
def answer(config: Config = _NODE_FILE) -> None:
    """Answer, as a feature holder, how customers go at this bank's splits: the partner's part of joint scoring."""
    try:
        from bank_nodes.answers.server import answer as serve
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: install riskfed[node,answers]") from None
    from bank_nodes.config import load_config

    serve(load_config(config))


@app.command()
def answered(config: Config = _NODE_FILE) -> None:
    """Verify the log of what was answered to whom, and show how often; its last hash is for a note elsewhere."""
    from bank_nodes.answers.log import summary
    from bank_nodes.config import load_config

    settings = load_config(config).answers
    if settings is None:
        raise ConfigurationError("the node file has no section [answers]")
    for line in summary(settings.log):
        typer.echo(line)


@app.command()
def part(
    run: Annotated[str, typer.Argument(help="The run that made it, as the vault's log names it.")],
    config: Config = _NODE_FILE,
) -> None:
    """Show this party's own part of a joint model: its half of the points card, or its splits. Nobody else has it."""
    from bank_nodes.config import load_config
    from bank_nodes.parts import describe_part

    typer.echo(describe_part(load_config(config).vault.models, run))


@app.command()
def score(
    applicants: Annotated[Path, typer.Argument(help="CSV or Parquet file.")],
    output: Annotated[Path, typer.Argument(help="CSV or Parquet file that gets PD and points.")],
    config: Config = _NODE_FILE,
    model: Annotated[str | None, typer.Option(help="The run whose model to use; the current one otherwise.")] = None,
    compact: Annotated[
        Path | None, typer.Option(help="File of `riskfed node compact`; no node file is needed then.")
    ] = None,
    id_column: Annotated[str, typer.Option(help="Copied to the output where the file has it.")] = "id",
    delimiter: Annotated[
        str | None, typer.Option(help="Between the fields of CSV files, with --compact; else the node file says.")
    ] = None,
) -> None:
    """Score applicants with the bank's own copy of the model, or a compact one, without any network."""
    from bank_nodes.score import Columns, score_file, score_file_compact

    if compact is not None:
        if model is not None:
            raise ConfigurationError("--compact names a file, --model a run; give one of them")
        scored = score_file_compact(compact, applicants, output, Columns(id_column, delimiter or ","))
    else:
        from bank_nodes.config import load_config

        if delimiter is not None:
            raise ConfigurationError("--delimiter goes with --compact; otherwise the node file's data.delimiter counts")
        scored = score_file(load_config(config), applicants, output, model, id_column=id_column)
    made = f"run {scored.run}" if scored.run else f"sha256 {scored.sha256[:12]}"
    typer.echo(f"{scored.rows} applicants scored by the model of {made}: {scored.output}")


@app.command()
def compact(
    output: Annotated[Path, typer.Argument(help="File that gets the compact model, such as model.rfc.")],
    config: Config = _NODE_FILE,
    model: Annotated[str | None, typer.Option(help="The run whose model is meant; the current one otherwise.")] = None,
) -> None:
    """Write a model of trees in one small file that scores on any machine: riskfed node score --compact."""
    from bank_nodes.compact import write_compact
    from bank_nodes.config import load_config

    done = write_compact(load_config(config), output, model)
    typer.echo(
        f"model of run {done.run}, sha256 {done.model_sha256}: {done.bytes:,} bytes with its schema, {done.model_bytes:,} as JSON; "
        f"sha256 of the compact form {done.sha256}: {done.output}"
    )


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "what", "found", box=None, pad_edge=False)
    for finding in findings:
        mark = Text("ok", style="green") if finding.ok else Text("wrong", style="bold red")
        table.add_row(mark, finding.area, Text(finding.detail, overflow="fold"))
    Console().print(table)
