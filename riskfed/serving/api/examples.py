"""Examples for the OpenAPI document, made by the model in use from its own schema: nobody's values, and every one of them works."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import to_json, to_jsonable_python

from riskfed.serving.api.answers import score_content
from riskfed.serving.api.health import readiness_content
from riskfed.serving.api.messages import ScoreRequest
from riskfed.serving.api.models import details_content, entry_content
from riskfed.serving.api.problems import ProblemError, invalid_applicant
from riskfed.serving.api.requests import JSON, NDJSON
from riskfed.serving.api.service import Service
from riskfed.serving.api.tensors import OUTPUTS, input_metadata, output_metadata, output_tensors
from riskfed.serving.api.what_if import what_if_content
from riskfed.serving.engine.applicant import ApplicantError, FieldProblem
from riskfed.serving.engine.interface import Engine
from riskfed.serving.models.live import ServedVersion

_REQUEST_ID: Final = "example-1"
_PROBLEMS: Final = {
    400: ProblemError(400, "The body is not valid JSON in UTF-8.", kind="invalid-request", title="Malformed JSON"),
    401: ProblemError(401, "send Authorization: Bearer with a key or token", title="Not authenticated"),
    403: ProblemError(403, 'this client lacks the scope "score"; ask the operator for it', title="Not allowed"),
    404: ProblemError(404, "That version is not served; these are: 7, 6.", kind="version-not-served"),
    408: ProblemError(408, "The body did not come within 10 s."),
    413: ProblemError(413, "The body must not be longer than 65536 bytes."),
    415: ProblemError(415, "Send the body as application/json, not compressed."),
    429: ProblemError(429, "this client's limit is reached; wait", title="Too many requests"),
    500: ProblemError(500, "The server failed; its log has the kind of the error."),
    503: ProblemError(503, "No model is loaded yet."),
}


def problem_example(status: int, path: str, engine: Engine | None) -> Any:
    """A problem of that status, in the form that the path's problems have."""
    if status == 422:
        name = engine.schema.features[0].name if engine is not None else "income"
        problem = invalid_applicant(ApplicantError((FieldProblem((name,), "missing", "this field is required"),)))
    else:
        problem = _PROBLEMS[status]
    return {"error": problem.detail} if path.startswith("/v2") else problem.content()


def request_examples(engine: Engine) -> dict[str, dict[str, Any]]:
    """Path -> media type -> body."""
    applicant = engine.form.example()
    asked = {"request_id": _REQUEST_ID, "applicant": applicant}
    two = [asked, {**asked, "request_id": "example-2"}]
    inputs = [
        {**described, "shape": [1], "data": [applicant[described["name"]]]}
        for described in input_metadata(engine.schema)
    ]
    return {
        "/v1/score": {JSON: asked},
        "/v1/score:batch": {JSON: two, NDJSON: "".join(to_json(one).decode() + "\n" for one in two)},
        "/v1/score:what-if": {JSON: {"applicant": applicant}},
        "infer": {JSON: {"id": _REQUEST_ID, "inputs": inputs}},
    }


def answer_examples(service: Service, served: ServedVersion) -> dict[str, dict[str, Any]]:
    """Path -> media type -> body."""
    engine = served.engine
    language = engine.texts.languages[0]
    asked = ScoreRequest(request_id=_REQUEST_ID, applicant=engine.form.example())
    score = engine.score(asked.applicant)
    content = to_jsonable_python(score_content(engine, score, _REQUEST_ID, language))
    refused = {"request_id": "example-2", "problem": problem_example(422, "/v1", engine)}
    model = {"name": engine.model.name, "ready": True}
    metadata = {
        "name": engine.model.name,
        "versions": [engine.model.version],
        "platform": f"riskfed_{engine.kind}",
        "inputs": input_metadata(engine.schema),
        "outputs": output_metadata(),
    }
    inferred = {"model_name": engine.model.name, "model_version": engine.model.version, "id": _REQUEST_ID}
    return {
        "/v1/score": {JSON: content},
        "/v1/score:batch": {
            JSON: [content, refused],
            NDJSON: "".join(to_json(one).decode() + "\n" for one in (content, refused)),
        },
        "/v1/score:what-if": {
            JSON: to_jsonable_python(what_if_content(engine, asked.applicant, None, _REQUEST_ID, language))
        },
        "/v1/models": {JSON: to_jsonable_python({"models": [entry_content(served)]})},
        "/v1/models/{version}": {JSON: to_jsonable_python(details_content(served))},
        "/healthz": {JSON: {"status": "ok"}},
        "/readyz": {JSON: to_jsonable_python(readiness_content(service))},
        "/metrics": {"text/plain": 'riskfed_requests_total{route="/v1/score",status="2xx"} 1.0\n'},
        "/v2": {JSON: {"name": "riskfed", "version": "1.0.0", "extensions": []}},
        "/v2/health/live": {JSON: {"live": True}},
        "/v2/health/ready": {JSON: {"ready": True}},
        "ready": {JSON: model},
        "metadata": {JSON: metadata},
        "infer": {JSON: {**inferred, "outputs": output_tensors(OUTPUTS, [score])}},
    }
