"""GET /v1/models and /v1/models/{version}: what is served, and all that a form or a reader needs of it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from riskfed.serving.api.answers import JsonResponse, model_content
from riskfed.serving.api.card import card_of, figures_of
from riskfed.serving.api.documented import answers
from riskfed.serving.api.messages import ModelDetails, ModelList
from riskfed.serving.api.service import Service
from riskfed.serving.models.live import ServedVersion


def add_models(app: FastAPI, service: Service) -> None:
    """Add the routes."""

    @app.get(
        "/v1/models",
        response_model=ModelList,
        responses=answers(),
        summary="The models that can be asked for",
        tags=["models"],
    )
    async def models(request: Request) -> Response:
        await service.gate.admit(request.scope, "models")
        service.engine()
        return JsonResponse({"models": [entry_content(one) for one in service.live.served()]})

    @app.get(
        "/v1/models/{version}",
        response_model=ModelDetails,
        responses=answers(404),
        summary="One of them: schema, scale, card",
        tags=["models"],
    )
    async def model(request: Request, version: str) -> Response:
        await service.gate.admit(request.scope, "models")
        return JsonResponse(details_content(service.served(version)))


def entry_content(served: ServedVersion) -> dict[str, Any]:
    """A `ModelEntry`."""
    engine = served.engine
    return {**model_content(engine), "kind": engine.kind, "role": served.role, "since": served.since}


def details_content(served: ServedVersion) -> dict[str, Any]:
    """`ModelDetails`."""
    engine, schema, scale = served.engine, served.files.schema, served.engine.scale
    return {
        **entry_content(served),
        "schema_name": schema.name,
        "schema_version": schema.version,
        "inputs": engine.form.json_schema(),
        "example": engine.form.example(),
        "score_range": (scale.minimum, scale.maximum),
        "scale": {
            "base": scale.base,
            "odds": scale.odds,
            "pdo": scale.pdo,
            "minimum": scale.minimum,
            "maximum": scale.maximum,
        },
        "languages": engine.texts.languages,
        "partners": [part.party for part in served.files.partners if part.splits],
        "card": card_of(served.files),
        "figures": figures_of(served.files),
    }
