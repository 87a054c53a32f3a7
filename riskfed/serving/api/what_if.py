"""POST /v1/score:what-if: what would change an applicant's score, within the schema's bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from riskfed.serving.api.answers import JsonResponse, model_content
from riskfed.serving.api.documented import answers, request_body
from riskfed.serving.api.messages import WhatIfAnswer, WhatIfRequest
from riskfed.serving.api.problems import ProblemError
from riskfed.serving.api.requests import check_media_type, language_asked, name_request, read_body
from riskfed.serving.api.service import Service
from riskfed.serving.engine.applicant import FieldProblem
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.what_if import Alternative, alternatives, immutable

PATH = "/v1/score:what-if"


def add_what_if(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.post(
        PATH,
        response_model=WhatIfAnswer,
        responses=answers(400, 404, 408, 413, 415, 422, language=True),
        openapi_extra=request_body("WhatIfRequest", language=True),
        summary="What would change an applicant's score?",
        tags=["scores"],
    )
    async def what_if(request: Request) -> Response:
        client = await service.gate.admit(request.scope, "score")
        check_media_type(request)
        body = await read_body(request, service.limits.single, service.limits.seconds)
        asked = WhatIfRequest.model_validate_json(body)
        engine = service.engine(asked.model_version)
        language = engine.texts.choose(language_asked(request.scope))
        content = what_if_content(engine, asked.applicant, asked.features, name_request(request.scope), language)
        # A score leaves here too, so there is a line of it.
        told = {name: content[name] for name in ("request_id", "score", "pd")}
        model = content["model"]
        line = {
            "client": client.name,
            **told,
            "model": model["name"],
            **{name: model[name] for name in ("version", "alias", "sha256")},
        }
        service.record("what_if", (line,))
        return JsonResponse(content, headers={"Content-Language": language, "Vary": "Accept-Language"})


def what_if_content(
    engine: Engine, applicant: Mapping[str, Any], features: Sequence[str] | None, request_id: str, language: str
) -> dict[str, Any]:
    """A `WhatIfAnswer`.

    Args:
        features: to vary; None for those of the reasons.

    Raises:
        ApplicantError: the applicant does not meet the schema.
        ProblemError: 422: a feature is none of the schema's.
    """
    score = engine.score(applicant)
    varied = _features(engine, features) or [reason.feature for reason in score.reasons]
    found = alternatives(engine, applicant, varied)
    content = {
        "request_id": request_id,
        "pd": score.pd,
        "score": score.points,
        "score_range": (engine.scale.minimum, engine.scale.maximum),
        "alternatives": [_alternative_content(one, engine.texts.text(one.feature, language)) for one in found],
        "immutable": [name for name in immutable(engine.schema) if name in varied],
        "model": model_content(engine),
    }
    return content if score.fallback is None else {**content, "fallback": score.fallback}


def _features(engine: Engine, asked: Sequence[str] | None) -> Sequence[str]:
    """The features that are asked for, each once.

    Raises:
        ProblemError: 422: one of them is none of the schema's.
    """
    known = {feature.name for feature in engine.schema.features}
    wrong = [
        FieldProblem(("features", str(place)), "unknown", "the model's schema has no such field")
        for place, name in enumerate(asked or ())
        if name not in known
    ]
    if wrong:
        raise ProblemError(422, "Name fields of the model's schema.", kind="invalid-request", errors=wrong)
    return list(dict.fromkeys(asked or ()))


def _alternative_content(found: Alternative, text: str) -> dict[str, Any]:
    return {
        "feature": found.feature,
        "text": text,
        "current": found.current,
        "best": found.best,
        "best_points": found.best_points,
        "nearest": found.nearest,
        "nearest_points": found.nearest_points,
        "curve": found.curve,
    }
