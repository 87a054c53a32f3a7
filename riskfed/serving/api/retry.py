"""Idempotency-Key: a request that is sent again gets the first answer (draft-ietf-httpapi-idempotency-key-header).

Only answers with scores are kept. Everything else can be asked again: nothing changes by being scored.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import MutableHeaders

from riskfed.serving.access.client import Client
from riskfed.serving.api.answers import JsonResponse, audit_stored
from riskfed.serving.api.problems import ProblemError
from riskfed.serving.api.service import Service
from riskfed.serving.records.idempotency import IdempotencyStore, StoredAnswer, fingerprint_of, key_of


@dataclass(frozen=True, slots=True)
class Retry:
    """A request with an Idempotency-Key.

    Attributes:
        service: its store and its audit log.
        client: whose request it is: clients cannot reach each other's answers.
        store: where answers are kept.
        key: id of the answer in the store; the key that the client sent is not kept.
        fingerprint: of key and body.
    """

    service: Service
    client: Client
    store: IdempotencyStore
    key: str
    fingerprint: str

    async def earlier(self) -> JsonResponse | None:
        """The answer that was given before, recorded as given again; None where there was none.

        Raises:
            ProblemError: 422: the key came with another body.
        """
        found = await self.store.get(self.key)
        return None if found is None else self._again(found)

    async def first(self, body: bytes, language: str, request_id: str) -> JsonResponse | None:
        """Keep an answer, before it is recorded and leaves.

        Returns:
            None where it was the first; else the answer of a request that ran at the same time and was first, recorded as given again.

        Raises:
            ProblemError: 422: that one had another body.
        """
        kept = (("Content-Language", language), ("X-Request-Id", request_id))
        mine = StoredAnswer(self.fingerprint, 200, body, kept)
        found = await self.store.put(self.key, mine)
        return None if found == mine else self._again(found)

    def _again(self, found: StoredAnswer) -> JsonResponse:
        if found.fingerprint != self.fingerprint:
            raise ProblemError(
                422,
                "This Idempotency-Key came with another body before; take a new key for a new request.",
                kind="idempotency-key-reused",
            )
        audit_stored(self.service, self.client, found.body, replayed=True)
        self.service.metrics.replays.inc()
        response = JsonResponse(found.body, found.status)
        headers = MutableHeaders(raw=response.raw_headers)
        headers.update({**dict(found.headers), "Vary": "Accept-Language", "Idempotency-Replayed": "true"})
        return response


def retry_of(service: Service, client: Client, route: str, idempotency_key: str, body: bytes) -> Retry:
    """What to do about an Idempotency-Key.

    Raises:
        ProblemError: 400: this service keeps no answers.
    """
    if service.idempotency is None:
        raise ProblemError(
            400, "This service keeps no answers for retries; leave Idempotency-Key out.", kind="invalid-request"
        )
    key = key_of(client.name, route, idempotency_key)
    return Retry(service, client, service.idempotency, key, fingerprint_of(idempotency_key, body))
