"""The scoring service over HTTP: its routes, its layers and its life.

No applicant's value appears in an answer other than as its PD, its points and its reasons, nor in a log, a metric or an audit line.
Interactive documentation pages are off, because they load scripts from elsewhere; ``/openapi.json`` is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from riskfed.errors import AuditError
from riskfed.serving.api.batch import add_batch
from riskfed.serving.api.health import add_health
from riskfed.serving.api.inference_v2 import add_inference_v2
from riskfed.serving.api.middleware import Envelope, Shortcut
from riskfed.serving.api.models import add_models
from riskfed.serving.api.openapi import add_openapi
from riskfed.serving.api.page import page_routes
from riskfed.serving.api.problems import ProblemError
from riskfed.serving.api.score import add_score
from riskfed.serving.api.service import Service
from riskfed.serving.api.what_if import add_what_if

_log = logging.getLogger("riskfed.serving.api")


def create_app(service: Service, *, poll_seconds: float | None = 15.0) -> FastAPI:
    """Build the service.

    Args:
        service: its parts. The app closes the audit log, the store of answers and the gate when it ends.
        poll_seconds: time between two looks at the models' sources; None does not look.
    """
    # redirect_slashes would send the caller's path and query back in a header.
    app = FastAPI(
        title="riskfed scoring",
        lifespan=lambda _: _life(service, poll_seconds),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for add in (add_score, add_batch, add_what_if, add_models, add_inference_v2, add_health, add_openapi):
        add(app, service)
    app.router.routes.extend(page_routes())
    app.add_exception_handler(HTTPException, _refuse)
    service.metrics.watch(service.live, service.shadow)
    app.add_middleware(Shortcut, routes=app.routes)
    app.add_middleware(Envelope, metrics=service.metrics)
    return app


@contextlib.asynccontextmanager
async def _life(service: Service, poll_seconds: float | None) -> AsyncIterator[None]:
    """Follow the models while requests are answered; at the end, leave everything written."""
    service.record("started", ({"version": version("riskfed")},))
    work = []
    if poll_seconds is not None:
        work.append(asyncio.create_task(service.live.follow(poll_seconds)))
    if service.shadow is not None:
        work.append(asyncio.create_task(service.shadow.run()))
    try:
        yield
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await _close(service)


async def _close(service: Service) -> None:
    try:
        service.record("stopped", ({},))
    except AuditError as error:
        _log.error("the end is not in the audit log: %s", error)
    if service.audit is not None:
        service.audit.close()
    if service.idempotency is not None:
        await service.idempotency.close()
    await service.gate.close()
    if service.partners is not None:
        await service.partners.close()


async def _refuse(_: Request, error: Exception) -> Response:
    """Starlette's own refusals, as problems; its texts may hold the path."""
    details = {404: "There is no such resource.", 405: "The resource does not answer this method."}
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    raise ProblemError(status, details.get(status, "The request cannot be answered."), headers=headers) from None
