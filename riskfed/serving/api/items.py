"""Many applicants with one champion: of an array, and of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json

from riskfed.serving.access.client import Client
from riskfed.serving.api.answers import audit_line, score_content
from riskfed.serving.api.messages import ScoreRequest
from riskfed.serving.api.problems import ProblemError, invalid_applicant, invalid_envelope, malformed
from riskfed.serving.api.requests import sound_request_id
from riskfed.serving.api.service import Service
from riskfed.serving.engine.applicant import ApplicantError
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.score import Score

SLICE: Final = 64
"""Applicants that are scored before other requests get their turn: some 5 ms."""

ASKED_AT_ONCE: Final = 16
"""Customers of one slice whom partners are asked about at the same time. More would wait for each other, and miss their deadline."""


Scored = tuple[NDArray[np.float32], Score]
"""(1, k) encoded applicant, and its score."""


async def score_many(
    service: Service, engine: Engine, asked: Sequence[tuple[Mapping[str, Any], str | None]]
) -> list[Scored | ApplicantError]:
    """Score applicants, each with its customer's id or None, by one engine; those that do not meet the schema stay as their error.

    Where a customer is named, a partner may be asked, `ASKED_AT_ONCE` at a time; the others are scored together.
    """
    named = [place for place, (_, customer) in enumerate(asked) if customer is not None]
    turns = asyncio.Semaphore(ASKED_AT_ONCE)
    waited = await asyncio.gather(*(_answer(service, engine, *asked[place], turns) for place in named))
    answered = dict(zip(named, waited, strict=True))
    encoded = {place: _encode(engine, one) for place, (one, _) in enumerate(asked) if place not in answered}
    rows = {place: row for place, row in encoded.items() if not isinstance(row, ApplicantError)}
    scores = engine.score_rows(np.concatenate(list(rows.values()))) if rows else []
    found: dict[int, Scored | ApplicantError] = dict(answered)
    found |= {place: one for place, one in encoded.items() if isinstance(one, ApplicantError)}
    found |= {place: (row, score) for (place, row), score in zip(rows.items(), scores, strict=True)}
    return [found[place] for place in range(len(asked))]


async def _answer(
    service: Service, engine: Engine, applicant: Mapping[str, Any], customer: str | None, turns: asyncio.Semaphore
) -> Scored | ApplicantError:
    try:
        async with turns:
            return await engine.answer(applicant, customer, service.joint_deadline)
    except ApplicantError as error:
        return error


def _encode(engine: Engine, applicant: Mapping[str, Any]) -> NDArray[np.float32] | ApplicantError:
    try:
        return engine.encode(applicant)
    except ApplicantError as error:
        return error


@dataclass
class Batch:
    """One array or stream: who sent it, in which language it is answered, and the champion that scores all of it.

    Attributes:
        request_id: of the whole; entries that bring no id of their own get it with their number behind.
        taken: entries so far.
    """

    service: Service
    client: Client
    champion: Engine
    language: str
    request_id: str
    taken: int = field(default=0)

    async def answer(self, entries: Sequence[Any]) -> list[dict[str, Any]]:
        """Score some entries.

        Args:
            entries: parsed JSON; a `ProblemError` stands for what could not be parsed.

        Returns:
            A `ScoreAnswer` or an `ItemProblem` for each, in order, and nothing recorded yet.
        """
        contents: list[dict[str, Any]] = [{}] * len(entries)
        together: dict[Engine, list[tuple[int, str, ScoreRequest]]] = {}
        for place, entry in enumerate(entries):
            request_id = self._name(entry)
            try:
                asked, engine = self._read(entry)
                together.setdefault(engine, []).append((place, request_id, asked))
            except ProblemError as problem:
                contents[place] = self._refused(request_id, problem)
        for engine, items in together.items():
            found = await score_many(
                self.service, engine, [(asked.applicant, asked.customer_id) for *_, asked in items]
            )
            for (place, request_id, _), scored in zip(items, found, strict=True):
                contents[place] = self._content(engine, request_id, scored)
        return contents

    def record(self, contents: Sequence[dict[str, Any]]) -> None:
        """Write the audit lines of what is about to leave.

        Raises:
            AuditError: they could not be written.
        """
        lines = [audit_line(self.client, content) for content in contents if "pd" in content]
        if lines:
            self.service.record("score", lines)

    def _name(self, entry: Any) -> str:
        self.taken += 1
        given = sound_request_id(entry.get("request_id")) if isinstance(entry, dict) else None
        return given or f"{self.request_id}:{self.taken - 1}"

    def _read(self, entry: Any) -> tuple[ScoreRequest, Engine]:
        """Check an entry's shape, and find its model."""
        if isinstance(entry, ProblemError):
            raise entry
        try:
            asked = ScoreRequest.model_validate(entry)
        except ValidationError as error:
            raise invalid_envelope(error) from None
        return asked, self.champion if asked.model_version is None else self.service.engine(asked.model_version)

    def _content(self, engine: Engine, request_id: str, scored: Scored | ApplicantError) -> dict[str, Any]:
        if isinstance(scored, ApplicantError):
            return self._refused(request_id, invalid_applicant(scored))
        row, score = scored
        self.service.scored(engine, ((request_id, row, score),))
        return score_content(engine, score, request_id, self.language)

    def _refused(self, request_id: str, problem: ProblemError) -> dict[str, Any]:
        self.service.metrics.problem(problem)
        return {"request_id": request_id, "problem": problem.content()}


def parsed(line: bytes) -> Any:
    """A line's JSON, or the `ProblemError` that it is none."""
    try:
        return from_json(line)
    except ValueError:
        return malformed()


def slices(entries: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Entries in groups of `SLICE`."""
    return (entries[start : start + SLICE] for start in range(0, len(entries), SLICE))
