"""What the routes read of a request: its body within limits, and single headers."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.requests import Request

from riskfed.serving.api.problems import ProblemError

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
REQUEST_ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,64}$"
_REQUEST_ID: Final = re.compile(REQUEST_ID_PATTERN.strip("^$"))
_NAMED: Final = "riskfed.request_id"
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")


def header(scope: MutableMapping[str, Any], name: bytes) -> bytes | None:
    """The first header of that name, in lower case; None where there is none."""
    for found, value in scope["headers"]:
        if found == name:
            return bytes(value)
    return None


def media_type(scope: MutableMapping[str, Any], otherwise: str = JSON) -> str:
    """The body's type without parameters, in lower case."""
    stated = header(scope, b"content-type")
    return otherwise if stated is None else stated.partition(b";")[0].strip().lower().decode("latin-1")


def language_asked(scope: MutableMapping[str, Any]) -> str | None:
    """Accept-Language."""
    asked = header(scope, b"accept-language")
    return None if asked is None else asked.decode("latin-1")


def idempotency_key(scope: MutableMapping[str, Any]) -> str | None:
    """Idempotency-Key; None where there is none.

    Raises:
        ProblemError: 400: it is not 1 to 255 visible characters of ASCII, or there are several.
    """
    found = [value for name, value in scope["headers"] if name == b"idempotency-key"]
    if not found:
        return None
    if len(found) > 1 or _IDEMPOTENCY_KEY.fullmatch(found[0]) is None:
        raise ProblemError(
            400, "Idempotency-Key must be one value of 1 to 255 visible ASCII characters.", kind="invalid-request"
        )
    return bytes(found[0]).decode("ascii")


def name_request(scope: MutableMapping[str, Any], request_id: str | None = None) -> str:
    """Give the request its id, the client's or a new one; it stands in X-Request-Id of the answer."""
    named = request_id if request_id is not None else scope.get(_NAMED) or str(uuid.uuid4())
    scope[_NAMED] = named
    return str(named)


def sound_request_id(request_id: object) -> str | None:
    """`request_id` if it is one."""
    return request_id if isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id) else None


def check_media_type(request: Request, expected: str = JSON) -> None:
    """Refuse a body of another type, or one that is compressed.

    Raises:
        ProblemError: 415.
    """
    if media_type(request.scope) != expected or header(request.scope, b"content-encoding") not in (None, b"identity"):
        raise ProblemError(415, f"Send the body as {expected}, not compressed.")


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The whole body.

    Raises:
        ProblemError: 413 as soon as it is longer than `most` bytes, whatever Content-Length says; 408 where it has not come within
            `seconds`. Both end the connection, because the rest of the body may still be on its way.
        ClientGoneError: the client has gone.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, most)
    except TimeoutError:
        raise ProblemError(
            408, f"The body did not come within {seconds:g} s.", headers={"Connection": "close"}
        ) from None


class ClientGoneError(Exception):
    """The client went away; nobody is left to answer."""


async def _read(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    stated = header(request.scope, b"content-length")
    if stated is not None and stated.isdigit() and int(stated[:20]) > most:
        raise too_long(most)
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        length += len(part)
        if length > most:
            raise too_long(most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def too_long(most: int) -> ProblemError:
    """413."""
    return ProblemError(413, f"The body must not be longer than {most} bytes.", headers={"Connection": "close"})
