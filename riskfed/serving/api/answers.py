"""Scores as they leave: JSON bodies, audit lines, and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json
from starlette.responses import Response

from riskfed.serving.access.client import Client
from riskfed.serving.api.requests import JSON
from riskfed.serving.api.service import Service
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.score import Score


class JsonResponse(Response):
    """JSON, dumped compactly and once."""

    media_type = JSON
    body: bytes

    def render(self, content: Any) -> bytes:
        """Bytes stay as they are."""
        return content if isinstance(content, bytes) else to_json(content)


def model_content(engine: Engine) -> dict[str, Any]:
    """Which model it is."""
    model = engine.model
    return {"name": model.name, "version": model.version, "alias": model.alias, "sha256": engine.sha256}


def score_content(engine: Engine, score: Score, request_id: str, language: str) -> dict[str, Any]:
    """A `ScoreAnswer`."""
    texts = engine.texts
    content: dict[str, Any] = {
        "request_id": request_id,
        "pd": score.pd,
        "score": score.points,
        "score_range": (engine.scale.minimum, engine.scale.maximum),
        "reasons": [
            {
                "code": reason.code,
                "text": texts.text(reason.feature, language),
                "feature": reason.feature,
                "rank": reason.rank,
                "points_lost": reason.points_lost,
            }
            for reason in score.reasons
        ],
        "model": model_content(engine),
    }
    if score.fallback is not None:
        content["fallback"] = score.fallback
    return content


def audit_line(client: Client, content: Mapping[str, Any], *, replayed: bool = False) -> dict[str, Any]:
    """A "score" line of what leaves: no feature, no customer."""
    line = {
        "client": client.name,
        "request_id": content["request_id"],
        "score": content["score"],
        "pd": content["pd"],
        "reasons": [reason["code"] for reason in content["reasons"]],
    }
    model = content["model"]
    line["model"], line["version"], line["alias"], line["sha256"] = (
        model["name"],
        model["version"],
        model["alias"],
        model["sha256"],
    )
    if "fallback" in content:
        line["fallback"] = content["fallback"]
    if replayed:
        line["replayed"] = True
    return line


def audit_stored(service: Service, client: Client, body: bytes, *, replayed: bool) -> None:
    """Write the lines of an answer that comes from the store of answers: a score, or an array with scores."""
    content = from_json(body)
    items = content if isinstance(content, list) else [content]
    service.record("score", [audit_line(client, item, replayed=replayed) for item in items if "pd" in item])
