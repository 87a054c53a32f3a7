"""Clients of a scoring service that write down every request and its answer, for a load in which things break.

Four threads with one connection each, by default. Every tenth request carries an Idempotency-Key, and every other one of those is
sent a second time, as by a client that did not see the answer.
"""

from __future__ import annotations

import http.client
import json
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NO_ANSWER = 0
_KEYED_EVERY, _RETRIED_EVERY = 10, 20
_PAUSE_AFTER_LOSS = 0.05


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came back.

    Attributes:
        request_id: of the request's body; a retry has the same.
        applicant: position of the applicant.
        key: its Idempotency-Key; None where it has none.
        sent, received: seconds since 1970.
        status: of HTTP; 0 where no answer came.
        body: of the answer.
        replayed: the service says that it answered this before.
    """

    request_id: str
    applicant: int
    key: str | None
    sent: float
    received: float
    status: int
    body: bytes = field(repr=False)
    replayed: bool = False

    @property
    def version(self) -> str:
        """The model's version, as the answer names it."""
        return str(json.loads(self.body)["model"]["version"])


class Client:
    """One connection, opened again where it breaks."""

    def __init__(self, port: int, headers: Mapping[str, str], records: Sequence[Mapping[str, object]]) -> None:
        self._headers = {"Content-Type": "application/json", **headers}
        self._records = [json.dumps(record) for record in records]
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, request_id: str, applicant: int, key: str | None) -> Exchange:
        """Have one applicant scored. An equal call sends equal bytes."""
        body = f'{{"request_id":"{request_id}","applicant":{self._records[applicant]}}}'
        headers = self._headers if key is None else {**self._headers, "Idempotency-Key": key}
        sent = time.time()
        try:
            self._connection.request("POST", "/v1/score", body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()  # the next request opens it again
            return Exchange(request_id, applicant, key, sent, time.time(), NO_ANSWER, b"")
        replayed = answer.getheader("Idempotency-Replayed") == "true"
        return Exchange(request_id, applicant, key, sent, time.time(), answer.status, content, replayed)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Clients:
    """Several clients at once, each in a thread, from `start` to `stop`."""

    def __init__(
        self,
        port: int,
        headers: Mapping[str, str],
        records: Sequence[Mapping[str, object]],
        count: int = 4,
        pause_seconds: float = 0.0,
    ) -> None:
        self._made = lambda: Client(port, headers, records)
        self._pause_seconds = pause_seconds
        self._n_records = len(records)
        self._over = threading.Event()
        self._logs: list[list[Exchange]] = [[] for _ in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Exchange]:
        """Let each client finish its request; returns all exchanges, in the order in which they were sent."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return sorted((exchange for log in self._logs for exchange in log), key=lambda exchange: exchange.sent)

    @property
    def answered(self) -> int:
        """Exchanges so far."""
        return sum(map(len, self._logs))

    def _work(self, number: int) -> None:
        client, log, count = self._made(), self._logs[number], 0
        while not self._over.is_set():
            count += 1
            key = secrets.token_hex(16) if count % _KEYED_EVERY == 0 else None
            request = (f"load-{number}-{count}", (7 * count + number) % self._n_records, key)
            log.append(client.ask(*request))
            if count % _RETRIED_EVERY == 0:
                log.append(client.ask(*request))
            time.sleep(_PAUSE_AFTER_LOSS if log[-1].status == NO_ANSWER else self._pause_seconds)
        client.close()
