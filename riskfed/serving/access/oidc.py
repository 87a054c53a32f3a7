"""Clients that bring an access token of an OpenID Connect issuer (a JWT, as RFC 9068 has them).

What is trusted: the issuer that the operator names, over TLS, and the public keys that its discovery document points at. A token counts
if one of these keys has signed it, by RS256, ES256 or EdDSA, for this service's audience, and it has not expired. Which algorithm is
used is bound to the key and never taken from the token (RFC 8725, section 3.1), so neither "none" nor an HMAC under the public key
passes.

An unknown key id makes the service ask the issuer, at most every ten seconds, whatever is sent. If the issuer cannot be reached, keys
already known go on working, and tokens by other keys get 503. Keys are read anew every hour, off the request path.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import math
import secrets
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx

from riskfed.errors import ConfigurationError
from riskfed.serving.access.client import SCOPES, AccessError, Client, Scope, is_client_name, refused_token

if TYPE_CHECKING:
    from jwt import PyJWK

_log = logging.getLogger("riskfed.serving.access")
_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
_LEEWAY: Final = 30  # seconds by which clocks may differ
_FRESH: Final = 3600.0  # seconds
_TIMEOUT: Final = 5.0  # seconds
_MOST_REMEMBERED: Final = 1024


class _IssuerError(Exception):
    """The issuer's answer is of no use."""


class IssuerKeys:
    """The issuer's public keys by key id, as its discovery document points at them (OpenID Connect Discovery 1.0)."""

    def __init__(self, issuer: str, http: httpx.AsyncClient, cooldown: float) -> None:
        self.generation = 0  # counts changes of the keys
        self._issuer = issuer
        self._http = http
        self._cooldown = cooldown
        self._keys: dict[str, PyJWK] = {}
        self._read = -_FRESH  # when they were read last, and when somebody may ask again
        self._next_question = 0.0
        self._reachable = True
        self._question: asyncio.Task[None] | None = None

    async def key(self, identity: str) -> PyJWK | None:
        """The key of that id; None where the issuer has none.

        Raises:
            AccessError: 503, the id is unknown and the issuer cannot be asked.
        """
        known = self._keys.get(identity)
        if known is not None:
            if time.monotonic() - self._read > _FRESH:
                self._ask()
            return known
        question = self._ask()
        if question is not None:
            await asyncio.shield(question)
        known = self._keys.get(identity)
        if known is None and not self._reachable:
            raise AccessError(
                503,
                "Issuer unreachable",
                "the issuer of access tokens cannot be asked for its keys at this moment; try again",
                retry_after=math.ceil(self._cooldown) or 1,
            )
        return known

    def _ask(self) -> asyncio.Task[None] | None:
        """The question under way, or a new one; None where the issuer was asked a moment ago."""
        if self._question is None or self._question.done():
            if time.monotonic() < self._next_question:
                return None
            self._next_question = time.monotonic() + self._cooldown
            self._question = asyncio.create_task(self._refresh())
        return self._question

    async def _refresh(self) -> None:
        try:
            keys = await self._fetch()
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, _IssuerError) as error:
            self._reachable = False
            _log.warning("the issuer's keys could not be read (%s); those already known go on working", _words(error))
            return
        if {name: key.key for name, key in keys.items()} != {name: key.key for name, key in self._keys.items()}:
            self.generation += 1
            _log.info("the issuer has %d usable keys", len(keys))
        self._keys, self._read, self._reachable = keys, time.monotonic(), True

    async def _fetch(self) -> dict[str, PyJWK]:
        from jwt import PyJWKSet, PyJWTError

        found = await self._json(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        address = found.get("jwks_uri")
        if found.get("issuer") != self._issuer or not isinstance(address, str) or not _is_safe(address):
            raise _IssuerError("its discovery document is of another issuer, or its jwks_uri is not https")
        try:
            keys = PyJWKSet.from_dict(await self._json(address)).keys
        except PyJWTError:
            raise _IssuerError("it publishes no usable key") from None
        return {
            str(key.key_id): key
            for key in keys
            if key.key_id and key.algorithm_name in _ALGORITHMS and key.public_key_use in {None, "sig"}
        }

    async def _json(self, address: str) -> dict[str, Any]:
        answer = await self._http.get(address)
        if answer.status_code != httpx.codes.OK:
            raise _IssuerError(f"it answered {answer.status_code}")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _IssuerError("it answered something else than a JSON object")
        return found


class OidcTokens:
    """Access tokens of one issuer."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        scope_prefix: str = "riskfed:",
        http: httpx.AsyncClient | None = None,
        cooldown: float = 10.0,
    ) -> None:
        """Take the issuer; it is asked at the first token.

        Args:
            issuer: its identifier, as the claim "iss" has it: https, or http on loopback.
            audience: what stands for this service in the claim "aud".
            scope_prefix: of its scopes: "riskfed:score" becomes "score"; scopes without it are other services'.
            http: asks the issuer; given where it needs an authority or a proxy of its own.
            cooldown: seconds between two questions to the issuer.

        Raises:
            ConfigurationError: `issuer` is not https, `audience` is empty, or the package PyJWT is missing.
        """
        if not _is_safe(issuer) or "?" in issuer or not audience:
            # Neither is shown: the address may hold a password.
            raise ConfigurationError(
                "OIDC: expected as issuer an https address (http on loopback only) without credentials, and the audience that the "
                "issuer gives to tokens for this service"
            )
        try:
            import jwt
        except ImportError:
            raise ConfigurationError("OIDC needs PyJWT: pip install 'riskfed[oidc]'") from None
        self._jwt = jwt
        self._issuer, self._audience, self._prefix = issuer, audience, scope_prefix
        self._http = http or httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False)
        self._keys = IssuerKeys(issuer, self._http, cooldown)
        # Keyed hash of a token -> (client, end, generation of the keys): checking a signature again costs half of a score.
        self._memory_key = secrets.token_bytes(32)
        self._remembered: dict[bytes, tuple[Client, float, int]] = {}

    async def verify(self, token: str) -> Client:
        """Whose token it is.

        Raises:
            AccessError: 401, it does not count; 503, the issuer cannot be asked for the key that signed it.
        """
        digest = hashlib.blake2b(token.encode(), key=self._memory_key, digest_size=32).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and remembered[1] > time.time() and remembered[2] == self._keys.generation:
            return remembered[0]
        claims = await self._claims(token)
        client = self._client(claims)
        if len(self._remembered) >= _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = (client, int(claims["exp"]) + _LEEWAY, self._keys.generation)
        return client

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = self._jwt.get_unverified_header(token)
            identity = header.get("kid")
            key = None
            if isinstance(identity, str) and header.get("alg") in _ALGORITHMS:
                key = await self._keys.key(identity)
            if key is None:
                raise refused_token()
            return self._jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        # Numbers that are none, and nesting without end, come out of the parser as these.
        except (self._jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise refused_token() from None

    def _client(self, claims: dict[str, Any]) -> Client:
        name = next((claims[claim] for claim in ("azp", "client_id", "sub") if claims.get(claim)), None)
        if not is_client_name(name):
            _log.warning("a valid token was refused: its azp, client_id or sub is no plain name of a client")
            raise refused_token()
        granted = claims.get("scope", claims.get("scp", ""))
        words = granted.split() if isinstance(granted, str) else granted
        asked = {word for word in words if isinstance(word, str)} if isinstance(words, list) else set()
        scopes: frozenset[Scope] = frozenset(scope for scope in SCOPES if f"{self._prefix}{scope}" in asked)
        return Client(str(name), scopes, "oidc")

    async def close(self) -> None:
        """Close the connections to the issuer."""
        await self._http.aclose()


def _is_safe(address: str) -> bool:
    """https, or http to this machine; without credentials or fragment."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, _IssuerError) else type(error).__name__
