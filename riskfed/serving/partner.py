"""Asks feature holders for their part of a score: over TLS 1.3 with this side's certificate, on connections that are kept."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from riskfed.errors import ConfigurationError, RemoteProtocolError
from riskfed.linear_model import read_partial_score
from riskfed.serving.engine.joint import Partner, PartnerError, UnknownCustomerError
from riskfed.vertical_model import LeafMask, LeafSets, PartnerReference, columns_of_decisions

_PATH: Final = "/v1/decisions"
_UNKNOWN: Final = "urn:riskfed:problem:unknown-customer"
_MOST_BYTES: Final = 1 << 20
_SECONDS: Final = 5.0
"""Until a request is given up for good; the engine's deadline is much shorter, and counts."""
_CONNECTIONS: Final = 16
_KEPT_SECONDS: Final = 240.0
"""Less than the endpoint keeps an idle connection, so that no question goes into one that is just being closed."""


class PartnerSettings(BaseModel):
    """A feature holder that may be asked: one ``[[partners]]`` of the service file.

    Attributes:
        name: the party, as the model's schema calls it.
        url: https://host:port of its endpoint (``riskfed node answer``).
        certificate, key: PEM files of this side's certificate, which the partner has listed.
        ca: PEM file with the authority of the partner's certificate, or with that certificate itself. No other is believed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    url: str = Field(pattern=r"^https://[^/@?#\s]+/?$")
    certificate: Path
    key: Path
    ca: Path


class PartnerEndpoint:
    """One feature holder's endpoint. Made in any thread, used in one event loop.

    Args:
        settings: where it is.

    Raises:
        ConfigurationError: a certificate or key is absent or unusable.
    """

    def __init__(self, settings: PartnerSettings) -> None:
        self.name = settings.name
        limits = httpx.Limits(
            max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS, keepalive_expiry=_KEPT_SECONDS
        )
        # trust_env: no proxy of the environment may stand between, and see ids.
        self._client = httpx.AsyncClient(
            base_url=settings.url, verify=_context(settings), timeout=_SECONDS, limits=limits, trust_env=False
        )

    async def ask(self, part: PartnerReference, customer_id: str) -> bytes:
        """The packed answer of a part for a customer.

        Raises:
            UnknownCustomerError: the partner does not know the customer.
            PartnerError: there is no answer, or none that can be read. Holds no id.
        """
        question = {"part": part.sha256, "customer_id": customer_id}
        try:
            async with self._client.stream("POST", _PATH, json=question) as response:
                body = await _body(response)
        except httpx.HTTPError as error:
            raise PartnerError(f"{self.name} gave no answer ({type(error).__name__})") from None
        try:
            content = json.loads(body)
            if response.status_code == HTTPStatus.OK:
                return base64.b64decode(content[part.answers], validate=True)
            kind = str(content.get("type", ""))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, binascii.Error):
            raise PartnerError(f"{self.name} answered {response.status_code} with something unreadable") from None
        if response.status_code == HTTPStatus.NOT_FOUND and kind == _UNKNOWN:
            raise UnknownCustomerError(f"{self.name} does not know the customer")
        raise PartnerError(f"{self.name} refused with {response.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class AskedPart(Partner):
    """A part of a model that a feature holder keeps.

    Args:
        endpoint: of the feature holder.
        part: which one.
        masks: of its splits, where it answers with leaf sets.
    """

    def __init__(self, endpoint: PartnerEndpoint, part: PartnerReference, masks: Sequence[LeafMask]) -> None:
        self._endpoint, self._part = endpoint, part
        self._read = _reader(part, masks)

    async def columns(self, model_sha256: str, customer_id: str) -> NDArray[np.float32]:  # noqa: ARG002 - the part says it
        """See `Partner.columns`."""
        answer = await self._endpoint.ask(self._part, customer_id)
        try:
            return self._read(answer)
        except RemoteProtocolError as error:
            raise PartnerError(f"{self._part.party}: {error}") from None


class PartnerDirectory:
    """All feature holders that the service may ask.

    Args:
        settings: one for each.

    Raises:
        ConfigurationError: two have one name, or a certificate or key is unusable.
    """

    def __init__(self, settings: Iterable[PartnerSettings]) -> None:
        self._endpoints: dict[str, PartnerEndpoint] = {}
        for one in settings:
            if one.name in self._endpoints:
                raise ConfigurationError(f"partners: {one.name} stands there twice")
            self._endpoints[one.name] = PartnerEndpoint(one)

    def find(self, part: PartnerReference, masks: Sequence[LeafMask]) -> Partner:
        """See `riskfed.serving.engine.vertical.FindPartner`."""
        endpoint = self._endpoints.get(part.party)
        if endpoint is None:
            raise ConfigurationError(
                f"{part.party} has a part in it, and the service file names no such partner; add it to [[partners]]"
            )
        return AskedPart(endpoint, part, masks)

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            await endpoint.close()


def _reader(part: PartnerReference, masks: Sequence[LeafMask]) -> Callable[[bytes], NDArray[np.float32]]:
    """What makes columns of a part's answers, and raises RemoteProtocolError at what is none."""
    match part.answers:
        case "decisions":
            return partial(columns_of_decisions, splits=part.splits)
        case "leaf_sets":
            return LeafSets(masks).columns
        case "partial_score":
            return read_partial_score


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise httpx.ReadError("the answer is too long")
    return bytes(body)


def _context(settings: PartnerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(settings.ca))
        context.load_cert_chain(str(settings.certificate), str(settings.key))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"partners: certificate, key and ca of {settings.name} must be PEM files that can be read ({type(error).__name__})"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The configured certificate may be no authority's, but the partner's own: then that one alone is believed.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
