"""The Open Inference Protocol, version 2, over REST (https://github.com/kserve/open-inference-protocol), for platforms that speak it.

What it has no place for stays under ``/v1``: reasons' texts, customers, retries. An inference request is answered whole or not at all, and
problems have the protocol's form, ``{"error": "..."}``, with the same words and pointers as elsewhere and no value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from riskfed.serving.access.client import Client
from riskfed.serving.api.answers import JsonResponse, audit_line, score_content
from riskfed.serving.api.documented import answers, request_body
from riskfed.serving.api.items import Scored, score_many, slices
from riskfed.serving.api.problems import ProblemError
from riskfed.serving.api.requests import check_media_type, header, name_request, read_body
from riskfed.serving.api.service import Service
from riskfed.serving.api.tensors import (
    InferenceAnswer,
    InferenceRequest,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    applicants_of,
    input_metadata,
    output_metadata,
    output_tensors,
    refused,
    requested_outputs,
)
from riskfed.serving.engine.applicant import ApplicantError, FieldProblem
from riskfed.serving.engine.interface import Engine

_MODEL: Final = "/v2/models/{name}"
_VERSION: Final = "/v2/models/{name}/versions/{version}"


def add_inference_v2(app: FastAPI, service: Service) -> None:
    """Add the routes."""
    _add_state(app, service)
    _add_metadata(app, service)

    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        client = await service.gate.admit(request.scope, "score", cost=0)
        engine = _engine(service, name, version)
        if header(request.scope, b"inference-header-content-length") is not None:
            raise ProblemError(415, "The extension for binary data is not supported; send JSON.")
        check_media_type(request)
        body = await read_body(request, service.limits.batch, service.limits.seconds)
        asked = InferenceRequest.model_validate_json(body)
        return await _infer(service, client, request, asked, engine)

    for path in (_MODEL, _VERSION):
        app.post(
            f"{path}/infer",
            response_model=InferenceAnswer,
            responses=answers(400, 404, 408, 413, 415, 422, protocol=True),
            openapi_extra=request_body("InferenceRequest"),
            summary="Score applicants",
            tags=["open inference protocol"],
            operation_id=f"infer{path.count('/')}",
        )(infer)


def _add_state(app: FastAPI, service: Service) -> None:
    documented = answers(access=False, protocol=True)
    unready = answers(503, access=False, protocol=True)

    @app.get(
        "/v2/health/live",
        response_model=ServerLive,
        responses=documented,
        summary="Is the process alive?",
        tags=["open inference protocol"],
    )
    async def live(_: Request) -> Response:
        return JsonResponse({"live": True})

    @app.get(
        "/v2/health/ready",
        response_model=ServerReady,
        responses=unready,
        summary="Can it score?",
        tags=["open inference protocol"],
    )
    async def ready(_: Request) -> Response:
        service.engine()
        return JsonResponse({"ready": True})

    async def model_ready(_: Request, name: str, version: str | None = None) -> Response:
        engine = _engine(service, name, version)
        return JsonResponse({"name": engine.model.name, "ready": True})

    for path in (_MODEL, _VERSION):
        app.get(
            f"{path}/ready",
            response_model=ModelReady,
            responses=answers(404, 503, access=False, protocol=True),
            summary="Can this model score?",
            tags=["open inference protocol"],
            operation_id=f"model_ready{path.count('/')}",
        )(model_ready)


def _add_metadata(app: FastAPI, service: Service) -> None:
    @app.get(
        "/v2",
        response_model=ServerMetadata,
        responses=answers(protocol=True),
        summary="The server",
        tags=["open inference protocol"],
    )
    async def server(request: Request) -> Response:
        await service.gate.admit(request.scope, "models")
        return JsonResponse({"name": "riskfed", "version": version_of("riskfed"), "extensions": []})

    async def metadata(request: Request, name: str, version: str | None = None) -> Response:
        await service.gate.admit(request.scope, "models")
        engine = _engine(service, name, version)
        return JsonResponse(
            {
                "name": engine.model.name,
                "versions": [one.engine.model.version for one in service.live.served()],
                "platform": f"riskfed_{engine.kind}",
                "inputs": input_metadata(engine.schema),
                "outputs": output_metadata(),
            }
        )

    for path in (_MODEL, _VERSION):
        app.get(
            path,
            response_model=ModelMetadata,
            responses=answers(404, protocol=True),
            summary="A model's inputs and outputs",
            tags=["open inference protocol"],
            operation_id=f"metadata{path.count('/')}",
        )(metadata)


def _engine(service: Service, name: str, version: str | None) -> Engine:
    """The engine.

    Raises:
        ProblemError: 404: there is no such model, or version; 503.
    """
    engine = service.engine(version)
    if engine.model.name != name:
        raise ProblemError(404, f"That model is not served; this one is: {engine.model.name}.")
    return engine


async def _infer(
    service: Service,
    client: Client,
    request: Request,
    asked: InferenceRequest,
    engine: Engine,
) -> Response:
    wanted = requested_outputs(asked)
    applicants = applicants_of(asked, engine.schema, service.limits.applicants)
    await service.gate.charge(client, len(applicants))
    request_id = name_request(request.scope, asked.id)
    scored = await _scored(service, engine, asked, applicants)
    names = [f"{request_id}:{row}" for row in range(len(scored))]
    language = engine.texts.languages[0]  # of texts that go nowhere: codes alone leave, and stand in the audit log
    for some in slices(list(zip(names, scored, strict=True))):
        contents = [score_content(engine, score, name, language) for name, (_, score) in some]
        service.record("score", [audit_line(client, content) for content in contents])
        await asyncio.sleep(0)
    service.scored(engine, [(name, row, score) for name, (row, score) in zip(names, scored, strict=True)])
    return JsonResponse(
        {
            "model_name": engine.model.name,
            "model_version": engine.model.version,
            "id": request_id,
            "outputs": output_tensors(wanted, [score for _, score in scored]),
        }
    )


async def _scored(
    service: Service, engine: Engine, asked: InferenceRequest, applicants: Sequence[dict[str, Any]]
) -> list[Scored]:
    """All applicants' scores.

    Raises:
        ProblemError: 400: one of them does not meet the schema.
    """
    scored: list[Scored] = []
    for some in slices(applicants):
        for one in await score_many(service, engine, [(applicant, None) for applicant in some]):
            if isinstance(one, ApplicantError):
                raise refused([_at(problem, asked, len(scored)) for problem in one.problems])
            scored.append(one)
        await asyncio.sleep(0)
    return scored


def _at(problem: FieldProblem, asked: InferenceRequest, row: int) -> FieldProblem:
    """Where in the tensors a field's problem lies."""
    places = {tensor.name: place for place, tensor in enumerate(asked.inputs)}
    place = places.get(problem.path[0]) if problem.path else None
    if place is None:
        return FieldProblem(
            ("inputs",), problem.code, f"{problem.path[0] if problem.path else 'a tensor'}: {problem.detail}"
        )
    return FieldProblem(("inputs", str(place), "data", str(row)), problem.code, problem.detail)
