"""``riskfed serve``: the scoring API."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    tracking_uri: Annotated[str, typer.Option(help="Address of the MLflow server.")],
    model: Annotated[str, typer.Option(help="Registered model.")],
    alias: Annotated[str, typer.Option(help="Which version: the one with this alias.")] = "champion",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Score applicants over HTTP with the champion of MLflow's registry."""
    from riskfed.serving.server import serve as serve_model

    serve_model(tracking_uri, model, alias, host, port)
