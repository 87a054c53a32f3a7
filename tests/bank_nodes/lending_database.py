"""A bank's database on a real PostgreSQL: tables, views and roles for the tests of the connector."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
from pydantic import SecretStr

from bank_nodes.connectors import read_batches
from bank_nodes.settings import DataConfig
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from tests.bank_nodes.banks import SCHEMA, loans
from tests.bank_nodes.postgres import PostgresServer

PASSWORD = "hunter2 %@:/"
ZEBRA = "ZEBRA-4711"
"""A value of the tables: to be in no message."""

_LOANS = """CREATE TABLE credit.loans (id text PRIMARY KEY, amount numeric(12, 2), dti double precision, grade varchar(1),
    region smallint, "default" boolean, booked_on date, booked_at timestamptz, product text, test_account boolean)"""
_MANY = """CREATE TABLE many AS SELECT n AS amount, n::float8 AS dti, 'A' AS grade, 1 AS region, n % 2 AS "default",
    repeat('x', 200) AS rest FROM generate_series(1, 150000) AS n"""
_FRAGILE = """CREATE VIEW fragile AS SELECT amount, 1 / (CASE WHEN amount > 100 THEN 0 ELSE 1 END) AS dti, grade, region,
    "default", rest FROM many"""


def bank_loans() -> pd.DataFrame:
    """`loans` with columns of the kinds that a bank's table has, and others to filter by."""
    frame = loans(3, rows=500)
    days = [date(2022, 11, 1) + timedelta(days=number) for number in range(500)]
    return frame.assign(
        amount=frame["amount"] + 0.35,
        grade=frame["grade"].where(frame.index % 7 != 0, None),
        booked_on=days,
        booked_at=[datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in days],
        product=[None if number % 11 == 0 else ("card", "loan", "lease")[number % 3] for number in range(500)],
        test_account=[number % 5 == 0 for number in range(500)],
    )


def fill(server: PostgresServer) -> None:
    """Make roles and tables; `reader` is the vault's user."""
    server.run(
        f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'",
        f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'",
        "CREATE SCHEMA credit",
        _LOANS,
        'CREATE TABLE wrong (amount text, dti date, grade text, region integer[], "default" numeric)',
        f"INSERT INTO wrong VALUES ('{ZEBRA}', '2024-01-01', '{ZEBRA}', '{{1}}', 3), ('5', NULL, NULL, NULL, 1)",
        "CREATE VIEW few AS SELECT amount, grade FROM credit.loans",
        'CREATE TABLE odd ("debt ""ratio"" %" double precision, "Größe (:x)" real, "default" integer)',
        "INSERT INTO odd VALUES (1.5, 2.5, 0), (NULL, 'NaN', 1)",
        _MANY,
        _FRAGILE,
        "CREATE FUNCTION empty_many() RETURNS integer LANGUAGE sql AS 'DELETE FROM many; SELECT 1'",
        "GRANT USAGE ON SCHEMA credit TO reader",
        "GRANT SELECT ON credit.loans, wrong, few, odd, many TO reader",
        'GRANT SELECT (amount, dti, grade, region, "default") ON fragile TO reader',
        "GRANT DELETE ON many TO reader",
    )
    frame = bank_loans()
    frame = frame[["id", *(name for name in frame.columns if name != "id")]].astype(object)
    frame["default"] = frame["default"].astype(bool)
    rows = frame.where(frame.notna(), None).itertuples(index=False, name=None)
    columns = ", ".join(frame.columns).replace("default", '"default"')
    server.copy(f"credit.loans ({columns})", rows)


def data(server: PostgresServer, table: str | None = "credit.loans", **fields: Any) -> DataConfig:
    """Section data of the vault's node file."""
    defaults = {"url": server.url("reader"), "password": SecretStr(PASSWORD), "table": table}
    return DataConfig(**{**defaults, **fields})


def load(source: DataConfig, schema: Schema = SCHEMA) -> Records:
    """As the vault loads them."""
    return Records.from_batches(read_batches(source, schema), schema)
