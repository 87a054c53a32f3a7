"""Which rows are wanted, and from where: the filter on files, and what section data refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bank_nodes.connectors import read_batches
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError, ContractError
from tests.bank_nodes.banks import SCHEMA, loans
from tests.bank_nodes.frames import csv, load_frame

TODAY = date(2024, 2, 29)
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (("absent", "==", 1), "names column absent"),
        (("grade", ">=", 1), "grade with a number"),
        (("grade", "==", TODAY), "grade with a date"),
        (("grade", "==", True), "grade with a boolean"),
    ],
)
def test_a_filter_that_does_not_suit(tmp_path: Path, kind: str, condition: tuple[str, str, Any], message: str) -> None:
    frame, path = loans(1).assign(grade="ZEBRA"), tmp_path / f"loans.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    with pytest.raises((ConfigurationError, ContractError), match=message) as caught:
        load_frame(DataConfig(path=path, filter=[condition]), SCHEMA)
    assert "ZEBRA" not in str(caught.value)


def test_times_with_and_without_a_zone_are_not_compared(tmp_path: Path) -> None:
    loans(1).assign(at=NOON).to_parquet(tmp_path / "loans.parquet")
    assert len(load_frame(DataConfig(path=tmp_path / "loans.parquet", filter=[("at", ">=", NOON)]), SCHEMA)) == 120
    with pytest.raises(ConfigurationError, match="with the same kind of time zone"):
        load_frame(
            DataConfig(path=tmp_path / "loans.parquet", filter=[("at", ">=", NOON.replace(tzinfo=None))]), SCHEMA
        )


def test_filters_of_every_kind_on_text(tmp_path: Path) -> None:
    header, rows = "amount,dti,grade,region,default,booked,at,flag,note\n", [
        "1,1,A,1,0,2024-02-28,2024-02-29T11:59:59Z,true,x",
        "2,1,A,1,0,2024-02-29,2024-02-29 12:00:00Z,FALSE,NA",
        "3,1,A,1,0,,NA,,",
        "NA,1,A,1,0, 2024-03-01 ,2024-02-29T13:00:00+00:00,1,x",
    ]  # fmt: skip
    source = csv(tmp_path, header + "\n".join(rows))

    def amounts(*conditions: tuple[str, str, Any]) -> list[float]:
        (batch,) = read_batches(DataConfig(path=source.path, filter=list(conditions)), SCHEMA)
        return batch.frame["amount"].fillna(-1).tolist()

    assert amounts(("booked", ">=", TODAY)) == [2, -1]
    assert amounts(("at", "<=", NOON)) == [1, 2]
    assert amounts(("flag", "==", True)) == [1, -1]
    assert amounts(("flag", "!=", True)) == [2]
    assert amounts(("note", "not in", ["x"])) == [2]
    assert amounts(("amount", "in", [1, 2.0]), ("booked", "<", TODAY)) == [1]
    assert amounts(("region", "==", 9)) == []


@pytest.mark.parametrize(
    "condition",
    [
        ("a", "like", "x%"), ("a", "==", [1, 2]), ("a", "in", 1), ("a", "in", []), ("a", "in", [1, "x"]), ("a", ">", "x"), ("a", "<", True),
        ("a", "==", float("nan")), ("a", "=="), ("a", "==", 1, 2), ("a", "==", None), (1, "==", 1),
    ],
)  # fmt: skip
def test_conditions_that_are_none(condition: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError):
        DataConfig(path=Path("loans.csv"), filter=[condition])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:hunter2@host/db", "postgresql://reader:@host/db", "postgresql://reader:hun/ter2@host/db",
        "postgresql://host/db?user=reader&password=hunter2", "postgresql://host/db?SSLPassword=hunter2",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2",
    ],
)  # fmt: skip
def test_a_url_that_holds_a_password_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValidationError, match="the URL holds a password") as caught:
        DataConfig(url=url, table="loans")
    assert "hun" not in str(caught.value)
    assert DataConfig(url="postgresql://reader%40bank@host:5432/db?sslmode=require", table="loans").url


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"path": "loans.csv", "url": "sqlite:///x", "table": "t"},
        {"path": "loans.csv", "table": "t"},
        {"path": "loans.csv", "password": "hunter2"},
        {"url": "sqlite:///x"},
        {"url": "sqlite:///x", "table": "t", "query": "SELECT 1"},
    ],
)
def test_a_source_is_named_once(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected either path|go with url|needs either table") as caught:
        DataConfig(**fields)
    assert "hunter2" not in str(caught.value)
