"""GET /healthz, /readyz and /metrics.

Whoever reaches the port may read the first two: probes have no key. They learn which model scores, and why the registry is not followed,
its address included; nothing of applicants or clients. Metrics tell how much business there is, so they take the scope of that name.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from riskfed.serving.api.answers import JsonResponse, model_content
from riskfed.serving.api.documented import answers
from riskfed.serving.api.messages import Health, Readiness
from riskfed.serving.api.metrics import CONTENT_TYPE
from riskfed.serving.api.service import Service


def add_health(app: FastAPI, service: Service) -> None:
    """Add the routes."""

    @app.get(
        "/healthz",
        response_model=Health,
        responses=answers(access=False),
        summary="Is the process alive?",
        tags=["operation"],
    )
    async def healthz(_: Request) -> Response:
        return JsonResponse({"status": "ok"})

    @app.get(
        "/readyz",
        response_model=Readiness,
        responses=answers(503, access=False),
        summary="Can it score, and is the registry followed?",
        tags=["operation"],
    )
    async def readyz(_: Request) -> Response:
        return JsonResponse(readiness_content(service))

    @app.get(
        "/metrics",
        response_class=Response,
        responses={**answers(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="Figures for Prometheus",
        tags=["operation"],
    )
    async def metrics(request: Request) -> Response:
        await service.gate.admit(request.scope, "metrics", cost=0)
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def readiness_content(service: Service) -> dict[str, Any]:
    """`Readiness`.

    Raises:
        ProblemError: 503: no model is loaded.
    """
    engine = service.engine()
    status = service.live.status()
    return {
        "status": "ready" if status.state == "ready" else "ready_with_problems",
        "model": model_content(engine),
        "since": status.since,
        "warm_start": status.warm_start,
        "last_success": status.last_success,
        "problem": status.problem,
        "refused": status.refused,
        "challenger": str(status.challenger) if status.challenger is not None else None,
        "challenger_problem": status.challenger_problem,
    }
