"""Whom the service answers, and how it says no."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from pydantic import StringConstraints

from riskfed.errors import ConfigurationError, RiskfedError

Scope = Literal["score", "models", "metrics"]
How = Literal["open", "api_key", "certificate", "oidc"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

# A client's name stands in audit lines, metrics and Redis keys, so it is one plain word.
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@:|/-]{0,127}"
ClientName = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
_CLIENT_NAME: Final = re.compile(_NAME)


@dataclass(frozen=True, slots=True)
class Client:
    """An application that was let in.

    Attributes:
        name: what the operator, or the issuer of its token, calls it.
        scopes: what it may ask: "score" applicants, read about "models", read "metrics".
        how: by what it proved its name; "open" where nothing was asked.
    """

    name: str
    scopes: frozenset[Scope]
    how: How


ANONYMOUS: Final = Client("anonymous", frozenset(SCOPES), "open")


class AccessError(RiskfedError):
    """A request that is not answered. Its texts are constants: they hold nothing of the request.

    Attributes:
        status: HTTP's: 401 (who is it?), 403 (not this client), 429 (too often), 503 (cannot be found out now).
        title: for a problem's title.
        detail: what the client must do.
        retry_after: seconds to wait; None where waiting does not help.
        challenge: for WWW-Authenticate (RFC 6750, section 3); empty where there is none.
    """

    def __init__(
        self, status: int, title: str, detail: str, *, retry_after: int | None = None, challenge: str = ""
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.challenge = challenge


def refused_token() -> AccessError:
    """401 for a key or token that does not count. One text for every reason, so that none can be told from another."""
    return AccessError(
        401,
        "Not authenticated",
        "the bearer token is not valid here; ask the operator for a key, or the issuer for a new token",
        challenge='Bearer realm="riskfed", error="invalid_token"',
    )


def is_client_name(name: object) -> bool:
    """Whether `name` may stand for a client: 1 to 128 letters, digits and ``. _ @ : | / -``, a letter or digit first."""
    return isinstance(name, str) and _CLIENT_NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """`name`, if it may stand for a client.

    Raises:
        ConfigurationError: it may not, see `is_client_name`.
    """
    if not is_client_name(name):
        raise ConfigurationError(
            f"client name {name!r}: expected 1 to 128 letters, digits and . _ @ : | / -, a letter or digit first"
        )
    return name


def checked_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes by their names, each once, in the order of `SCOPES`.

    Raises:
        ConfigurationError: none, or one that does not exist.
    """
    asked = set(names)
    if not asked or not asked <= set(SCOPES):
        raise ConfigurationError(f"scopes {sorted(asked)}: expected at least one of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in asked)
