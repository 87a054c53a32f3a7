"""How routes are described in OpenAPI: their problems, bodies and headers. `riskfed.serving.api.openapi` puts the document together."""

from __future__ import annotations

from typing import Any, Final

from riskfed.serving.api.problems import MEDIA_TYPE
from riskfed.serving.api.requests import JSON, NDJSON

_TEXTS: Final = {
    400: "The body is not JSON, or a header is wrong",
    401: "No key or token, or one that does not count",
    403: "The client lacks the scope",
    404: "There is no such version or resource",
    408: "The body did not come in time",
    413: "The body is too long",
    415: "The body is of another type",
    422: "A field is unknown, missing, of the wrong type or out of range; or the Idempotency-Key came with another body",
    429: "The client's limit is reached",
    500: "A defect of the server",
    503: "No model is loaded, or records cannot be kept",
}
_EVERYWHERE: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's id, as in the audit log",
        "required": True,
        "schema": {"type": "string"},
    }
}
_LANGUAGE: Final[dict[str, Any]] = {
    "Content-Language": {"description": "Of the reasons' texts", "required": True, "schema": {"type": "string"}}
}
_REPLAYED: Final[dict[str, Any]] = {
    "Idempotency-Replayed": {"description": "true: this is the first request's answer", "schema": {"enum": ["true"]}}
}
_RETRY_AFTER: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
}
_CHALLENGE: Final[dict[str, Any]] = {"WWW-Authenticate": {"description": "RFC 6750", "schema": {"type": "string"}}}

Described = dict[int | str, dict[str, Any]]


def reference(name: str) -> dict[str, str]:
    """JSON reference to a message of `messages` or of the Open Inference Protocol."""
    return {"$ref": f"#/components/schemas/{name}"}


def answers(
    *statuses: int,
    access: bool = True,
    language: bool = False,
    replayed: bool = False,
    protocol: bool = False,
    lines: str | None = None,
) -> Described:
    """Answers of a route besides its good one, and the good one's headers.

    Args:
        *statuses: of its problems; 500 is always among them.
        access: whether a client must be let in: adds 401, 403, 429 and 503.
        language: whether the good answer says its language.
        replayed: whether it may be one that was given before.
        protocol: whether problems have the Open Inference Protocol's form.
        lines: message on each line of the answer, where that may be an NDJSON stream.
    """
    found = {*statuses, 500, *((401, 403, 429, 503) if access else ())}
    media_type, schema = (JSON, reference("InferenceError")) if protocol else (MEDIA_TYPE, reference("Problem"))
    described: Described = {}
    for status in sorted(found):
        headers = dict(_EVERYWHERE)
        headers |= _RETRY_AFTER if status in (429, 503) else {}
        headers |= _CHALLENGE if status in (401, 403) else {}
        described[status] = {
            "description": _TEXTS[status],
            "content": {media_type: {"schema": schema}},
            "headers": headers,
        }
    good = {**_EVERYWHERE, **(_LANGUAGE if language else {}), **(_REPLAYED if replayed else {})}
    described[200] = {"headers": good}
    if lines is not None:
        described[200]["content"] = {NDJSON: {"schema": {"type": "string", "description": f"{lines} on each line"}}}
    return described


def request_body(
    *names: str, language: bool = False, retries: bool = False, lines: str | None = None
) -> dict[str, Any]:
    """Body and headers of a request.

    Args:
        *names: the message in JSON; of several, the first is meant by ``lines``.
        language: whether Accept-Language counts.
        retries: whether Idempotency-Key does.
        lines: message on each line of an NDJSON stream, where that is taken too.
    """
    content: dict[str, Any] = {JSON: {"schema": reference(names[0])}}
    if lines is not None:
        content[NDJSON] = {"schema": {"type": "string", "description": f"{lines} on each line"}}
    described: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    parameters = []
    if language:
        parameters.append(_parameter("Accept-Language", "Of the reasons' texts; RFC 9110", {"type": "string"}))
    if retries:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"}
        parameters.append(
            _parameter(
                "Idempotency-Key", "A UUID, for one: a retry with the same key and body gets the first answer", schema
            )
        )
    return {**described, **({"parameters": parameters} if parameters else {})}


def _parameter(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": schema}
