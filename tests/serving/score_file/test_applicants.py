"""What is read of a file of applicants is what the schema encodes; what no row can have right is refused before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, ContractError, RemoteProtocolError
from riskfed.serving.engine.applicant import ApplicantForm
from riskfed.serving.score_file.applicants import ApplicantsFile, served_schema
from tests.serving.models import SCHEMA, loans

FORM = ApplicantForm(SCHEMA)
INPUTS = FORM.json_schema()


def write(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def read(path: Path, at_once: int = 100, skip: int = 0) -> list[dict[str, object]]:
    return [json.loads(text) for rows in ApplicantsFile(path, INPUTS).read(at_once, skip) for text in rows.applicants]


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 40), suffix=st.sampled_from([".csv", ".parquet"]))
def test_a_file_is_encoded_as_the_schema_encodes_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rows: int, suffix: str
) -> None:
    frame = loans(rows, seed)
    found = read(write(frame, tmp_path_factory.mktemp("file") / f"new{suffix}"), at_once=7)
    encoded = np.concatenate([FORM.encode(applicant) for applicant in found])
    assert np.array_equal(encoded, SCHEMA.encode(frame), equal_nan=True)


def test_rows_keep_their_numbers_wherever_reading_starts(tmp_path: Path) -> None:
    path = write(loans(250, 1).assign(id=range(250)), tmp_path / "new.parquet")
    whole = read(path)
    for skip in (0, 1, 99, 100, 249, 250, 300):
        assert read(path, 100, skip) == whole[skip:]
        parts = list(ApplicantsFile(path, INPUTS).read(100, skip))
        assert [number for rows in parts for number in range(rows.first, rows.first + len(rows))] == list(
            range(skip + 1, 251)
        )
        assert all(rows.ids is not None and rows.ids[0].as_py() == rows.first - 1 for rows in parts)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        *(("12.50", 12.5), ("1e3", 1000.0), (" 7 ", 7.0), ("n/a", None), ("", None), ("NaN", None)),
        *((text, text) for text in ("12,5", "inf", "1_000", "Smith", "0x10")),
    ],
)
def test_csv_numbers_are_numbers_and_all_else_is_sent_as_it_stands(
    tmp_path: Path, text: str, sent: float | str | None
) -> None:
    path = tmp_path / "new.csv"
    path.write_text(f'free,income,late payments\n"{text}",1,none\nx,2,none\n')
    assert [row["free"] for row in read(path)] == [sent, "x"]
    path.write_text(f'free,income,late payments\n"{text}",1,none\n')
    assert [row["free"] for row in read(path)] == [sent]


def test_levels_are_spelt_as_in_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("income,late payments,region,id\n1,none,2.0,007\n1,one,3,008\n1,ten,9,\n")
    assert [(row["late payments"], row["region"]) for row in read(path)] == [("none", 2), ("one", 3), ("ten", "9")]
    (rows,) = ApplicantsFile(path, INPUTS).read(10)
    assert rows.ids is not None
    assert rows.ids.to_pylist() == ["007", "008", None]


def test_columns_that_do_not_fit_are_told(tmp_path: Path) -> None:
    frame = loans(5, 1)
    file = ApplicantsFile(write(frame.drop(columns="free").assign(note="x"), tmp_path / "a.parquet"), INPUTS)
    assert (file.left_out, file.missing) == (["default", "note"], ["free"])
    with pytest.raises(ContractError, match="missing column: income"):
        ApplicantsFile(write(frame.drop(columns="income"), tmp_path / "b.parquet"), INPUTS)
    (tmp_path / "c.csv").write_text("income,late payments,income\n1,none,2\n")
    with pytest.raises(ContractError, match="column twice: income"):
        ApplicantsFile(tmp_path / "c.csv", INPUTS)
    table = pa.table({"income": pa.array([1, 2], pa.timestamp("s")), "late payments": ["none", "one"]})
    pq.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(ContractError, match="expected a number, got timestamp"):
        read(tmp_path / "d.parquet")


def test_missing_levels_and_odd_types_in_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "income": pa.array([True, False, True]),
            "late payments": pa.array(["none", "one", None]).dictionary_encode(),
            "region": pa.array([1.0, None, 3.0]),
            "balance/limit": pa.array([float("inf"), float("nan"), 0.5]),
        }
    )
    pq.write_table(table, tmp_path / "new.parquet")
    rows = read(tmp_path / "new.parquet")
    assert [row["income"] for row in rows] == [1, 0, 1]
    assert [row["late payments"] for row in rows] == ["none", "one", None]
    assert [row["region"] for row in rows] == [1, None, 3]
    assert [row["balance/limit"] for row in rows] == ["inf", None, 0.5]


def test_files_without_rows_and_without_sense(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("income,late payments\n")
    assert read(tmp_path / "empty.csv") == []
    with pytest.raises(ConfigurationError, match="cannot read"):
        ApplicantsFile(tmp_path / "absent.csv", INPUTS)
    with pytest.raises(ConfigurationError, match="suffix"):
        ApplicantsFile(tmp_path / "new.xlsx", INPUTS)
    for inputs in ({}, {"required": [], "properties": {}}, {"required": [], "properties": {"a": 3}}):
        with pytest.raises(RemoteProtocolError, match="same release"):
            served_schema(inputs)
