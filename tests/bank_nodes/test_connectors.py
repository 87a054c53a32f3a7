"""Records from files: the same from CSV and Parquet, honest types, no value in any message."""

from __future__ import annotations

import decimal
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_nodes.connectors import ROWS_AT_ONCE, read_batches
from bank_nodes.connectors.typed_columns import typed_batch
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError, ContractError
from riskfed.schema import Feature, Schema
from tests.bank_nodes.banks import SCHEMA, loans
from tests.bank_nodes.frames import HEADER, csv, load_frame

TODAY = date(2024, 2, 29)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_both_kinds_of_file_give_the_same_matrix(tmp_path: Path, kind: str) -> None:
    frame, path = loans(1), tmp_path / f"loans.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    loaded = load_frame(DataConfig(path=path), SCHEMA)
    assert sorted(loaded.columns) == ["amount", "default", "dti", "grade", "region"]
    assert np.array_equal(SCHEMA.encode(loaded), SCHEMA.encode(frame), equal_nan=True)
    assert np.array_equal(SCHEMA.labels(loaded), SCHEMA.labels(frame))


def test_what_a_number_may_look_like(tmp_path: Path) -> None:
    rows = ["1,,A,1,0", " 2 ,NA,B,2,1", "+3e2,nan,C,3,0", ".5,-1.25,,,0", "4.,NULL,A,1.0,1"]
    frame = load_frame(csv(tmp_path, HEADER + "\n".join(rows)), SCHEMA)
    assert frame["amount"].tolist() == [1.0, 2.0, 300.0, 0.5, 4.0]
    assert np.array_equal(frame["dti"], [np.nan, np.nan, np.nan, -1.25, np.nan], equal_nan=True)
    assert frame["grade"].isna().tolist() == [False, False, False, True, False]
    assert SCHEMA.encode(frame)[:, 3:].tolist()[4] == [1.0, 0.0, 0.0]
    assert np.isnan(SCHEMA.encode(frame)[3, 2:]).all()


@pytest.mark.parametrize("text", ["ZEBRA", "1,5", "0x10", "1_000", "12 EUR", "--1", "2026-01-01", "true"])
def test_what_is_no_number_is_counted(tmp_path: Path, text: str) -> None:
    rows = [f'"{text}",1,A,1,0', "7,1,A,1,0", f'"{text}",1,A,1,1']
    with pytest.raises(ContractError, match="got text: column amount, 2 rows") as caught:
        load_frame(csv(tmp_path, HEADER + "\n".join(rows)), SCHEMA)
    assert text not in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught:
        load_frame(csv(tmp_path, "amount,grade,region,default\nZEBRA,Q,1,3\n5,A,1,0\n"), SCHEMA)
    for clause in (
        "got text: column amount, 1 rows",
        "missing column: column dti",
        "does not list: column grade, 1 rows",
        "label other than 0 and 1: column default, 1 rows",
    ):
        assert clause in str(caught.value)
    assert str(caught.value).count("column amount") == 1


def test_codes_keep_their_leading_zeros(tmp_path: Path) -> None:
    schema = Schema(target="default", features=(Feature(name="code", encoding="ordinal", levels=("007", "7")),))
    frame = load_frame(csv(tmp_path, "code,default\n7,0\n007,1\n"), schema)
    assert schema.encode(frame)[:, 0].tolist() == [1.0, 0.0]


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="more than once: column amount"):
        load_frame(csv(tmp_path, "amount,amount,dti,grade,region,default\n1,2,3,A,1,0\n"), SCHEMA)


def test_rows_of_another_length_are_counted_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="2 rows of loans.csv") as caught:
        load_frame(csv(tmp_path, HEADER + "1,2,A,1,0\n1,2,ZEBRA\n1,2,ZEBRA,1,0,9\n"), SCHEMA)
    assert "ZEBRA" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("loans.csv", None, "cannot read"),
        ("loans.parquet", None, "cannot read"),
        ("loans.parquet", b"ZEBRA is no parquet file", "cannot be read as parquet"),
        ("loans.csv", b"amount,default\n\xff\xfe\n", "cannot be read as csv"),
        ("loans.csv", b"", "missing column: column amount"),
        ("loans.xlsx", b"", "suffix tells neither"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ConfigurationError, ContractError), match=message) as caught:
        load_frame(DataConfig(path=tmp_path / name), SCHEMA)
    assert "ZEBRA" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_frame(DataConfig(path=tmp_path, kind="csv"), SCHEMA)


def test_declared_types_of_parquet_are_kept(tmp_path: Path) -> None:
    table = pa.table(
        {
            "amount": pa.array([decimal.Decimal("12.50"), None, decimal.Decimal("1.00")]),
            "dti": pa.array(["1", "2", None]),
            "grade": pa.array(["A", "B", None]).dictionary_encode(),
            "region": pa.array([1, 3, None], pa.int8()),
            "default": pa.array([True, False, True]),
        }
    )
    pq.write_table(table, tmp_path / "loans.parquet")
    with pytest.raises(ContractError, match="got text: column dti, 2 rows"):
        load_frame(DataConfig(path=tmp_path / "loans.parquet"), SCHEMA)
    pq.write_table(table.set_column(1, "dti", pa.array([1, 2, None])), tmp_path / "loans.parquet")
    nullable = SCHEMA.model_copy(update={"features": (Feature(name="amount"), *SCHEMA.features[1:])})
    frame = load_frame(DataConfig(path=tmp_path / "loans.parquet"), nullable)
    nan = np.nan
    expected = [[12.5, 1, 0, 1, 0, 0], [nan, 2, 1, 0, 0, 1], [1, nan, nan, nan, nan, nan]]
    assert np.array_equal(SCHEMA.encode(frame), np.array(expected, dtype=np.float32), equal_nan=True)
    assert SCHEMA.labels(frame).tolist() == [1, 0, 1]


def test_applicants_need_no_label(tmp_path: Path) -> None:
    frame = loans(1).drop(columns="default")
    frame.to_parquet(tmp_path / "new.parquet")
    loaded = load_frame(DataConfig(path=tmp_path / "new.parquet"), SCHEMA, labelled=False, also=("id", "absent"))
    assert loaded["id"].tolist() == frame["id"].tolist()
    frame.assign(grade="ZEBRA").to_parquet(tmp_path / "new.parquet")
    with pytest.raises(ContractError, match="does not list: column grade, 120 rows"):
        load_frame(DataConfig(path=tmp_path / "new.parquet"), SCHEMA, labelled=False)


def test_a_byte_order_mark_and_another_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_text((HEADER + "1,2,A,1,0\n").replace(",", ";"), encoding="utf-8-sig")
    frame = load_frame(DataConfig(path=path, delimiter=";"), SCHEMA)
    pd.testing.assert_series_equal(frame["amount"], pd.Series([1.0], name="amount"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_batches_are_bounded_and_in_order(tmp_path: Path, kind: str) -> None:
    rows = 3 * ROWS_AT_ONCE + 17
    frame = pd.concat([loans(1, rows=1000)] * (rows // 1000 + 1))[:rows].assign(dti=np.arange(rows) / 4)
    path = tmp_path / f"loans.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, row_group_size=rows)
    batches = list(read_batches(DataConfig(path=path), SCHEMA))
    assert max(len(batch.frame) for batch in batches) <= ROWS_AT_ONCE
    assert np.array_equal(np.concatenate([batch.frame["dti"] for batch in batches]), frame["dti"])


def test_odd_rows_are_counted_to_the_end_of_a_large_file(tmp_path: Path) -> None:
    lines = ["1,2,A,1,0\n"] * 700_000
    lines[5] = lines[350_000] = lines[699_999] = "1,2,ZEBRA\n"
    with pytest.raises(ContractError, match="3 rows of loans.csv"):
        load_frame(csv(tmp_path, HEADER + "".join(lines)), SCHEMA)


def test_wrong_values_are_counted_over_all_batches(tmp_path: Path) -> None:
    lines = ["1,2,A,1,0\n"] * 700_000
    lines[5] = lines[350_000] = lines[699_999] = "ZEBRA,2,A,9,0\n"
    with pytest.raises(
        ContractError, match="got text: column amount, 3 rows; .*does not list: column region, 3 rows"
    ) as caught:
        load_frame(csv(tmp_path, HEADER + "".join(lines)), SCHEMA)
    assert "ZEBRA" not in str(caught.value)


@given(
    st.lists(st.none() | st.decimals(allow_nan=False, places=3, min_value=-(10**11), max_value=10**11), min_size=1),
    st.integers(0, 3),
)
def test_decimals_become_the_nearest_number(numbers: list[decimal.Decimal | None], offset: int) -> None:
    schema = Schema(target="y", features=(Feature(name="x"),))
    for kind in (pa.decimal128(15, 3), pa.decimal128(30, 3), pa.decimal256(40, 5)):
        table = pa.table({"x": pa.array(numbers, kind)}).slice(offset)
        values = typed_batch(table, schema, ["x"], text=False, found=()).frame["x"]
        expected = [np.nan if number is None else float(number) for number in numbers[offset:]]
        assert np.array_equal(values.to_numpy(dtype=float, na_value=np.nan), expected, equal_nan=True)


def test_types_that_are_neither_numbers_nor_levels_are_counted(tmp_path: Path) -> None:
    frame = loans(1).assign(amount=TODAY, grade=[{"ZEBRA": 1}] * 120, region=[["ZEBRA"]] * 120)
    frame.to_parquet(tmp_path / "loans.parquet")
    with pytest.raises(ContractError) as caught:
        load_frame(DataConfig(path=tmp_path / "loans.parquet"), SCHEMA)
    for clause in ("expected a number, got date32", "expected a text or whole number, got struct", "number, got list"):
        assert clause in str(caught.value)


def test_booleans_with_gaps_are_numbers(tmp_path: Path) -> None:
    frame = loans(1).assign(dti=pd.array([True, False, None] * 40, dtype="boolean"), region=True)
    frame.to_parquet(tmp_path / "loans.parquet")
    loaded = load_frame(DataConfig(path=tmp_path / "loans.parquet"), SCHEMA)
    assert np.array_equal(SCHEMA.encode(loaded)[:3, 1], [1, 0, np.nan], equal_nan=True)
    assert SCHEMA.encode(loaded)[0, 3:].tolist() == [1, 0, 0]
