"""Records from a real PostgreSQL: the same as from files, chosen by the database, streamed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bank_nodes.check import check_node
from bank_nodes.config import load_config
from bank_nodes.connectors import ROWS_AT_ONCE, read_batches
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError, ContractError
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema
from tests.bank_nodes.banks import BANKS, SCHEMA, loans, make_consortium
from tests.bank_nodes.lending_database import PASSWORD, ZEBRA, bank_loans, data, load
from tests.bank_nodes.postgres import PostgresServer

NEW_YEAR, NOON = date(2023, 1, 1), datetime(2023, 1, 1, 12, tzinfo=UTC)


def files(folder: Path) -> dict[str, DataConfig]:
    """The same loans as CSV, as a Parquet file, and as a folder that is partitioned by region."""
    frame = bank_loans()
    frame.to_csv(folder / "loans.csv", index=False)
    frame.to_parquet(folder / "loans.parquet", row_group_size=100)
    frame.to_parquet(folder / "parts", partition_cols=["region"])
    return {name: DataConfig(path=folder / name) for name in ("loans.csv", "loans.parquet", "parts")}


def test_the_same_records_from_files_and_from_the_database(database: PostgresServer, tmp_path: Path) -> None:
    stored = load(data(database))
    assert len(stored) == 500
    assert np.array_equal(stored.matrix, SCHEMA.encode(bank_loans()), equal_nan=True)
    for name, source in files(tmp_path).items():
        records = load(source)
        assert records.digest() == stored.digest(), name
        if name != "parts":  # whose rows are in another order
            assert np.array_equal(records.matrix, stored.matrix, equal_nan=True)


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ([("booked_on", ">=", NEW_YEAR)], lambda f: f["booked_on"] >= NEW_YEAR),
        ([("booked_at", "<=", NOON)], lambda f: f["booked_at"] <= NOON),
        ([("product", "in", ["card", "loan"])], lambda f: f["product"].isin(["card", "loan"])),
        ([("product", "not in", ["card"])], lambda f: f["product"].isin(["loan", "lease"])),
        (
            [("product", "!=", "card"), ("dti", "<=", 30.5)],
            lambda f: f["product"].isin(["loan", "lease"]) & (f["dti"] <= 30.5),
        ),
        (
            [("test_account", "==", False), ("region", "in", [1, 3])],
            lambda f: ~f["test_account"] & f["region"].isin([1, 3]),
        ),
        ([("amount", ">", 3_000_000_000)], lambda f: f["amount"] > 3e9),
        ([("amount", "not in", [20_000.35, 5])], lambda f: f["amount"] != 20_000.35),
    ],
)
def test_a_filter_wants_the_same_rows_everywhere(
    database: PostgresServer, tmp_path: Path, conditions: list[tuple[str, str, Any]], wanted: Any
) -> None:
    frame = bank_loans()
    expected = Records.from_frame(frame[wanted(frame).to_numpy()], SCHEMA)
    for name, source in (files(tmp_path) | {"database": data(database)}).items():
        filtered = DataConfig(**source.model_dump() | {"filter": conditions})
        assert load(filtered).digest() == expected.digest(), name


def test_a_value_of_a_filter_is_never_part_of_a_statement(database: PostgresServer) -> None:
    hostile = "x' OR 'a' = 'a'; DROP TABLE credit.loans; --"
    assert len(load(data(database, filter=[("product", "==", hostile)]))) == 0
    with pytest.raises(ConfigurationError, match="which the source has not"):
        load(data(database, filter=[("product\" = 'card' --", "==", "x")]))
    assert len(load(data(database))) == 500


def test_rows_and_columns_are_chosen_by_the_database(database: PostgresServer) -> None:
    # The user may not read this view's column rest, and only its first rows can be computed.
    assert len(load(data(database, "fragile", filter=[("amount", "<=", 100)]))) == 100
    with pytest.raises(ConfigurationError, match="a value in table fragile that does not convert"):
        load(data(database, "fragile"))
    wanted = Schema(target="default", features=(Feature(name="rest", encoding="onehot", levels=("x",)),))
    with pytest.raises(ConfigurationError, match="does not let user reader read table fragile"):
        load(data(database, "fragile"), wanted)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM credit.loans",
        "SELECT * FROM credit.loans;\n",
        "WITH chosen AS (SELECT * FROM credit.loans) SELECT * FROM chosen -- all of them",
        "SELECT *, '12:30:00'::time AS at, ':name' AS bind, 17 % 5 AS rest FROM credit.loans"
        " WHERE id LIKE 'L%' AND id ~ '^L[[:digit:]]'",
    ],
)
def test_a_query_is_taken_as_it_is(database: PostgresServer, query: str) -> None:
    assert load(data(database, None, query=query)).digest() == load(data(database)).digest()


def test_names_are_quoted_and_numbers_kept(database: PostgresServer) -> None:
    features = (Feature(name='debt "ratio" %'), Feature(name="Größe (:x)"))
    matrix = load(data(database, "odd"), Schema(target="default", features=features)).matrix
    assert np.array_equal(matrix, [[1.5, 2.5], [np.nan, np.nan]], equal_nan=True)


def test_wrong_types_and_missing_columns_are_counted(database: PostgresServer) -> None:
    with pytest.raises(ContractError) as caught:
        load(data(database, "wrong"))
    for clause in (
        "expected a number, got text: column amount, 2 rows",
        "expected a number, got date32[day]: column dti, 1 rows",
        "does not list: column grade, 1 rows",
        "expected a text or whole number, got list<item: int64>: column region, 1 rows",
        "label other than 0 and 1: column default, 1 rows",
    ):
        assert clause in str(caught.value)
    assert ZEBRA not in str(caught.value)
    with pytest.raises(ContractError, match="missing column: column dti; .*column region; .*column default"):
        load(data(database, "few"))
    with pytest.raises(ContractError, match="more than once: column amount"):
        load(data(database, None, query="SELECT *, 1 AS amount FROM credit.loans"))


def test_an_abandoned_reader_closes_its_connection(database: PostgresServer) -> None:
    batches = read_batches(data(database, "many"), SCHEMA)
    assert len(next(batches).frame) <= ROWS_AT_ONCE
    batches.close()  # type: ignore[attr-defined]
    for _ in range(200):  # the server's process takes a moment to leave
        if not database.count("pg_stat_activity WHERE usename = 'reader'"):
            return
        time.sleep(0.05)
    raise AssertionError("the reader's session is still there")


CHILD = """
import resource, sys
from bank_nodes.connectors import read_batches
from bank_nodes.settings import DataConfig
from riskfed.schema import Schema
url, password, schema = sys.argv[1], sys.stdin.readline().rstrip(), Schema.model_validate_json(sys.argv[2])
peaks = []
for limit in (30_000, 150_000):
    source = DataConfig(url=url, password=password, table="many", filter=[("amount", "<=", limit)])
    rows = sum(len(batch.frame) for batch in read_batches(source, schema))
    assert rows == limit, rows
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""


def test_memory_does_not_grow_with_the_table(database: PostgresServer) -> None:
    command = [sys.executable, "-c", CHILD, database.url("reader"), SCHEMA.model_dump_json()]
    told = subprocess.run(command, input=PASSWORD, capture_output=True, text=True, timeout=200, check=True)
    # 120,000 further rows as Python objects would take more than 30 MB.
    assert int(told.stdout) < 12 * 1024


def test_a_node_file_with_a_database(database: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_consortium(tmp_path, {name: loans(1) for name in BANKS})["ash"]
    section = (
        f'url = "{database.url("reader")}"\ntable = "credit.loans"\nscratch = "scratch"\n'
        'filter = [["booked_on", ">=", 2023-01-01]]'
    )
    config.write_text(config.read_text().replace('path = "loans.parquet"', section))
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    monkeypatch.setenv("RISKFED_NODE__DATA__PASSWORD_FILE", str(tmp_path / "secret"))
    loaded = load_config(config)
    (records,) = [finding for finding in check_node(loaded) if finding.area == "records"]
    assert records.detail == "439 rows, 6 encoded columns"
    assert PASSWORD not in repr(loaded)
    assert list((config.parent / "scratch").iterdir()) == []
    monkeypatch.setenv("RISKFED_NODE__DATA__PASSWORD_FILE", str(config))
    (records,) = [finding for finding in check_node(load_config(config)) if finding.area == "records"]
    assert "the user or the password is wrong" in records.detail
    config.write_text(config.read_text().replace("table =", 'password = "hunter2"\ntable ='))
    with pytest.raises(ConfigurationError, match="data.password is a secret") as caught:
        load_config(config)
    assert "hunter2" not in str(caught.value)


def test_another_database_by_its_dialect(tmp_path: Path) -> None:
    path = tmp_path / "loans.db"
    frame = bank_loans().drop(columns=["booked_at"])
    with sqlite3.connect(path) as connection:
        frame.assign(booked_on=frame["booked_on"].astype(str)).to_sql("loans", connection, index=False)
    source = DataConfig(url=f"sqlite:///{path}", table="loans", filter=[("booked_on", ">=", NEW_YEAR)])
    assert load(source).digest() == Records.from_frame(frame[frame["booked_on"] >= NEW_YEAR], SCHEMA).digest()
    with pytest.raises(ConfigurationError, match="has no table absent"):
        load(DataConfig(url=f"sqlite:///{path}", table="absent"))
    with pytest.raises(ConfigurationError, match=r"refused data.query \(OperationalError\)") as caught:
        load(DataConfig(url=f"sqlite:///{path}", query=f"SELECT * FROM loans WHERE {ZEBRA}("))
    assert ZEBRA not in str(caught.value)
