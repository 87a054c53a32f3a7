"""What happens to every request: its errors become problems, its answer gets the headers that all have, and it is counted.

Plain ASGI, because this is the path of every request. Nothing leaves here as an exception: the HTTP server would log a traceback, whose
text may quote an applicant's value.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskfed.serving.api.metrics import ServiceMetrics
from riskfed.serving.api.problems import ProblemError, problem_of
from riskfed.serving.api.requests import ClientGoneError, name_request

Endpoint = Callable[[Request], Awaitable[Response]]

# A header that an answer brings itself stays. Scores and errors are for nobody's cache, and no browser may take an answer for a page.
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")


class Envelope:
    """The outermost layer. Frees those within from writing answers to errors."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other ASGI events pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(scope, message)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except ClientGoneError:
            status = status or 499  # nginx's word for it; counted, never sent
        except Exception as error:
            problem = problem_of(error, _label(scope))
            self._metrics.problem(problem)
            # Where an answer has begun, its end is missing, and the server closes the connection.
            if not status:
                await _send_problem(problem, scope, send_on)
        self._metrics.answered(_label(scope), status, time.perf_counter() - began)


class Shortcut:
    """Calls the endpoint of a path without parameters by one look into a dictionary.

    The routing above costs a third of such a request's CPU time. Whatever is not in the dictionary goes the ordinary way, other methods
    of the same path too.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._direct: dict[tuple[str, str], tuple[Endpoint, APIRoute]] = {
            (method, route.path): (route.endpoint, route)
            for route in routes
            if isinstance(route, APIRoute) and "{" not in route.path
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        endpoint, scope["route"] = found
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)


def _complete(scope: Scope, message: Message) -> None:
    """Add the headers that every answer has."""
    headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
    given = {name.lower() for name, _ in headers}
    headers.extend(pair for pair in _HEADERS if pair[0] not in given)
    if b"x-request-id" not in given:
        headers.append((b"x-request-id", name_request(scope).encode("ascii")))
    if scope.get("scheme") == "https":
        headers.append(_HSTS)
    message["headers"] = headers


def _label(scope: Scope) -> str:
    """The route's own path, never the request's: that one is the client's text."""
    route: Any = scope.get("route")
    if route is not None:
        return str(route.path)
    return "/" if "endpoint" in scope else "none"


async def _send_problem(problem: ProblemError, scope: Scope, send: Send) -> None:
    body, media_type = problem.body(scope["path"])
    headers = [(b"content-type", media_type), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})
