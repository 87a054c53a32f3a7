"""``riskfed serve``: the scoring service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from riskfed.errors import ConfigurationError


def serve(
    config: Annotated[
        Path | None, typer.Option(help="Service file (TOML); the other options are for a look without one.")
    ] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="Address of the MLflow server.")] = None,
    model: Annotated[str | None, typer.Option(help="Registered model.")] = None,
    alias: Annotated[str, typer.Option(help="Which version: the one with this alias.")] = "champion",
    folder: Annotated[Path | None, typer.Option(help="A model's folder in place of the registry.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine's loopback; 0 takes a free one.")] = 8000,
    records: Annotated[Path, typer.Option(help="Folder of the audit log and what else is kept.")] = Path("scoring"),
) -> None:
    """Score applicants over HTTP with the champion of MLflow's registry; an analyst's page is at /."""
    from riskfed.serving.configuration import ListenSettings, ModelSettings, RecordsSettings, ServingSettings
    from riskfed.serving.server import serve as run

    if config is not None:
        if tracking_uri or model or folder:
            raise ConfigurationError("the service file names the model: leave out --tracking-uri, --model and --folder")
        return run(ServingSettings.read(config))
    if (folder is None) == (tracking_uri is None) or (tracking_uri is None) != (model is None):
        raise ConfigurationError("which model? Name --config FILE, or --tracking-uri and --model, or --folder")
    named = ModelSettings(tracking_uri=tracking_uri, name=model, alias=alias, folder=folder)
    listen, kept = ListenSettings(port=port), RecordsSettings(folder=records)
    return run(ServingSettings(model=named, listen=listen, records=kept))
