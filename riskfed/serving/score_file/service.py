"""What is asked of the scoring service: which model it serves, and scores by exactly that one; with patience.

A connection that breaks, 429 and 503 are waited out: what was answered is kept, and the rest is sent again. Everything else ends the
work with a clear error. Request ids are ``<run>:<row number>``, so that each score is found in the service's audit log.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from riskfed.errors import ConfigurationError, RemoteProtocolError
from riskfed.serving.score_file.answers import (
    LaterError,
    Refused,
    Scored,
    ServedModel,
    check,
    not_understood,
    read_answer,
)
from riskfed.serving.score_file.exchange import Endpoint, LostConnectionError, UntrustedServiceError, exchange

_LONGEST_WAIT: Final = 30.0
_NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Order:
    """How a file is scored.

    Attributes:
        model: the version that scores, whatever becomes champion meanwhile.
        run: stands before the row's number in each request id.
        language: of the reasons' texts; None for the service's choice.
    """

    model: ServedModel
    run: str
    language: str | None = None


class ScoringClient:
    """Talks to one scoring service.

    Args:
        endpoint: where it is.
        patience: seconds without any progress after which it gives up.
        waiting: told why it waits, and for how many seconds.
    """

    def __init__(self, endpoint: Endpoint, patience: float, waiting: Callable[[str, float], None]) -> None:
        self._endpoint = endpoint
        self._patience = patience
        self._waiting = waiting

    async def model(self, version: str | None) -> ServedModel:
        """The served model of this version, or the champion.

        Raises:
            ConfigurationError: address, certificate or key are not right.
            VersionGoneError: this version is not served.
            RemoteProtocolError: the service does not answer as it should, or keeps saying that it cannot now.
        """
        try:
            if version is None:
                served = (await self._get("/v1/models"))["models"]
                version = next(str(model["version"]) for model in served if model["role"] == "champion")
            told = await self._get(f"/v1/models/{quote(version, safe='')}")
            return ServedModel(told["name"], told["version"], told["sha256"], told["inputs"])
        except StopIteration:
            raise RemoteProtocolError("the service has no champion yet; its operator must act") from None
        except (KeyError, TypeError):
            raise not_understood() from None

    async def score(
        self, order: Order, first: int, requests: Sequence[str], advanced: Callable[[int], None]
    ) -> list[Scored | Refused]:
        """Score applicants.

        Args:
            order: by which model, and how.
            first: number of the first row.
            requests: (k,) see `Rows.requests`.
            advanced: told how many more have an answer.

        Returns:
            (k,) answers in the same order.

        Raises:
            ConfigurationError, VersionGoneError, RemoteProtocolError: as `model`.
        """
        answers: list[Scored | Refused] = []
        patience = _Patience(self._patience, self._waiting)
        while True:
            before = len(answers)
            try:
                await self._stream(order, first, requests, answers, advanced)
            except UntrustedServiceError as error:
                raise ConfigurationError(f"the scoring service is not trusted: {error}") from None
            except (LostConnectionError, LaterError) as error:
                if len(answers) > before:
                    patience = _Patience(self._patience, self._waiting)
                await patience.wait(error)
            else:
                return answers

    async def _stream(
        self,
        order: Order,
        first: int,
        requests: Sequence[str],
        answers: list[Scored | Refused],
        advanced: Callable[[int], None],
    ) -> None:
        """Send what has no answer yet, and append answers as they come."""
        headers = {"Content-Type": _NDJSON, "Accept": f"{_NDJSON}, application/problem+json"}
        if order.language is not None:
            headers["Accept-Language"] = order.language
        start = len(answers)
        lines = _lines(order, first + start, requests[start:])
        async with exchange(self._endpoint, "POST", "/v1/score:batch", headers, lines) as answer:
            await check(answer)
            async for line in answer.lines:
                if len(answers) < len(requests):
                    answers.append(read_answer(line, f"{order.run}:{first + len(answers)}", order.model))
                    advanced(1)
                elif line.strip():
                    raise not_understood()
        if len(answers) < len(requests):
            raise LaterError("it ended its answer early")

    async def _get(self, path: str) -> Any:
        patience = _Patience(self._patience, self._waiting)
        while True:
            try:
                async with exchange(self._endpoint, "GET", path, {"Accept": "application/json"}) as answer:
                    await check(answer)
                    return json.loads(await answer.body())
            except LaterError as error:
                await patience.wait(error)
            except UntrustedServiceError as error:
                raise ConfigurationError(f"the scoring service is not trusted: {error}") from None
            except LostConnectionError as error:  # nothing has been done yet that waiting could save
                where = f"{self._endpoint.host} port {self._endpoint.port}"
                raise ConfigurationError(
                    f"no scoring service at {where}: {error}; start it, or correct --url"
                ) from None
            except ValueError:
                raise not_understood() from None


def _lines(order: Order, first: int, requests: Sequence[str]) -> Iterator[bytes]:
    version = json.dumps(order.model.version)
    for row, request in enumerate(requests, first):
        yield f'{{"request_id":"{order.run}:{row}","model_version":{version},{request}}}\n'.encode()


class _Patience:
    """Waits as long as the service asks for, or ever longer up to half a minute; until `seconds` have passed in all."""

    def __init__(self, seconds: float, waiting: Callable[[str, float], None]) -> None:
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._waiting = waiting
        self._next = 0.25

    async def wait(self, error: LostConnectionError | LaterError) -> None:
        """Wait before the next try.

        Raises:
            RemoteProtocolError: patience has run out.
        """
        asked = error.after if isinstance(error, LaterError) else None
        # Up to a quarter more, so that clients that were thrown out together do not come back together.
        delay = (self._next if asked is None else asked) * (1 + secrets.randbelow(256) / 1024)
        self._next = min(2 * self._next, _LONGEST_WAIT)
        if time.monotonic() + delay > self._end:
            raise RemoteProtocolError(
                f"the scoring service did not go on within {self._seconds:g} s ({error}); its operator must act. What is scored is kept: "
                "the same command goes on from there"
            )
        self._waiting(str(error), delay)
        await asyncio.sleep(delay)
