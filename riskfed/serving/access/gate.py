"""The gate before every route: who is it, may it, and not too often.

The order is fixed: credentials, scope, rate. A request is not read any further before it has passed. Nothing that a request brings
comes back in an error, and everything that fails, fails as `AccessError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from riskfed.serving.access.api_keys import ApiKeys
from riskfed.serving.access.client import ANONYMOUS, AccessError, Client, Scope, refused_token
from riskfed.serving.access.mutual_tls import PEER, Certificates
from riskfed.serving.access.oidc import OidcTokens
from riskfed.serving.access.rate_limit import RateLimits

_LONGEST: Final = 8192  # bytes of an Authorization header
# RFC 6750, section 2.1: the scheme in any case, and a token of these characters alone, so no control character ever gets further.
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*) *")
_CHALLENGE: Final = 'Bearer realm="riskfed"'


class Gate:
    """Lets clients in."""

    def __init__(
        self,
        *,
        keys: ApiKeys | None = None,
        oidc: OidcTokens | None = None,
        certificates: Certificates | None = None,
        rates: RateLimits | None = None,
    ) -> None:
        """Join what is configured.

        Args:
            keys: API keys, as ``Authorization: Bearer rf_...``.
            oidc: access tokens of an issuer, as ``Authorization: Bearer ...``.
            certificates: TLS certificates; they count where the request brings no bearer token.
            rates: limits on clients; none if absent.

        With none of the first three, everybody is let in as ANONYMOUS: for loopback only.
        """
        self._keys = keys
        self._oidc = oidc
        self._certificates = certificates
        self._rates = rates or RateLimits()
        self._open = keys is None and oidc is None and certificates is None

    @property
    def open(self) -> bool:
        """Whether nobody has to say who it is."""
        return self._open

    async def admit(self, scope: Mapping[str, Any], needed: Scope, cost: int = 1) -> Client:
        """Whose request it is, if it may be answered.

        Args:
            scope: the request's ASGI scope.
            needed: what it asks.
            cost: how many applicants it counts for; 0 where the limit does not apply.

        Raises:
            AccessError: 401, 403, 429 or 503.
        """
        client = ANONYMOUS if self._open else await self._client(scope)
        if needed not in client.scopes:
            raise AccessError(
                403,
                "Not allowed",
                f'this client lacks the scope "{needed}"; ask the operator for it',
                challenge=f'{_CHALLENGE}, error="insufficient_scope", scope="{needed}"',
            )
        if cost:
            await self.charge(client, cost)
        return client

    async def charge(self, client: Client, cost: int) -> None:
        """Count further applicants of a batch or stream.

        Raises:
            AccessError: 429; none of them was counted.
        """
        wait = await self._rates.take(client.name, cost)
        if wait is None:
            return
        if wait == 0:
            raise AccessError(
                429, "Too many at once", "the request has more applicants than the limit allows in one go; send fewer"
            )
        raise AccessError(429, "Too many requests", "this client's limit is reached; wait", retry_after=wait)

    async def close(self) -> None:
        """Close what the gate's parts hold open."""
        if self._keys is not None:
            self._keys.close()
        if self._oidc is not None:
            await self._oidc.close()
        await self._rates.close()

    async def _client(self, scope: Mapping[str, Any]) -> Client:
        token = _bearer(scope["headers"])
        if token is None:
            return self._certified(scope)
        # An API key's form is public and no token of an issuer has it (a JWT begins with "ey"), so the form says who must judge.
        if token.startswith("rf_") and self._keys is not None:
            peer = scope.get("client")
            return await self._keys.verify(token, str(peer[0]) if peer else "")
        if self._oidc is not None:
            return await self._oidc.verify(token)
        raise refused_token()

    def _certified(self, scope: Mapping[str, Any]) -> Client:
        peer = (scope.get("extensions") or {}).get(PEER)
        if peer is not None and self._certificates is not None:
            client = self._certificates.client(peer)
            if client is not None:
                return client
            raise AccessError(403, "Not allowed", "this certificate is not listed here; ask the operator to list it")
        if self._keys is None and self._oidc is None:
            # No 401: it would have to name a scheme of Authorization, and there is none.
            raise AccessError(403, "Not allowed", "a client certificate is needed")
        raise AccessError(
            401, "Not authenticated", "send Authorization: Bearer with a key or token", challenge=_CHALLENGE
        )


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The bearer token; None where there is no Authorization header.

    Raises:
        AccessError: 401: more than one such header, another scheme, too long, or characters that no token has.
    """
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        return None
    match = _BEARER.fullmatch(found[0]) if len(found) == 1 and len(found[0]) <= _LONGEST else None
    if match is None:
        raise refused_token()
    return match[1].decode("ascii")
