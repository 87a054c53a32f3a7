"""Folders of Parquet files: partitions, files that differ, damage, and memory that stays bounded."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError, ContractError
from riskfed.schema import Feature, Schema
from tests.bank_nodes.banks import SCHEMA, loans
from tests.bank_nodes.frames import load_frame


def folder(tmp_path: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(tmp_path / "loans", partition_cols=["region", "grade"])
    return tmp_path / "loans"


def test_a_partitioned_folder_has_the_columns_of_its_folders_names(tmp_path: Path) -> None:
    frame = loans(1)
    loaded = load_frame(DataConfig(path=folder(tmp_path, frame)), SCHEMA, also=("id",)).set_index("id")
    expected = frame.set_index("id").loc[loaded.index]
    assert len(loaded) == len(frame)
    assert np.array_equal(SCHEMA.encode(loaded), SCHEMA.encode(expected), equal_nan=True)


def test_files_that_a_filter_rules_out_are_not_opened(tmp_path: Path) -> None:
    path = folder(tmp_path, loans(1))
    for unread in path.glob("region=2/*/*.parquet"):
        unread.write_bytes(b"not Parquet at all")
    assert (
        len(load_frame(DataConfig(path=path, filter=[("region", "!=", 2)]), SCHEMA)) == (loans(1)["region"] != 2).sum()
    )
    with pytest.raises(ConfigurationError, match="cannot be read as parquet"):
        load_frame(DataConfig(path=path), SCHEMA)


def test_dates_that_folders_spell_are_compared_as_dates(tmp_path: Path) -> None:
    frame = loans(1).assign(month=["2023-12-01", "2024-01-01", "2024-11-01"] * 40)
    frame.to_parquet(tmp_path / "loans", partition_cols=["month"])
    found = load_frame(DataConfig(path=tmp_path / "loans", filter=[("month", ">", date(2023, 12, 31))]), SCHEMA)
    assert len(found) == 80


def test_a_folder_of_files_that_differ(tmp_path: Path) -> None:
    loans(1).to_parquet(tmp_path / "a.parquet")
    loans(2).drop(columns="dti").to_parquet(tmp_path / "b.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    with pytest.raises(ContractError, match="missing column: column dti"):
        load_frame(DataConfig(path=tmp_path), SCHEMA)
    with pytest.raises(ConfigurationError, match="filter names column dti"):
        load_frame(DataConfig(path=tmp_path, filter=[("dti", ">", 0)]), SCHEMA)
    loans(2).assign(amount="ZEBRA").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ContractError, match="got text: column amount, 120 rows"):
        load_frame(DataConfig(path=tmp_path), SCHEMA)


def test_a_folder_without_files_and_a_damaged_page(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="holds no Parquet file"):
        load_frame(DataConfig(path=tmp_path / "empty"), SCHEMA)
    loans(1, rows=5000)[["amount", "dti", "grade", "region", "default"]].to_parquet(tmp_path / "loans.parquet")
    content = bytearray((tmp_path / "loans.parquet").read_bytes())
    content[4:4000] = bytes(3996)
    (tmp_path / "loans.parquet").write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read as parquet .*must mend the extract"):
        load_frame(DataConfig(path=tmp_path / "loans.parquet"), SCHEMA)


CHILD = """
import resource, sys
from bank_nodes.connectors import read_batches
from bank_nodes.settings import DataConfig
from riskfed.schema import Schema
schema = Schema.model_validate_json(sys.argv[1])
peaks = []
for path in sys.argv[2:]:
    rows = sum(len(batch.frame) for batch in read_batches(DataConfig(path=path), schema))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[-1] - peaks[0])
"""


def test_memory_grows_neither_with_a_file_nor_with_its_row_groups(tmp_path: Path) -> None:
    schema = Schema(target="default", features=tuple(Feature(name=f"x{number}") for number in range(20)))
    paths = []
    for rows in (100_000, 600_000):
        rng = np.random.default_rng(rows)
        frame = pd.DataFrame({f"x{number}": rng.random(rows) for number in range(20)} | {"default": 0})
        paths.append(str(tmp_path / f"{rows}.parquet"))
        frame.to_parquet(paths[-1], row_group_size=rows)
    command = [sys.executable, "-c", CHILD, schema.model_dump_json(), *paths]
    told = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    assert int(told.stdout) < 40 * 1024, "the larger file's one row group has 101 MB"
