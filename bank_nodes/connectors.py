"""Read a bank's loan records from a CSV or Parquet file: the schema's columns only, with honest types.

What is not a number in a numeric column is counted and refused by name, never turned into something else, and never shown.
pyarrow's own messages quote what they stumble over, so none of them is passed on.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from bank_nodes.settings import DataConfig, FileKind
from riskfed.contract import Violation, violations
from riskfed.errors import ConfigurationError, ContractError
from riskfed.schema import Feature, Schema

_MISSING_NUMBER = pa.array(["", "na", "n/a", "#n/a", "nan", "null", "none"])
"""What a CSV file may have, in any case, where a number is missing. In a column of levels, only the empty text is missing."""
_NUMBER = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)$"


def load_frame(data: DataConfig, schema: Schema, *, labelled: bool = True, also: Iterable[str] = ()) -> pd.DataFrame:
    """Read records.

    Args:
        data: the file.
        schema: says which columns are read, and which of them hold numbers.
        labelled: whether target and weight are read too; applicants have none.
        also: further columns to read as they are where the file has them (an applicant's id).

    Returns:
        One column for each that the schema names; numeric ones as numbers, levels as text or number. Ranges and levels are
        for `riskfed.contract` to check.

    Raises:
        ConfigurationError: the file is absent or unreadable.
        ContractError: a column is missing or holds something else than numbers; lists every broken rule of the contract.
    """
    kind = file_kind(data)
    needed = [*(feature.name for feature in schema.features), *(_label_columns(schema) if labelled else ())]
    table, names = _read(data, kind, [*needed, *(name for name in also if name not in needed)])
    found = [Violation("column is there more than once", name, 0) for name in needed if names.count(name) > 1]
    levels = {feature.name: feature for feature in schema.features if feature.encoding != "numeric"}
    columns: dict[str, pd.Series] = {}
    for name in table.column_names:
        column = table.column(name)
        if name in levels:
            columns[name] = _levels(column, levels[name], from_text=kind == "csv")
        elif name in needed:
            numbers, wrong = _numbers(column, from_text=kind == "csv")
            if wrong:
                found.append(Violation(f"wrong type, expected a number, got {_type_name(column)}", name, wrong))
            columns[name] = numbers.to_pandas()
        else:
            columns[name] = column.to_pandas()
    frame = pd.DataFrame(columns)
    if found or not set(needed) <= set(frame.columns):
        raise _broken(frame, schema, found, labelled)
    return frame


def check_features(frame: pd.DataFrame, schema: Schema) -> None:
    """Check applicants against the schema: `riskfed.contract.check_contract` without target and weight.

    Raises:
        ContractError: lists every broken rule with its column and the number of rows.
    """
    if violations_of_features(frame, schema):
        raise _broken(frame, schema, [], labelled=False)


def violations_of_features(frame: pd.DataFrame, schema: Schema) -> list[Violation]:
    """Every rule on features that `frame` breaks."""
    return [violation for violation in violations(frame, schema) if violation.column not in _label_columns(schema)]


def file_kind(data: DataConfig) -> FileKind:
    """The kind as given, or by the suffix.

    Raises:
        ConfigurationError: neither tells.
    """
    by_suffix: dict[str, FileKind] = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
    kind = data.kind or by_suffix.get(data.path.suffix.lower())
    if kind is None:
        raise ConfigurationError(
            f'{data.path}: the suffix tells neither csv nor parquet; name it by kind = "..." in section data'
        )
    return kind


def _label_columns(schema: Schema) -> tuple[str, ...]:
    return (schema.target,) if schema.weight is None else (schema.target, schema.weight)


def _read(data: DataConfig, kind: FileKind, wanted: list[str]) -> tuple[pa.Table, list[str]]:
    """The wanted columns that the file has, and the names of all its columns."""
    try:
        return _read_csv(data, wanted) if kind == "csv" else _read_parquet(data.path, wanted)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {data.path}: {error.strerror or 'input/output error'}; correct data.path"
        ) from None
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(
            f"{data.path} cannot be read as {kind} ({type(error).__name__}); the bank's data engineer must mend the extract"
        ) from None


def _read_csv(data: DataConfig, wanted: list[str]) -> tuple[pa.Table, list[str]]:
    with data.path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file, delimiter=data.delimiter), [])
    present = [name for name in wanted if names.count(name) == 1]
    if not present:
        return pa.table({}), names
    odd_rows: list[None] = []  # its length counts: appending is safe from the reader's threads

    def count_odd_row(_: Any) -> str:
        odd_rows.append(None)
        return "skip"

    table = pa_csv.read_csv(
        data.path,
        parse_options=pa_csv.ParseOptions(delimiter=data.delimiter, invalid_row_handler=count_odd_row),
        # Everything as text: guessing types would make numbers of codes such as 007, and fails on the first stray text.
        convert_options=pa_csv.ConvertOptions(
            include_columns=present,
            column_types=dict.fromkeys(present, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    if odd_rows:
        raise ContractError(
            f"{len(odd_rows)} rows of {data.path.name} have not the {len(names)} fields that its header has; "
            "the bank's data engineer must mend the extract"
        )
    return table, names


def _read_parquet(path: Path, wanted: list[str]) -> tuple[pa.Table, list[str]]:
    with pq.ParquetFile(path) as file:
        names: list[str] = file.schema_arrow.names
        return file.read(columns=[name for name in wanted if names.count(name) == 1]), names


def _numbers(column: pa.ChunkedArray, *, from_text: bool) -> tuple[pa.ChunkedArray, int]:
    """The column as numbers, and how many of its values are none; what a CSV file has as text is parsed, declared types are kept."""
    kind = column.type
    if from_text:
        return _parsed(column)
    if pa.types.is_decimal(kind):
        return pc.cast(column, pa.float64()), 0
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return column, 0
    return column, len(column) - column.null_count


def _parsed(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    with contextlib.suppress(pa.ArrowInvalid):
        return pc.cast(column, pa.float64()), 0  # the usual case: no copy of the text is made
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    text = pc.if_else(pc.is_in(text, value_set=_MISSING_NUMBER), pa.scalar(None, pa.string()), text)
    is_number = pc.match_substring_regex(text, _NUMBER)
    wrong = pc.sum(pc.invert(is_number)).as_py() or 0
    return (pc.cast(text, pa.float64()), 0) if wrong == 0 else (column, wrong)


def _levels(column: pa.ChunkedArray, feature: Feature, *, from_text: bool) -> pd.Series:
    """The column as the schema spells its levels; a text that is none of them is kept, for the contract to count."""
    values: pd.Series = column.to_pandas()
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if not from_text or all(isinstance(level, str) for level in feature.levels):
        return values
    distinct = values.dropna().unique()
    return values.map({text: _level(text, feature) for text in distinct}).astype(object)


def _level(text: str, feature: Feature) -> Any:
    """A CSV field as a level: 2 is also written 2.0 where the column was a float once."""
    if text in feature.levels:
        return text
    plain = re.sub(r"\.0+$", "", text.strip())
    return next((level for level in feature.levels if isinstance(level, int) and str(level) == plain), text)


def _type_name(column: pa.ChunkedArray) -> str:
    return "text" if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else str(column.type)


def _broken(frame: pd.DataFrame, schema: Schema, found: list[Violation], labelled: bool) -> ContractError:
    told = {violation.column for violation in found}
    others = violations(frame, schema) if labelled else violations_of_features(frame, schema)
    listed = "; ".join(str(violation) for violation in [*found, *(o for o in others if o.column not in told)])
    return ContractError(
        f"records do not meet schema {schema.name} version {schema.version}: {listed}. "
        "The bank's data engineer must mend the extract, or the consortium its schema"
    )
