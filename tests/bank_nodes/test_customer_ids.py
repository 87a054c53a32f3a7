"""Customers' ids from CSV, Parquet and a real PostgreSQL: as they are written there, leading zeros included, the same from all three."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from bank_nodes.connectors import read_batches
from bank_nodes.holdings import load_records, own_part
from bank_nodes.settings import DataConfig
from riskfed.errors import ContractError, SchemaError
from riskfed.protocols.records import Records
from riskfed.schema import CustomerId, Feature, Schema
from tests.bank_nodes.lending_database import PASSWORD
from tests.bank_nodes.postgres import PostgresServer

SCHEMA = Schema.vertical(
    Schema(target="default", features=(Feature(name="amount"), Feature(name="orders"))),
    {"lender": ["amount"], "shop": ["orders"]},
    "lender",
    CustomerId(normalise=("strip", "upper")),
)
SHOP = SCHEMA.part_of("shop")
TEXTS = ["007", "7", " ab-1 ", "00", "1e5", "NA", "12345678901234567890"]
AS_IDS = [b"007", b"7", b"AB-1", b"00", b"1E5", b"NA", b"12345678901234567890"]


def frame(ids: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"customer_id": pd.Series(ids, dtype=object), "orders": np.arange(len(ids)) + 0.5})


def in_csv(folder: Path, ids: list[Any]) -> DataConfig:
    frame(ids).to_csv(folder / "loans.csv", index=False)
    return DataConfig(path=folder / "loans.csv")


def in_parquet(folder: Path, ids: list[Any], kind: pa.DataType | None = None) -> DataConfig:
    table = pa.table({"customer_id": pa.array(ids, kind), "orders": np.arange(len(ids)) + 0.5})
    pq.write_table(table, folder / "loans.parquet", row_group_size=2)
    return DataConfig(path=folder / "loans.parquet")


def in_postgres(server: PostgresServer, table: str, kind: str, ids: list[Any]) -> DataConfig:
    server.run(f"CREATE TABLE {table} (customer_id {kind}, orders double precision)")
    server.copy(table, ((value, place + 0.5) for place, value in enumerate(ids)))
    server.run(f"GRANT SELECT ON {table} TO reader")
    return DataConfig(url=server.url("reader"), password=SecretStr(PASSWORD), table=table)


def ids_of(data: DataConfig) -> list[bytes]:
    records = load_records(data, SHOP)
    assert records.ids is not None
    assert records.column(0).tolist() == [place + 0.5 for place in range(len(records))]
    return records.ids.tolist()


def test_texts_keep_their_leading_zeros(tmp_path: Path, database: PostgresServer) -> None:
    assert ids_of(in_csv(tmp_path, TEXTS)) == AS_IDS
    assert ids_of(in_parquet(tmp_path, TEXTS)) == AS_IDS
    assert ids_of(in_parquet(tmp_path, TEXTS, pa.dictionary(pa.int32(), pa.string()))) == AS_IDS
    assert ids_of(in_postgres(database, "texts", "text", TEXTS)) == AS_IDS
    assert ids_of(in_postgres(database, "padded", "char(24)", TEXTS)) == AS_IDS


def test_whole_numbers_are_the_ids_that_they_spell(tmp_path: Path, database: PostgresServer) -> None:
    numbers = [7, 9_007_199_254_740_993, 12]
    spelt = [str(number).encode() for number in numbers]
    assert ids_of(in_csv(tmp_path, numbers)) == spelt
    assert ids_of(in_parquet(tmp_path, numbers, pa.int64())) == spelt
    assert ids_of(in_parquet(tmp_path, numbers, pa.decimal128(20, 0))) == spelt
    assert ids_of(in_postgres(database, "numbers", "bigint", numbers)) == spelt
    assert ids_of(in_parquet(tmp_path, [7.0, 12.0])) == [b"7", b"12"]


def test_uuids_are_their_usual_text(database: PostgresServer) -> None:
    values = [UUID(int=place) for place in range(3)]
    assert ids_of(in_postgres(database, "uuids", "uuid", values)) == [str(value).upper().encode() for value in values]


@pytest.mark.parametrize("source", ["csv", "parquet", "postgres"])
def test_missing_and_repeated_ids_are_refused_by_count(tmp_path: Path, database: PostgresServer, source: str) -> None:
    ids = ["ZEBRA", None, "zebra ", "x", None, None]
    data = {
        "csv": lambda: in_csv(tmp_path, ids),
        "parquet": lambda: in_parquet(tmp_path, ids),
        "postgres": lambda: in_postgres(database, "unfit", "text", ids),
    }[source]()
    with pytest.raises(ContractError, match=r"column customer_id.*missing.*, 3 rows; .*same id.*, 2 rows") as caught:
        load_records(data, SHOP)
    assert "zebra" not in str(caught.value).lower()


def test_numbers_do_not_become_floats_where_some_are_missing(tmp_path: Path) -> None:
    data = in_parquet(tmp_path, [9_007_199_254_740_993, None, 9_007_199_254_740_992], pa.int64())
    with pytest.raises(ContractError, match="missing.*, 1 rows") as caught:
        load_records(data, SHOP)
    assert "same id" not in str(caught.value), "as floats, the two would be equal"


def test_a_party_reads_its_own_columns_alone(tmp_path: Path) -> None:
    everything = frame(["a", "b"]).assign(amount=[1, 2], default=[0, 1], other="x")
    everything.to_parquet(tmp_path / "loans.parquet")
    data = DataConfig(path=tmp_path / "loans.parquet")
    columns = {party: next(read_batches(data, own_part(SCHEMA, party))).frame.columns for party in SCHEMA.holders}
    assert {party: set(names) for party, names in columns.items()} == {
        "shop": {"customer_id", "orders"},
        "lender": {"customer_id", "amount", "default"},
    }
    with pytest.raises(SchemaError, match="party elm holds no feature"):
        own_part(SCHEMA, "elm")
    applicants = next(read_batches(data, SHOP, labelled=False)).frame
    assert set(applicants.columns) == {"orders"}


def test_a_repeated_or_absent_column_of_ids_is_named(tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text("customer_id,orders,customer_id\n1,2,3\n")
    with pytest.raises(ContractError, match="column is there more than once: column customer_id"):
        load_records(DataConfig(path=tmp_path / "loans.csv"), SHOP)
    (tmp_path / "loans.csv").write_text("orders\n2\n")
    with pytest.raises(ContractError, match="missing column: column customer_id"):
        load_records(DataConfig(path=tmp_path / "loans.csv"), SHOP)


def test_a_schema_that_is_not_vertical_reads_no_ids(tmp_path: Path) -> None:
    plain = Schema(target="default", features=(Feature(name="orders"),))
    records = Records.from_frame(frame(["a", "b"]).assign(default=0), plain)
    assert records.ids is None
    assert own_part(plain, "anybody") is plain
