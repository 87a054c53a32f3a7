"""What a real PostgreSQL refuses, and servers that are not there: one clear message each, which holds neither values nor secrets."""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

import pytest
from pydantic import SecretStr

from bank_nodes.connectors import read_batches
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError
from tests.bank_nodes.banks import SCHEMA
from tests.bank_nodes.lending_database import PASSWORD, ZEBRA, data, load
from tests.bank_nodes.postgres import PostgresServer

REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong password": ({"password": SecretStr("wrong one")}, "user reader: the user or the password is wrong"),
    "no password": ({"password": None}, "wants a password for user reader; set RISKFED_NODE__DATA__PASSWORD"),
    "unknown user": ({"user": "nobody"}, "user nobody: the user or the password is wrong"),
    "missing database": ({"database": "absent"}, "has no database absent; correct data.url"),
    "missing table": ({"table": "absent"}, "has no table absent"),
    "missing schema": ({"table": "absent.loans"}, "has no table absent.loans"),
    "no permission": ({"user": "stranger"}, "does not let user stranger read table credit.loans"),
    "no TLS": ({"database": "postgres?sslmode=require"}, "do not agree on TLS"),
    "missing column": ({"query": "SELECT absent FROM many"}, "no column of a name that data.query uses"),
    "missing table of a query": ({"query": "SELECT * FROM absent"}, "has no table of a name that data.query uses"),
    "no SELECT": ({"query": "DELETE FROM many"}, "cannot parse data.query; expected one SELECT"),
    "two statements": ({"query": "SELECT 1; SELECT 2"}, "cannot parse data.query"),
    "closing bracket": ({"query": "SELECT 1) AS r; DROP TABLE many; --"}, "data.query"),
    "no expression": ({"query": "SELECT 'a'::text + 1"}, "a type in data.query"),
    "no conversion": ({"query": f"SELECT *, '{ZEBRA}'::int AS n FROM many"}, "value in data.query that does not"),
    "filter's type": ({"filter": [("grade", ">=", 5)]}, "or in data.filter, does not fit"),
    "filter's column": ({"filter": [("absent", ">=", 5)]}, "data.filter names column absent"),
    "too slow": (
        {"query": "SELECT *, pg_sleep(9) FROM many", "statement_timeout": 1},
        r"stopped data.query after data.statement_timeout \(1 s\)",
    ),
    "a change": ({"query": 'SELECT empty_many() AS amount, 1 AS "default"'}, "this node only reads"),
}


def source(database: PostgresServer, fields: dict[str, Any]) -> DataConfig:
    own = {key: value for key, value in fields.items() if key not in {"user", "database"}}
    own["url"] = database.url(fields.get("user", "reader"), fields.get("database", "postgres"))
    return data(database, own.pop("table", None if "query" in own else "credit.loans"), **own)


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_is_told_clearly(database: PostgresServer, name: str, capfd: Any, caplog: Any) -> None:
    fields, message = REFUSALS[name]
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError, match=message) as caught:
        load(source(database, fields))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    told = str(caught.value)
    assert "; " in told, "who must act"
    shown = told + "".join(capfd.readouterr())
    for secret in (PASSWORD, "wrong one", ZEBRA, "FATAL", "psycopg"):
        assert secret not in shown
    assert PASSWORD not in caplog.text
    assert database.count("many") == 150_000


def test_a_server_that_is_down_or_does_not_answer(database: PostgresServer) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"postgresql://reader@127.0.0.1:{deaf.getsockname()[1]}/risk"
        with pytest.raises(ConfigurationError, match=r"database risk on 127.0.0.1:\d+ cannot be reached"):
            load(data(database, url=url))
        deaf.listen()
        started = time.monotonic()
        with pytest.raises(ConfigurationError, match="cannot be reached"):
            load(data(database, url=url, connect_timeout=2))
        assert time.monotonic() - started < 20
    with pytest.raises(ConfigurationError, match="cannot be reached"):
        load(data(database, url="postgresql://reader@ssl-error.invalid/risk"))


def test_a_connection_that_breaks_while_reading(database: PostgresServer, capfd: Any) -> None:
    batches = read_batches(data(database, "many"), SCHEMA)
    next(batches)
    assert database.count("(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader') AS ended")
    with pytest.raises(ConfigurationError, match="broke the connection|told to break the connection"):
        list(batches)
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "url", ["", "no url", "nosuchbase://host/name", "postgresql+nosuchdriver://host/name", "mysql://host/name"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no SQLAlchemy URL|is not installed"):
        load(DataConfig(url=url, table="loans"))
