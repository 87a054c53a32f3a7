"""What the scoring service answers, read with suspicion: a score, a refusal, or why there is neither."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from riskfed.errors import ConfigurationError, RemoteProtocolError
from riskfed.serving.score_file.exchange import Answer

_LATER: Final = frozenset({408, 429, 502, 503, 504})
_REFUSED: Final = frozenset({400, 413, 422})
_UNREAD: Final = frozenset({400, 413})
_VERSION_GONE: Final = "urn:riskfed:problem:version-not-served"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The version by which a file is scored.

    Attributes:
        name: registered name.
        version: of the registry.
        sha256: of the model's JSON.
        inputs: JSON Schema of an applicant.
    """

    name: str
    version: str
    sha256: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    """One adverse reason; points lost against the average loan."""

    code: str
    text: str
    points_lost: float


@dataclass(frozen=True, slots=True)
class Scored:
    """One applicant's score; `fallback` says why a partner's part is missing."""

    pd: float
    points: int
    reasons: tuple[Reason, ...]
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """One applicant whom the service did not score: (JSON pointer, code, detail) of each problem, without values."""

    problems: tuple[tuple[str, str, str], ...]


class VersionGoneError(ConfigurationError):
    """The service does not serve the version that was asked for."""


class LaterError(Exception):
    """The service is busy, or not ready: the same request may be sent again.

    Attributes:
        after: seconds until then, where the service said so.
    """

    def __init__(self, told: str, after: float | None = None) -> None:
        super().__init__(told)
        self.after = after


async def check(answer: Answer) -> None:
    """Go on if the request was accepted.

    Raises:
        LaterError: it may be sent again.
        ConfigurationError: key, scope or version are not right.
        RemoteProtocolError: the service does not do what it should.
    """
    if answer.status != 200:
        try:
            problem = json.loads(await answer.body())
        except ValueError:
            problem = {}
        raise _error(answer.status, problem if isinstance(problem, dict) else {}, answer.headers.get("retry-after"))


def read_answer(line: bytes, request_id: str, model: ServedModel) -> Scored | Refused:
    """One line of an answer, which must be that to `request_id`, by `model`.

    Raises:
        LaterError, ConfigurationError, RemoteProtocolError: as `check`; a problem of the whole stream may come as its last line.
    """
    try:
        told = json.loads(line)
        problem = told.get("problem")
        if problem is not None and problem["status"] not in _REFUSED:
            raise _error(problem["status"], problem)
        # A line that the service could not read, or found too long, has no request id that it knows of; its place in the order is known.
        if told["request_id"] != request_id and not (problem and problem["status"] in _UNREAD):
            raise not_understood()
        if problem is not None:
            return Refused(tuple(_problems(problem)))
        if told["model"]["sha256"] != model.sha256:
            raise RemoteProtocolError(
                f"the service scored by another model than version {model.version}, which was asked for; its operator must act"
            )
        reasons = (Reason(reason["code"], reason["text"], float(reason["points_lost"])) for reason in told["reasons"])
        fallback = told.get("fallback")
        return Scored(
            float(told["pd"]), int(told["score"]), tuple(reasons), None if fallback is None else str(fallback)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise not_understood() from None


def not_understood() -> RemoteProtocolError:
    """What is said of an answer that is none."""
    return RemoteProtocolError(
        "the service answers otherwise than this riskfed expects; install the same release on both sides, and look at --url"
    )


def _problems(problem: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    listed = [(error["pointer"], error["code"], error["detail"]) for error in problem.get("errors") or ()]
    return listed or [("#", str(problem["status"]), problem["detail"])]


def _error(status: int, problem: Mapping[str, Any], after: str | None = None) -> Exception:
    """What a problem of the whole request means. Its texts hold no values: the service takes care of that."""
    detail = str(problem.get("detail") or problem.get("title") or "no reason given")
    if status in _LATER:
        return LaterError(detail, float(after) if after is not None and after.isdigit() else None)
    if problem.get("type") == _VERSION_GONE:
        return VersionGoneError(detail)
    if status == 401:
        return ConfigurationError(f"the service refuses the API key: {detail}")
    if status == 403:
        return ConfigurationError(f"the API key may not do this; it needs the scopes score and models: {detail}")
    return RemoteProtocolError(f"the service answers with status {status}: {detail}")
