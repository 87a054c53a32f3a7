"""``/openapi.json``: the routes as FastAPI collects them, with the served schema's applicant, examples, and who must be let in."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from riskfed.serving.api.answers import JsonResponse
from riskfed.serving.api.documented import reference
from riskfed.serving.api.examples import answer_examples, problem_example, request_examples
from riskfed.serving.api.messages import ItemProblem, Problem, ScoreRequest, WhatIfRequest
from riskfed.serving.api.service import Service
from riskfed.serving.api.tensors import InferenceError, InferenceRequest
from riskfed.serving.engine.interface import Engine

_DESCRIPTION: Final = (
    "Scores credit applicants with a model that banks trained together. Problems are RFC 9457 problem details under /v1, and "
    "have the Open Inference Protocol's form under /v2; they point at fields and never hold a value. Every answer has "
    "X-Request-Id, under which the audit log knows it."
)
_FLOAT32_MAXIMUM: Final = float(np.finfo(np.float32).max)
_MESSAGES: Final = (ScoreRequest, WhatIfRequest, Problem, ItemProblem, InferenceRequest, InferenceError)
_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of this service, or an access token of the bank's issuer. Client certificates are the other way in.",
}


def add_openapi(app: FastAPI, service: Service) -> None:
    """Add the route. No key is needed: the document holds the schema's field names and bounds, which clients are built by."""
    made: list[tuple[Engine | None, bytes]] = []

    async def openapi(_: Request) -> Response:
        champion = service.live.champion
        if not made or made[0][0] is not champion:
            made[:] = [(champion, JsonResponse(document(app, service)).body)]
        return JsonResponse(bytes(made[0][1]))

    app.get("/openapi.json", include_in_schema=False)(openapi)


def document(app: FastAPI, service: Service) -> dict[str, Any]:
    """OpenAPI 3.1 for the model in use."""
    found = get_openapi(
        title="riskfed scoring", version="1", openapi_version="3.1.0", description=_DESCRIPTION, routes=app.routes
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    _, own = models_json_schema(
        [(message, "validation") for message in _MESSAGES], ref_template="#/components/schemas/{model}"
    )
    schemas.update(own["$defs"])
    schemas["ScoreRequests"] = {
        "type": "array",
        "maxItems": service.limits.applicants,
        "items": reference("ScoreRequest"),
        "description": "Entries are answered one by one: one that is wrong gets a problem, and the others their scores.",
    }
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which this service never answers with
        schemas.pop(name, None)
    served = service.live.served()
    engine = served[0].engine if served else None
    if engine is not None:
        applicant = _bounded(engine.form.json_schema())
        for name in ("ScoreRequest", "WhatIfRequest"):
            schemas[name]["properties"]["applicant"] = applicant
        names = {"type": "string", "enum": [feature.name for feature in engine.schema.features]}
        schemas["WhatIfRequest"]["properties"]["features"]["anyOf"][0]["items"] = names
    found["components"]["securitySchemes"] = {} if service.gate.open else {"bearer": _BEARER}
    asked = request_examples(engine) if engine is not None else {}
    answered = answer_examples(service, served[0]) if served else {}
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _complete(path, operation, service, engine)
            _illustrate(path, operation, asked, answered)
    return found


def _bounded(applicant: dict[str, Any]) -> dict[str, Any]:
    """An applicant's JSON Schema with the bound that every number has, and that no form need show: it is finite as float32."""
    properties = {
        name: field if "enum" in field else {"minimum": -_FLOAT32_MAXIMUM, "maximum": _FLOAT32_MAXIMUM, **field}
        for name, field in applicant["properties"].items()
    }
    return {**applicant, "properties": properties}


def _complete(path: str, operation: dict[str, Any], service: Service, engine: Engine | None) -> None:
    """Problems' examples, and whether a client must be let in."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422", "")):
        del responses["422"]
    for status, response in responses.items():
        if status != "200":
            (media,) = response["content"].values()
            media["example"] = problem_example(int(status), path, engine)
    if "401" in responses and not service.gate.open:
        operation["security"] = [{"bearer": []}]


def _illustrate(path: str, operation: dict[str, Any], asked: dict[str, Any], answered: dict[str, Any]) -> None:
    """Examples of good requests and answers. Routes of the protocol with a version share those without."""
    last = path.rpartition("/")[2]
    key = (
        path
        if path in answered or path in asked
        else "metadata"
        if path.startswith("/v2/models/") and last.startswith("{")
        else last
    )
    bodies = (
        (operation.get("requestBody", {}).get("content", {}), asked),
        (operation["responses"]["200"].get("content", {}), answered),
    )
    for content, examples in bodies:
        for media_type, example in examples.get(key, {}).items():
            content.setdefault(media_type, {})["example"] = example
