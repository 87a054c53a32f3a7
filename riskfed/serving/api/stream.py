"""NDJSON both ways: a line in, a line out, in bounded memory however long the stream.

At most one network buffer of lines (uvicorn: 64 KiB and one read) is held, and no further ones are read before their answers are on their
way, so a reader that is slow slows its own sender down. A client therefore has to read while it writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from riskfed.serving.access.client import AccessError
from riskfed.serving.api.items import SLICE, Batch, parsed
from riskfed.serving.api.problems import ProblemError, problem_of
from riskfed.serving.api.requests import NDJSON, ClientGoneError

_LONGEST_WAIT: Final = 60


class StreamedScores(Response):
    """Answers a stream while it comes."""

    media_type = NDJSON

    def __init__(self, batch: Batch, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._batch = batch
        self._limits = batch.service.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Read, score, write, until the stream ends or the client goes.

        What stops the whole stream (records that cannot be kept, a line that does not come in time) is told by a last line that holds a
        problem and no request_id: the status has long been sent.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for lines in _groups(receive, self._limits.single, self._limits.idle_seconds):
                await self._write(send, await self._answers(lines))
        except ClientGoneError:
            return
        except Exception as error:
            problem = problem_of(error, "/v1/score:batch")
            self._batch.service.metrics.problem(problem)
            await self._write(send, to_json({"problem": problem.content()}) + b"\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _answers(self, lines: list[bytes | None]) -> bytes:
        too_long = ProblemError(413, f"A line must not be longer than {self._limits.single} bytes.")
        entries = [too_long if line is None else parsed(line) for line in lines]
        await self._admitted(len(entries))
        contents = await self._batch.answer(entries)
        self._batch.record(contents)
        return b"".join(to_json(content) + b"\n" for content in contents)

    async def _admitted(self, applicants: int) -> None:
        """Wait until the client's limit has room: a stream is slowed down to its rate, not broken off."""
        gate, left = self._batch.service.gate, applicants
        size = applicants
        while left:
            size = min(size, left)
            try:
                await gate.charge(self._batch.client, size)
                left -= size
            except AccessError as refused:
                if refused.retry_after is None and size > 1:
                    size = size // 2  # more at once than the limit ever allows
                elif refused.retry_after is None or refused.retry_after > _LONGEST_WAIT:
                    raise
                else:
                    await asyncio.sleep(refused.retry_after)

    async def _write(self, send: Send, body: bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError:
            raise ClientGoneError from None


async def _groups(receive: Receive, longest: int, seconds: float) -> AsyncIterator[list[bytes | None]]:
    """Lines as they come, at most `SLICE` at once; None stands for one that is too long. Empty lines are left out.

    Raises:
        ClientGoneError: the client has gone.
        ProblemError: 408: nothing came for `seconds`.
    """
    rest, skipping, more = b"", False, True
    while more:
        part, more = await _part(receive, seconds)
        *complete, rest = (rest + part).split(b"\n")
        if not more:
            complete.append(rest)
        lines: list[bytes | None] = []
        for line in complete:
            if skipping or len(line) > longest:
                lines.append(None)
            elif line.strip():
                lines.append(line)
            skipping = False
        if len(rest) > longest:  # what follows of this line is read and forgotten
            skipping, rest = True, b""
        elif skipping:
            rest = b""
        for start in range(0, len(lines), SLICE):
            yield lines[start : start + SLICE]
            await asyncio.sleep(0)


async def _part(receive: Receive, seconds: float) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
    except TimeoutError:
        raise ProblemError(408, f"Nothing came for {seconds:g} s.") from None
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message.get("body", b""), bool(message.get("more_body", False))
