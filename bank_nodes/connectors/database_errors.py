"""What is said when a database refuses: one clear sentence for each cause, without a value, a password or the driver's own words.

The cause is the SQLSTATE where the driver gives one (PostgreSQL's manual, appendix A), else the class of the exception. A refused login
comes without SQLSTATE (libpq keeps it to itself); there alone the driver's message is searched, for phrases that this file knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

Doing = Literal["connect", "read"]

_LOGINS: Final = (
    (("no password supplied",), "wants a password for user {user}; set {password} or {password}_FILE"),
    (
        ("authentication failed", 'role "'),
        "refused user {user}: the user or the password is wrong; correct data.url or {password}",
    ),
    (
        ("no pg_hba.conf entry", "not permitted to log in", "permission denied for database"),
        "lets user {user} not in from this machine; the database's administrator must grant it (pg_hba.conf, LOGIN, CONNECT)",
    ),
    (('database "',), "has no database {database}; correct data.url"),
    (
        ("too many connections", "too many clients", "connection slots"),
        "has no connection free; try again, or its administrator must allow more",
    ),
    (("starting up", "shutting down", "recovery mode"), "is starting or stopping; try again"),
    (
        ("ssl error", "support ssl", "certificate"),
        "and this node do not agree on TLS; correct sslmode and sslrootcert in data.url",
    ),
)
"""Phrases of a refused login, and what they mean; the first that fits."""

_UNREACHABLE: Final = (
    "cannot be reached: it is down, host or port are wrong, or a firewall is between; start it or correct data.url"
)

_STATES: Final = {
    "42P01": "has no {table}; correct section data, or set the user's search path",
    "3F000": "has no schema of that name ({records}); correct data.table",
    "42703": "finds no column of a name that data.query uses; correct data.query",
    "42501": "does not let user {user} read {records}; its administrator must grant SELECT (and USAGE on the schema)",
    "42601": "cannot parse {records}; expected one SELECT, without anything after it",
    "42883": "cannot compare or compute so: a type in {records}, or in data.filter, does not fit; correct either",
    "42804": "cannot compare or compute so: a type in {records}, or in data.filter, does not fit; correct either",
    "25006": "was asked by {records} to change something, and this node only reads; expected one SELECT",
    "57014": "stopped {records} after data.statement_timeout ({seconds} s); raise it, narrow data.filter, or let an index be made",
    "3D000": "has no database {database}; correct data.url",
    "28P01": "refused user {user}: the user or the password is wrong; correct data.url or {password}",
    "28000": "refused user {user}: the user or the password is wrong; correct data.url or {password}",
}
_CLASSES: Final = {
    "08": "broke the connection; look at the server and its network, and try again",
    "22": "finds a value in {records} that does not convert as data.query or data.filter ask; correct either",
    "42": "does not understand {records}; correct section data",
    "53": "is out of connections, memory or disk; its administrator must act",
    "57": "is shutting down or was told to break the connection; try again once it is up",
}


@contextmanager
def clear_errors(data: DataConfig, url: sa.URL, doing: Doing = "read") -> Iterator[None]:
    """Turn whatever a driver raises inside into a clear `ConfigurationError`."""
    import sqlalchemy as sa

    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _explained(error.orig, data, url, doing) from None
    except sa.exc.NoSuchTableError:
        raise _refusal(_STATES["42P01"], data, url) from None
    except sa.exc.SQLAlchemyError:
        raise _refusal("cannot be asked so; correct section data", data, url) from None
    except ImportError:
        raise not_installed("the driver of data.url") from None
    except UnicodeError:
        raise _refusal("gives text that is not in its own encoding; its administrator must act", data, url) from None
    except OSError:
        raise _refusal(_UNREACHABLE, data, url) from None


def not_installed(what: str) -> ConfigurationError:
    """What is said where a package is missing."""
    return ConfigurationError(
        f"{what} is not installed: install riskfed[sql], which has PostgreSQL's, or the driver's own package"
    )


def _explained(error: BaseException | None, data: DataConfig, url: sa.URL, doing: Doing) -> ConfigurationError:
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        told = _STATES.get(state) or _CLASSES.get(state[:2])
        return _refusal(told or f"refused (SQLSTATE {state}); look that up in its manual", data, url)
    if doing == "connect":
        return _refusal(_login(str(error).lower()), data, url)
    kind = type(error).__name__
    if kind in {"OperationalError", "InterfaceError"} and url.get_backend_name() == "postgresql":
        return _refusal("broke the connection; look at the server and its network, and try again", data, url)
    return _refusal(f"refused {{records}} ({kind}); correct section data, or ask its administrator", data, url)


def _login(message: str) -> str:
    # What stands before the last "failed:" names the host, which may be called anything.
    message = "\n".join(line.rpartition("failed: ")[2] for line in message.splitlines())
    told = next((told for phrases, told in _LOGINS if any(phrase in message for phrase in phrases)), None)
    if told is None and "fatal" in message:
        return "refused the login of user {user}; the server's own log says why: correct data.url or {password}"
    return told or _UNREACHABLE


def _refusal(told: str, data: DataConfig, url: Any) -> ConfigurationError:
    place = f"{url.host or 'this machine'}" + (f":{url.port}" if url.port else "")
    said = told.format(
        user=url.username or "(none)",
        database=url.database,
        records=f"table {data.table}" if data.table is not None else "data.query",
        table=f"table {data.table}" if data.table is not None else "table of a name that data.query uses",
        password="RISKFED_NODE__DATA__PASSWORD",  # noqa: S106  (its name)
        seconds=data.statement_timeout,
    )
    return ConfigurationError(f"database {url.database} on {place} {said}")
