"""The scoring API.

No applicant's value appears in a response other than as its PD and points, nor in a log: unexpected errors are logged by type.
Interactive documentation pages are off, because they load scripts from elsewhere; ``/openapi.json`` is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from riskfed.serving.applicant import ApplicantError
from riskfed.serving.engine import ScoringEngine
from riskfed.serving.live import LiveModel
from riskfed.serving.problems import MEDIA_TYPE, Problem, invalid_applicant, invalid_envelope, problem

_log = logging.getLogger("riskfed.serving")
_MAXIMUM_BODY_BYTES = 65_536
_DESCRIPTIONS = {
    400: "The body is not JSON",
    413: "The body is too long",
    415: "The body is not declared as JSON",
    422: "A field is unknown, missing, of the wrong type or out of range",
    500: "A defect of the server",
    503: "No model is loaded",
}


class ScoreRequest(BaseModel):
    """One applicant. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="given back with the score; made up where absent"
    )
    applicant: dict[str, Any] = Field(
        description="field -> value, as in the model's schema; nullable fields may be left out"
    )


class ServedModel(BaseModel):
    """The model that scored."""

    name: str
    version: str
    alias: str | None
    sha256: str = Field(description="of the model's JSON, equal to that of the model which the banks released")


class ScoreResponse(BaseModel):
    """An applicant's score."""

    request_id: str
    pd: float = Field(ge=0, le=1, description="probability of default")
    score: int = Field(description="points; higher is better")
    score_range: tuple[int, int] = Field(description="points are clipped to this range")
    model: ServedModel


class Health(BaseModel):
    """State of the server."""

    status: str
    model: ServedModel | None = None


def create_app(live: LiveModel, *, poll_seconds: float | None = 15.0) -> FastAPI:
    """Build the API around a model.

    Args:
        live: the model; refreshed beforehand, or answered for with 503 until it is.
        poll_seconds: time between two looks at the model's source; None does not look.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(live.follow(poll_seconds)) if poll_seconds is not None else None
        yield
        if following is not None:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following

    # redirect_slashes would send the caller's path and query back in a header.
    app = FastAPI(
        title="riskfed scoring", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    _add_routes(app, live)
    _add_problem_handlers(app)
    app.openapi = lambda: _openapi(app, live.engine)  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI, live: LiveModel) -> None:
    documented: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
        for status, text in _DESCRIPTIONS.items()
    }

    @app.post("/v1/score", response_model=ScoreResponse, responses=documented, summary="Score one applicant")
    async def score(request: Request) -> Any:
        try:
            return await _answer(request, live.engine)
        except HTTPException:
            raise
        except Exception as error:  # an exception's text may quote a value, so its type alone is told and logged
            _log.error("scoring failed: %s", type(error).__name__)
            return problem(500, "The server failed to score; its log has the kind of the error.")

    @app.get("/healthz", response_model=Health, response_model_exclude_none=True, summary="Is the process alive?")
    async def healthz() -> Any:
        return {"status": "ok"}

    @app.get("/readyz", response_model=Health, responses={503: documented[503]}, summary="Is a model loaded?")
    async def readyz() -> Any:
        if live.engine is None:
            return problem(503, "No model is loaded yet.")
        return {"status": "ready", "model": _served(live.engine)}


async def _answer(request: Request, engine: ScoringEngine | None) -> JSONResponse:
    """Answer one scoring request with one engine."""
    if engine is None:
        return problem(503, "No model is loaded yet.", headers={"Retry-After": "15"})
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        return problem(415, "Send the applicant as application/json.")
    body = await _body(request)
    if body is None:
        return problem(413, f"The body must not be longer than {_MAXIMUM_BODY_BYTES} bytes.")
    try:
        asked = ScoreRequest.model_validate_json(body)
        scored = engine.score(asked.applicant)
    except ValidationError as error:
        return invalid_envelope(error)
    except ApplicantError as error:
        return invalid_applicant(error.problems)
    return JSONResponse(
        {
            "request_id": asked.request_id or str(uuid.uuid4()),
            "pd": scored.pd,
            "score": scored.points,
            "score_range": [engine.scale.minimum, engine.scale.maximum],
            "model": _served(engine),
        },
        headers={"Cache-Control": "no-store"},
    )


async def _body(request: Request) -> bytes | None:
    """The body, or None as soon as it is too long, whatever Content-Length says."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAXIMUM_BODY_BYTES:
            return None
    return bytes(body)


def _served(engine: ScoringEngine) -> dict[str, str | None]:
    model = engine.model
    return {"name": model.name, "version": model.version, "alias": model.alias, "sha256": engine.sha256}


def _add_problem_handlers(app: FastAPI) -> None:
    details = {404: "There is no such resource.", 405: "The resource does not answer this method."}

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        detail = details.get(error.status_code, "The request cannot be answered.")
        return problem(error.status_code, detail, headers=error.headers)


def _openapi(app: FastAPI, engine: ScoringEngine | None) -> dict[str, Any]:
    """OpenAPI for the model in use: its schema is the applicant's, with an example made from it."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    request = ScoreRequest.model_json_schema()
    if engine is not None:
        request["properties"]["applicant"] = engine.form.json_schema()
        request["example"] = {"request_id": "example-1", "applicant": engine.form.example()}
    content = {"application/json": {"schema": request}}
    document["paths"]["/v1/score"]["post"]["requestBody"] = {"required": True, "content": content}
    return document
