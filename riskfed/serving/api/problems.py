"""Errors as RFC 9457 problem details. They say where and what was expected; never what was received, the path included.

Whatever goes wrong in a request is raised, and becomes an answer in one place (`riskfed.serving.api.middleware`). Under ``/v2`` it takes
the form that the Open Inference Protocol prescribes, ``{"error": "..."}``, with the same words.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_core import to_json

from riskfed.errors import AuditError, IdempotencyError
from riskfed.serving.access.client import AccessError
from riskfed.serving.engine.applicant import ApplicantError, FieldProblem

MEDIA_TYPE: Final = "application/problem+json"
_log = logging.getLogger("riskfed.serving.api")
_MOST_SHOWN = 100

# Problems that a client may want to tell from others of the same status; the rest are plain HTTP (about:blank).
_TITLES: Final = {
    "invalid-applicant": "Invalid applicant",
    "invalid-request": "Invalid request",
    "version-not-served": "Version not served",
    "idempotency-key-reused": "Idempotency-Key reused",
}
KINDS: Final = tuple(_TITLES)
"""Ends of the types' URNs."""

# What pydantic finds in the envelope, in this API's words. Its own text is not passed on: some of its messages quote the input.
_ENVELOPE = {
    "missing": ("missing", "this field is required"),
    "extra_forbidden": ("unknown", "the request has no such field"),
    "dict_type": ("wrong_type", "must be an object"),
    "model_type": ("wrong_type", "must be an object"),
    "model_attributes_type": ("wrong_type", "must be an object"),
    "list_type": ("wrong_type", "must be an array"),
    "string_type": ("wrong_type", "must be a text"),
    "int_type": ("wrong_type", "must be an integer"),
    "string_pattern_mismatch": ("out_of_range", "has characters, or a length, that the API does not allow there"),
    "string_too_short": ("out_of_range", "is too short"),
    "string_too_long": ("out_of_range", "is too long"),
    "too_short": ("out_of_range", "has too few entries"),
    "too_long": ("out_of_range", "has too many entries"),
}


class ProblemError(Exception):
    """A request that gets no answer but this one.

    Args:
        status: HTTP's.
        detail: what the client must do. A constant, or made of the schema and of names; never of a value.
        kind: end of the type's URN, ``urn:riskfed:problem:<kind>``; empty for about:blank.
        errors: what is wrong with which field; paths from the body's root.
        headers: for the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "",
        title: str = "",
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail
        self.kind = kind
        self.title = title or _TITLES.get(kind) or HTTPStatus(status).phrase
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    @property
    def code(self) -> str:
        """What kind it is, in a word for metrics, from a fixed set."""
        return self.kind or HTTPStatus(self.status).phrase.lower().replace(" ", "-")

    def content(self) -> dict[str, Any]:
        """The problem as JSON; at most 100 field errors."""
        content: dict[str, Any] = {
            "type": f"urn:riskfed:problem:{self.kind}" if self.kind else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if "Retry-After" in self.headers:
            # Where a problem stands in a stream, there is no header to say it.
            content["retry_after"] = int(self.headers["Retry-After"])
        if self.errors:
            content["errors"] = [
                {"pointer": pointer(e.path), "code": e.code, "detail": e.detail} for e in self.errors[:_MOST_SHOWN]
            ]
        return content

    def body(self, path: str) -> tuple[bytes, bytes]:
        """Body and media type of the answer to a request of `path`."""
        if path == "/v2" or path.startswith("/v2/"):
            found = "; ".join(f"{pointer(e.path)} {e.detail}" for e in self.errors[:_MOST_SHOWN])
            return to_json({"error": f"{self.detail} {found}" if found else self.detail}), b"application/json"
        return to_json(self.content()), MEDIA_TYPE.encode()


def pointer(path: Iterable[str]) -> str:
    """JSON pointer in its URI fragment form, such as ``#/applicant/age``."""
    steps = (quote(step.replace("~", "~0").replace("/", "~1"), safe="~!$&'()*+,;=:@") for step in path)
    return "".join(["#", *(f"/{step}" for step in steps)])


def problem_of(error: Exception, doing: str) -> ProblemError:
    """The problem that an exception means.

    What is not raised on purpose is a defect: its type and place are logged, and nothing else, because an exception's text, and the
    values in a traceback's frames, may be an applicant's.
    """
    match error:
        case ProblemError():
            return error
        case ApplicantError():
            return invalid_applicant(error)
        case ValidationError():
            return invalid_envelope(error)
        case AccessError():
            headers = {"WWW-Authenticate": error.challenge} if error.challenge else {}
            if error.retry_after is not None:
                headers["Retry-After"] = str(error.retry_after)
            return ProblemError(error.status, error.detail, title=error.title, headers=headers)
        case AuditError() | IdempotencyError():
            _log.error("%s: %s", doing, error)
            return ProblemError(
                503, "The service cannot keep its records now; its operator must act.", headers={"Retry-After": "15"}
            )
    _log.error("%s failed: %s at %s", doing, type(error).__name__, _place(error))
    return ProblemError(500, "The server failed; its log has the kind of the error.")


def invalid_applicant(error: ApplicantError) -> ProblemError:
    """422: the applicant does not meet the schema."""
    placed = [FieldProblem(("applicant", *found.path), found.code, found.detail) for found in error.problems]
    detail = "The applicant does not meet the model's schema; correct the fields under errors."
    return ProblemError(422, detail, kind="invalid-applicant", errors=placed)


def malformed() -> ProblemError:
    """400: the body is not JSON."""
    return ProblemError(400, "The body is not valid JSON in UTF-8.", kind="invalid-request", title="Malformed JSON")


def invalid_envelope(error: ValidationError) -> ProblemError:
    """400 for what is not JSON, 422 for JSON of the wrong shape."""
    found: list[Any] = list(error.errors(include_url=False, include_context=False, include_input=False))
    if any(item["type"] == "json_invalid" for item in found):
        return malformed()
    problems = []
    for item in found:
        code, detail = _ENVELOPE.get(item["type"], ("wrong_type", "is not as the API describes it"))
        # Names of fields that this API does not know are shown up to 128 characters, as in the applicant.
        path = tuple(str(step) for step in item["loc"])
        problems.append(FieldProblem(path if all(len(step) <= 128 for step in path) else (), code, detail))
    detail = "The request does not have the expected shape; correct the fields under errors."
    return ProblemError(422, detail, kind="invalid-request", errors=problems)


def _place(error: Exception) -> str:
    """File's name, line and function of the innermost frame; no line of code and no value."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    last = frames[-1]
    return f"{last.filename.rpartition('/')[2]}:{last.lineno} in {last.name}"
