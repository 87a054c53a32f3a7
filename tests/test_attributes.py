"""Attributes: columns that figures are broken down by, and that the model does not look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bank_nodes.connectors import read_batches
from bank_nodes.settings import DataConfig
from riskfed.contract import Batch, Findings
from riskfed.errors import ContractError, SchemaError
from riskfed.protocols.records import Records
from riskfed.schema import Attribute, Feature, Schema

REGION = Attribute(name="region", encoding="ordinal", levels=("north", "south"), role="segment")
AGE = Attribute(name="age", edges=(25, 40), role="protected", reference=1)
YEAR = Attribute(name="year", encoding="ordinal", levels=(2022, 2023), role="cohort", recent=(2023,))
FEATURES = (Feature(name="income"), Feature(name="age"))
SCHEMA = Schema(target="y", features=FEATURES, attributes=(REGION, AGE, YEAR))
LOANS = pd.DataFrame(
    {
        "income": [1.0, 2.0, 3.0, 4.0],
        "age": [24.9, 25.0, 40.0, np.nan],
        "region": ["south", "north", None, "north"],
        "year": [2023, 2022, 2023, 2022],
        "y": [0, 1, 0, 1],
    }
)


def groups(records: Records) -> list[list[int]]:
    """Group of each record, by attribute."""
    return [attribute.codes(records.attribute(i)).tolist() for i, attribute in enumerate(SCHEMA.attributes)]


EXPECTED = [[1, 0, -1, 0], [0, 1, 2, -1], [1, 0, 1, 0]]


def test_records_carry_them_beside_the_features() -> None:
    records = Records.from_frame(LOANS, SCHEMA)
    assert groups(records) == EXPECTED
    assert records.matrix.shape == (4, 2)
    chosen = np.array([False, True, False, True])
    assert groups(records.where(chosen)) == [[row[1], row[3]] for row in EXPECTED]
    assert groups(records.where(chosen).where(np.array([False, True]))) == [[row[3]] for row in EXPECTED]


def test_they_are_read_from_a_bank_s_source(tmp_path: Path) -> None:
    LOANS.to_csv(tmp_path / "loans.csv", index=False)
    records = Records.from_batches(read_batches(DataConfig(path=tmp_path / "loans.csv"), SCHEMA), SCHEMA)
    assert groups(records) == EXPECTED
    assert records.digest() == Records.from_frame(LOANS, SCHEMA).digest()


def test_the_digest_covers_them_and_the_choice_of_held_out_rows_does_not() -> None:
    changed = Records.from_frame(LOANS.assign(year=2022), SCHEMA)
    as_it_is = Records.from_frame(LOANS, SCHEMA)
    assert changed.digest() != as_it_is.digest()
    assert [len(part) for part in changed.hold_out(0.5, 1)] == [len(part) for part in as_it_is.hold_out(0.5, 1)]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (LOANS.drop(columns="region"), "missing column: column region"),
        (LOANS.assign(year=1999), "level that the schema does not list: column year, 4 rows"),
    ],
)
def test_records_without_them_break_the_contract_and_applicants_do_not(frame: pd.DataFrame, told: str) -> None:
    with pytest.raises(ContractError, match=told):
        Records.from_frame(frame, SCHEMA)
    findings = Findings(SCHEMA, labelled=False)
    assert findings.look_at(Batch(frame))


def test_groups_have_names() -> None:
    assert (REGION.groups, AGE.groups) == (("north", "south"), ("under 25", "25 to under 40", "40 and over"))
    assert SCHEMA.cohort is SCHEMA.attributes[2]
    assert [column.name for column in SCHEMA.inputs] == ["income", "age", "region", "year"]


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ([{"name": "a"}], "needs levels"),
        ([{"name": "a", "encoding": "onehot", "levels": ["x"]}], "needs levels"),
        ([{"name": "a", "edges": [3, 2]}], "edges must rise"),
        ([{"name": "a", "edges": [3], "role": "protected", "reference": 2}], "reference 2 is no band"),
        (
            [{"name": "a", "encoding": "ordinal", "levels": [1], "role": "cohort", "recent": [2]}],
            "recent names 1 levels",
        ),
        ([{"name": "y", "edges": [3]}], "target or weight"),
        (
            [{"name": "d", "encoding": "ordinal", "levels": [2024], "period": "year"}],
            "periods need levels that are texts",
        ),
        ([{"name": "age", "encoding": "ordinal", "levels": ["2024"], "period": "year"}], "dates cannot be a feature"),
        ([{"name": "a", "edges": [3]}, {"name": "a", "edges": [4]}], "named twice"),
        ([{"name": n, "edges": [3], "role": "cohort"} for n in "ab"], "more than one attribute has the role cohort"),
    ],
)
def test_attributes_that_make_no_sense_are_refused(attributes: list[dict], told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        Schema(target="y", features=FEATURES, attributes=attributes)


QUARTER = Attribute(
    name="granted", encoding="ordinal", levels=("2023Q4", "2024Q1"), role="cohort", recent=("2024Q1",), period="quarter"
)
DATED = Schema(target="y", features=FEATURES[:1], attributes=(QUARTER,))
DATES = LOANS[["income", "y"]].assign(granted=["2023-10-01", "2024-03-31", None, "2023-12-31"])


@pytest.mark.parametrize("kind", ["csv", "parquet", "parquet of texts"])
def test_dates_fall_into_their_periods(tmp_path: Path, kind: str) -> None:
    frame = DATES if kind != "parquet" else DATES.assign(granted=pd.to_datetime(DATES["granted"]))
    path = tmp_path / f"loans.{kind.split(maxsplit=1)[0]}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, index=False)
    records = Records.from_batches(read_batches(DataConfig(path=path), DATED), DATED)
    assert QUARTER.codes(records.attribute(0)).tolist() == [0, 1, -1, 0]
    assert records.digest() == Records.from_frame(frame, DATED).digest()


@pytest.mark.parametrize("period", ["year", "month"])
def test_years_and_months(period: str) -> None:
    levels = {"year": ("2023", "2024"), "month": ("2023-10", "2023-12", "2024-03")}[period]
    attribute = Attribute(name="granted", encoding="ordinal", levels=levels, role="cohort", period=period)
    expected = {"year": [0, 1, -1, 0], "month": [0, 2, -1, 1]}[period]
    assert attribute.level_codes(DATES["granted"]).tolist() == expected


@pytest.mark.parametrize("wrong", ["2022-01-01", "soon", "31.12.2023"])
def test_what_is_no_date_or_of_no_period_breaks_the_contract(wrong: str) -> None:
    frame = DATES.assign(granted=[wrong, *DATES["granted"][1:]])
    with pytest.raises(ContractError, match="level that the schema does not list: column granted, 1 rows"):
        Records.from_frame(frame, DATED)


def test_numbers_are_no_dates(tmp_path: Path) -> None:
    DATES.assign(granted=[1, 2, 3, 4]).to_parquet(tmp_path / "loans.parquet", index=False)
    with pytest.raises(ContractError, match="wrong type, expected a date, got int64: column granted, 4 rows"):
        Records.from_batches(read_batches(DataConfig(path=tmp_path / "loans.parquet"), DATED), DATED)
