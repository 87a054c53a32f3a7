"""POST /v1/decisions: what one part of a model makes of one customer. An ASGI application, for `bank_nodes.answers.server`.

    {"part": "<sha256>", "customer_id": "..."}  ->  {"decisions": "<base64>"}, {"leaf_sets": "<base64>"} or
                                                         {"partial_score": "<base64>"}, by the part

Whether a customer is known is told to the client, by a 404, and to nobody on the way: for one part, all answers have the same number of
bytes, and the same is computed for them. Ids are in no log, no error and no answer.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bank_nodes.answers.allowance import Allowance
from bank_nodes.answers.customers import Customers
from bank_nodes.answers.log import AnswersLog
from bank_nodes.answers.parts import PartFolder
from riskfed.peer_certificate import PEER, PeerCertificate

PATH: Final = "/v1/decisions"
_MOST_BYTES: Final = 2048
_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_BLOCK: Final = 256
"""Bytes to a multiple of which answers are filled up, with room for a problem in the first block."""

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

diary = structlog.get_logger("answers")


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    part: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    customer_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class _RefusedError(Exception):
    """What a client is told instead of an answer; `size`: bytes to fill it up to."""

    def __init__(self, status: HTTPStatus, kind: str, detail: str, *, wait: int | None = None, size: int = 0) -> None:
        super().__init__(kind)
        self.status, self.kind, self.detail, self.wait, self.size = status, kind, detail, wait, size


class AnswersEndpoint:
    """The application.

    Args:
        customers: whom it knows.
        parts: of models.
        clients: sha256 (hex) of a certificate -> name of the client.
        allowance: how often a client may ask.
        log: gets a line of each answer before it leaves.
    """

    def __init__(
        self,
        customers: Customers,
        parts: PartFolder,
        clients: Mapping[str, str],
        allowance: Allowance,
        log: AnswersLog,
    ) -> None:
        self._customers, self._parts, self._clients = customers, parts, clients
        self._allowance, self._log = allowance, log

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            client = self._client(scope)
            question = await _question(scope, receive)
            content, size = self._answer(client, question)
            await _send(send, HTTPStatus.OK, _JSON, content, size=size)
        except _RefusedError as refused:
            await _send_problem(send, refused)
        except (
            Exception
        ) as error:  # the log's disk is full, for one; a text could hold an id, so the type alone is told
            diary.error("an answer did not leave", reason=type(error).__name__)
            detail = "There is no answer just now; the partner's operator must act."
            await _send_problem(send, _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail))

    def _client(self, scope: Mapping[str, Any]) -> str:
        peer: PeerCertificate | None = scope.get("extensions", {}).get(PEER)
        client = None if peer is None or peer.expires <= time.time() else self._clients.get(peer.fingerprint)
        if client is None:
            detail = "This certificate is not among the clients; the partner's operator must list its sha256."
            raise _RefusedError(HTTPStatus.FORBIDDEN, "unknown-client", detail)
        return client

    def _answer(self, client: str, question: _Question) -> tuple[dict[str, str], int]:
        """What is told of a customer, and how many bytes the answer has."""
        wait = self._allowance.take(client)
        if wait is not None:
            diary.warning("a client has used up its allowance", client=client, seconds=wait)
            detail = "This client has asked as often as it may; wait, or agree on another allowance."
            raise _RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "allowance", detail, wait=wait)
        part = self._parts.find(question.part)
        if part is None:
            detail = "There is no such part of a model here; the partner's vault must have taken part in its training."
            raise _RefusedError(HTTPStatus.NOT_FOUND, "unknown-part", detail)
        row = self._customers.find(question.customer_id)
        known = row is not None
        # Of a stranger, somebody else's answer is computed and thrown away: both take as long.
        answer = part.answer(row if row is not None else self._customers.row(0))
        content: dict[str, str] = {part.answers: base64.b64encode(answer).decode()}
        size = _BLOCK * (len(json.dumps(content)) // _BLOCK + 2)
        self._log.record("answered", client=client, part=part.sha256, known=known)
        if not known:
            detail = "This customer is not known here."
            raise _RefusedError(HTTPStatus.NOT_FOUND, "unknown-customer", detail, size=size)
        return content, size


async def _question(scope: Mapping[str, Any], receive: Receive) -> _Question:
    """The request's question; what is wrong with it is told without any of it."""
    if scope["path"] != PATH:
        raise _RefusedError(HTTPStatus.NOT_FOUND, "unknown-path", f"Ask POST {PATH}.")
    if scope["method"] != "POST":
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "unknown-method", f"Ask POST {PATH}.")
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "invalid-request", "The request broke off.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _MOST_BYTES:
            detail = f"The body must not be longer than {_MOST_BYTES} bytes."
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "invalid-request", detail)
    try:
        return _Question.model_validate_json(bytes(body))
    except ValidationError:
        detail = 'Expected {"part": sha256 in 64 hex digits, "customer_id": text of 1 to 256 characters}.'
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "invalid-request", detail) from None


async def _send_problem(send: Send, refused: _RefusedError) -> None:
    content = {
        "type": f"urn:riskfed:problem:{refused.kind}",
        "title": refused.status.phrase,
        "status": refused.status.value,
        "detail": refused.detail,
    }
    headers = {} if refused.wait is None else {"retry-after": str(refused.wait)}
    await _send(send, refused.status, _PROBLEM, content, headers, size=refused.size)


async def _send(
    send: Send,
    status: HTTPStatus,
    media_type: str,
    content: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    *,
    size: int,
) -> None:
    """Send JSON, filled up with blanks so that body, content type and reason phrase together have `size` bytes."""
    room = size - len(status.phrase) - len(media_type)
    body = json.dumps(content, separators=(",", ":")).encode().ljust(room)
    told = {
        "content-type": media_type,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **(headers or {}),
    }
    start = [(name.encode(), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status.value, "headers": start})
    await send({"type": "http.response.body", "body": body})
