"""Errors as RFC 9457 problem details. They say where and what was expected; never what was received, the path included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from riskfed.serving.applicant import FieldProblem

MEDIA_TYPE = "application/problem+json"
INVALID_APPLICANT = "urn:riskfed:problem:invalid-applicant"
INVALID_REQUEST = "urn:riskfed:problem:invalid-request"
_MOST_SHOWN = 100

# What pydantic finds in the envelope, in this API's words. Its own text is not passed on: some of its messages quote the input.
_ENVELOPE = {
    "missing": ("missing", "this field is required"),
    "extra_forbidden": ("unknown", "the request has no such field"),
    "dict_type": ("wrong_type", "must be an object"),
    "model_type": ("wrong_type", "must be an object"),
    "model_attributes_type": ("wrong_type", "must be an object"),
    "string_type": ("wrong_type", "must be a text"),
    "string_pattern_mismatch": ("out_of_range", "must have 1 to 64 characters of A-Z a-z 0-9 . _ : -"),
}


class FieldError(BaseModel):
    """One field's problem."""

    pointer: str = Field(description="JSON pointer to the field, as a URI fragment (RFC 6901, section 6)")
    code: str = Field(description="missing, unknown, wrong_type, unknown_level or out_of_range")
    detail: str = Field(description="what was expected; never what was received")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


class ProblemResponse(JSONResponse):
    """A problem as a response."""

    media_type = MEDIA_TYPE


def problem(
    status: int,
    detail: str,
    *,
    type_: str = "about:blank",
    title: str | None = None,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Build the response. At most 100 field errors are listed."""
    listed = [FieldError(pointer=pointer(e.path), code=e.code, detail=e.detail) for e in errors[:_MOST_SHOWN]]
    content = Problem(
        type=type_, title=title or HTTPStatus(status).phrase, status=status, detail=detail, errors=listed or None
    )
    return ProblemResponse(content.model_dump(exclude_none=True), status_code=status, headers=dict(headers or {}))


def pointer(path: Iterable[str]) -> str:
    """JSON pointer in its URI fragment form, such as ``#/applicant/age``."""
    steps = (quote(step.replace("~", "~0").replace("/", "~1"), safe="~!$&'()*+,;=:@") for step in path)
    return "".join(["#", *(f"/{step}" for step in steps)])


def invalid_applicant(problems: Sequence[FieldProblem]) -> ProblemResponse:
    """422: the applicant does not meet the schema."""
    placed = [FieldProblem(("applicant", *found.path), found.code, found.detail) for found in problems]
    return problem(
        422,
        "The applicant does not meet the model's schema; correct the fields under errors.",
        type_=INVALID_APPLICANT,
        title="Invalid applicant",
        errors=placed,
    )


def invalid_envelope(error: ValidationError) -> ProblemResponse:
    """400 for what is not JSON, 422 for JSON of the wrong shape."""
    found: list[Any] = list(error.errors(include_url=False, include_context=False, include_input=False))
    if any(item["type"] == "json_invalid" for item in found):
        return problem(400, "The body is not valid JSON in UTF-8.", type_=INVALID_REQUEST, title="Malformed JSON")
    problems = []
    for item in found:
        code, detail = _ENVELOPE.get(item["type"], ("wrong_type", "is not as the API describes it"))
        # Names of fields that this API does not know are shown up to 128 characters, as in the applicant.
        path = tuple(str(step) for step in item["loc"])
        problems.append(FieldProblem(path if all(len(step) <= 128 for step in path) else (), code, detail))
    return problem(
        422,
        "The request does not have the expected shape; correct the fields under errors.",
        type_=INVALID_REQUEST,
        title="Invalid request",
        errors=problems,
    )
