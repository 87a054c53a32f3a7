"""POST /v1/score:batch: an array of applicants, or a stream of them (NDJSON)."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from riskfed.serving.access.client import Client
from riskfed.serving.api.answers import JsonResponse
from riskfed.serving.api.documented import answers, request_body
from riskfed.serving.api.items import Batch, slices
from riskfed.serving.api.messages import ItemProblem, ScoreAnswer
from riskfed.serving.api.problems import ProblemError, malformed
from riskfed.serving.api.requests import (
    NDJSON,
    check_media_type,
    idempotency_key,
    language_asked,
    media_type,
    name_request,
    read_body,
)
from riskfed.serving.api.retry import Retry, retry_of
from riskfed.serving.api.service import Service
from riskfed.serving.api.stream import StreamedScores

PATH = "/v1/score:batch"


def add_batch(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.post(
        PATH,
        response_model=list[ScoreAnswer | ItemProblem],
        responses=answers(400, 408, 413, 415, 422, language=True, replayed=True, lines="ScoreAnswer or ItemProblem"),
        openapi_extra=request_body("ScoreRequests", language=True, retries=True, lines="ScoreRequest"),
        summary="Score many applicants, all with one champion",
        tags=["scores"],
    )
    async def batch(request: Request) -> Response:
        scope = request.scope
        # A stream's applicants are counted as they come, an array's once it is known how many they are.
        client = await service.gate.admit(scope, "score", cost=0)
        key = idempotency_key(scope)
        if media_type(scope) == NDJSON:
            check_media_type(request, NDJSON)
            if key is not None:
                raise ProblemError(
                    400,
                    "A stream takes no Idempotency-Key: ask again for the lines without an answer.",
                    kind="invalid-request",
                )
            started = _batch(service, client, request)
            return StreamedScores(started, _headers(started))
        check_media_type(request)
        body = await read_body(request, service.limits.batch, service.limits.seconds)
        if key is None:
            return await _score_array(service, client, request, body)
        retry = retry_of(service, client, PATH, key, body)
        return await retry.earlier() or await _score_array(service, client, request, body, retry)


async def _score_array(
    service: Service, client: Client, request: Request, body: bytes, retry: Retry | None = None
) -> Response:
    entries = _entries(body, service.limits.applicants)
    await service.gate.charge(client, max(len(entries), 1))
    batch = _batch(service, client, request)
    contents: list[dict[str, Any]] = []
    for some in slices(entries):
        contents += await batch.answer(some)
        await asyncio.sleep(0)
    response = JsonResponse(to_json(contents), headers=_headers(batch))
    other = None if retry is None else await retry.first(response.body, batch.language, batch.request_id)
    if other is not None:
        return other
    for some in slices(contents):
        batch.record(some)
        await asyncio.sleep(0)
    return response


def _batch(service: Service, client: Client, request: Request) -> Batch:
    champion = service.engine()
    language = champion.texts.choose(language_asked(request.scope))
    return Batch(service, client, champion, language, name_request(request.scope))


def _headers(batch: Batch) -> dict[str, str]:
    return {"Content-Language": batch.language, "Vary": "Accept-Language"}


def _entries(body: bytes, most: int) -> list[Any]:
    """The array's entries.

    Raises:
        ProblemError: 400: not JSON; 422: not an array; 413: more than `most` entries.
    """
    try:
        entries = from_json(body)
    except ValueError:
        raise malformed() from None
    if not isinstance(entries, list):
        raise ProblemError(422, "The body must be an array of requests.", kind="invalid-request")
    if len(entries) > most:
        raise ProblemError(413, f"At most {most} applicants in an array; send more of them as {NDJSON}.")
    return entries
