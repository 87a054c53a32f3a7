"""``riskfed promote``: a person makes a registered version the champion."""

from __future__ import annotations

import getpass
import os
from typing import Annotated

import typer


def promote(
    name: Annotated[str, typer.Argument(help="Registered model.")],
    version: Annotated[str, typer.Argument(help="Its version.")],
    tracking: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="Address of the MLflow server.")
    ] = "http://127.0.0.1:5000",
    alias: Annotated[str, typer.Option(help="The alias to be moved.")] = "champion",
    reason: Annotated[str, typer.Option(help="Why; kept with the version.")] = "",
    by: Annotated[str, typer.Option(help="Who decides; by default MLflow's user, or whoever is logged in.")] = "",
    despite_the_gate: Annotated[
        bool,
        typer.Option("--despite-the-gate", help="Also where a limit is red or the champion is better; needs --reason."),
    ] = False,
) -> None:
    """Make a registered version the champion. One that cannot be loaded is refused always."""
    from riskfed.tracking.promotion import promote as decide

    decided = decide(
        tracking,
        name,
        version,
        by=by or os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser(),
        reason=reason,
        alias=alias,
        despite_the_gate=despite_the_gate,
    )
    typer.echo(f"{name} version {version} is {decided.told}")
