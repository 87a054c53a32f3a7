"""POST /v1/score: one applicant in, PD, points and reasons out."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from riskfed.serving.access.client import Client
from riskfed.serving.api.answers import JsonResponse, audit_line, score_content
from riskfed.serving.api.documented import answers, request_body
from riskfed.serving.api.messages import ScoreAnswer, ScoreRequest
from riskfed.serving.api.requests import (
    check_media_type,
    idempotency_key,
    language_asked,
    name_request,
    read_body,
)
from riskfed.serving.api.retry import Retry, retry_of
from riskfed.serving.api.service import Service

PATH = "/v1/score"


def add_score(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.post(
        PATH,
        response_model=ScoreAnswer,
        responses=answers(400, 404, 408, 413, 415, 422, 503, language=True, replayed=True),
        openapi_extra=request_body("ScoreRequest", language=True, retries=True),
        summary="Score one applicant",
        tags=["scores"],
    )
    async def score(request: Request) -> Response:
        scope, limits = request.scope, service.limits
        client = await service.gate.admit(scope, "score")
        check_media_type(request)
        key = idempotency_key(scope)
        body = await read_body(request, limits.single, limits.seconds)
        asked = ScoreRequest.model_validate_json(body)
        name_request(scope, asked.request_id)
        if key is None:
            return await _score(service, client, request, asked)
        retry = retry_of(service, client, PATH, key, body)
        return await retry.earlier() or await _score(service, client, request, asked, retry)


async def _score(
    service: Service, client: Client, request: Request, asked: ScoreRequest, retry: Retry | None = None
) -> Response:
    """Score, keep for retries, record, answer: in this order, so that nothing leaves without its line."""
    scope = request.scope
    engine = service.engine(asked.model_version)
    language = engine.texts.choose(language_asked(scope))
    row, score = await engine.answer(asked.applicant, asked.customer_id, service.joint_deadline)
    content = score_content(engine, score, name_request(scope), language)
    response = JsonResponse(content, headers={"Content-Language": language, "Vary": "Accept-Language"})
    other = None if retry is None else await retry.first(response.body, language, content["request_id"])
    if other is not None:
        return other
    service.record("score", (audit_line(client, content),))
    service.scored(engine, ((content["request_id"], row, score),))
    return response
