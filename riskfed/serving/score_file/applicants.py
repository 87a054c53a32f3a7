"""A CSV or Parquet file of applicants as requests to the scoring service.

The file is read as a bank's node reads its records (`bank_nodes.connectors`): batch by batch, CSV as text, so that codes keep their zeros.
Types come from the inputs that the service states of its model. What does not fit in one row is for the service to refuse, row by row;
what no row can have right, such as a column that is missing, is refused here, before anything is sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bank_nodes.connectors import file_kind, read_batches
from bank_nodes.connectors.csv_file import open_csv
from bank_nodes.connectors.parquet_files import open_parquet
from bank_nodes.connectors.source import file_path
from bank_nodes.connectors.typed_columns import MISSING_WORDS
from bank_nodes.settings import DataConfig
from riskfed.contract import Violation
from riskfed.errors import ConfigurationError, ContractError, RemoteProtocolError, SchemaError
from riskfed.schema import Feature, Schema

_MISSING = frozenset(MISSING_WORDS.to_pylist())
_NO_TARGET = "(no target is read)"


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of the file.

    Attributes:
        first: number of the first one; the file's first row has the number 1.
        ids: (k,) their values in the id column, in the file's type; None where the file has no such column.
        applicants: (k,) JSON texts of the applicants.
        customers: (k,) ids by which partners know them, None where a row has none; empty where none are sent.
    """

    first: int
    ids: pa.Array | None
    applicants: Sequence[str]
    customers: Sequence[str | None] = ()

    def __len__(self) -> int:
        return len(self.applicants)

    @property
    def requests(self) -> list[str]:
        """(k,) what each row's request says: members of a JSON object."""
        if not self.customers:
            return [f'"applicant":{applicant}' for applicant in self.applicants]
        return [
            f'"applicant":{applicant}'
            if customer is None
            else f'"customer_id":{json.dumps(customer)},"applicant":{applicant}'
            for applicant, customer in zip(self.applicants, self.customers, strict=True)
        ]


class ApplicantsFile:
    """A file of applicants, looked at and ready to be read.

    Args:
        path: CSV or Parquet, by its suffix; or a folder of Parquet files.
        inputs: JSON Schema of an applicant, as the service states it of a model.
        id_column: taken over into the scores where the file has it; never sent, unless it is an input of the model besides.
        delimiter: of a CSV file.
        customer_id: column with the ids by which partners know the applicants; None: no ids are sent.

    Attributes:
        left_out: columns of the file that the model does not know.
        missing: nullable inputs that the file does not have.
        has_id: whether the file has the id column.

    Raises:
        ConfigurationError: the file is absent, or is neither CSV nor Parquet.
        ContractError: a column that every applicant needs is missing, or is there twice.
        RemoteProtocolError: `inputs` are no inputs.
    """

    def __init__(
        self,
        path: Path,
        inputs: Mapping[str, Any],
        id_column: str = "id",
        delimiter: str = ",",
        customer_id: str | None = None,
    ) -> None:
        self._data = DataConfig(path=path, delimiter=delimiter)
        self._kind = file_kind(self._data)
        self._schema = served_schema(inputs)
        self._id, self._customer = id_column, customer_id
        own = {id_column, customer_id}
        with open_csv(self._data) if self._kind == "csv" else open_parquet(self._data) as source:
            columns = list(source.columns)
        features = {feature.name: feature for feature in self._schema.features}
        self.left_out = [name for name in columns if name not in features and name not in own]
        self.missing = [name for name, feature in features.items() if name not in columns and feature.nullable]
        self.has_id = id_column in columns
        needed = [name for name, feature in features.items() if name not in columns and not feature.nullable]
        needed += [customer_id] if customer_id is not None and customer_id not in columns else []
        repeated = sorted(name for name in {*features, *own} if name is not None and columns.count(name) > 1)
        if needed or repeated:
            told = [*(f"missing column: {name}" for name in needed), *(f"column twice: {name}" for name in repeated)]
            raise ContractError(
                f"{path} has not what the served model needs of every applicant: {'; '.join(told)}. Nothing was sent; mend the file"
            )

    @property
    def _also(self) -> list[str]:
        return list(dict.fromkeys(name for name in (self._id, self._customer) if name is not None))

    @property
    def _path(self) -> Path:
        return file_path(self._data)

    def count(self) -> int | None:
        """Rows in the file; of CSV as many as it has line ends, which may be more than rows. None for a folder."""
        if self._path.is_dir():
            return None
        if self._kind == "parquet":
            return int(pq.read_metadata(self._path).num_rows)
        with self._path.open("rb") as file:
            lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        return max(0, lines - 1)

    def read(self, at_once: int, skip: int = 0) -> Iterator[Rows]:
        """The rows in order, at most `at_once` together, from the one after the first `skip`.

        Raises:
            ConfigurationError: the file turns out to be malformed.
            ContractError: a Parquet column's type can hold no such input; rows of a CSV file have not its header's fields.
        """
        at = 0
        for batch in read_batches(self._data, self._schema, labelled=False, also=self._also):
            self._check_types(batch.found)
            for start in range(max(0, skip - at), len(batch.frame), at_once):
                yield self._rows(batch.frame.iloc[start : start + at_once], at + start + 1)
            at += len(batch.frame)

    def _check_types(self, found: Sequence[Violation]) -> None:
        # The type of a Parquet column holds for all of its rows. In CSV everything is text, and single fields are wrong.
        if found and self._kind == "parquet":
            told = "; ".join(f"{violation.rule}: column {violation.column}" for violation in found)
            raise ContractError(f"{self._path} does not meet the served model's inputs: {told}. Mend the file")

    def _rows(self, frame: pd.DataFrame, first: int) -> Rows:
        columns = {
            feature.name: _values(frame[feature.name], feature)
            for feature in self._schema.features
            if feature.name in frame.columns
        }
        names = list(columns)
        texts = [
            json.dumps(dict(zip(names, row, strict=True)), separators=(",", ":"), allow_nan=False)
            for row in zip(*columns.values(), strict=True)
        ] or ["{}"] * len(frame)
        ids = _plain_array(frame[self._id]) if self.has_id else None
        return Rows(first, ids, texts, () if self._customer is None else _customers(frame[self._customer]))


def stamp_of(path: Path) -> list[list[str | int]]:
    """Tells whether a file or folder is still what it was: path, size and time of change of each file.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        states = [(file, file.stat()) for file in files]
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    return [[str(file.resolve()), state.st_size, state.st_mtime_ns] for file, state in states]


def served_schema(inputs: Mapping[str, Any]) -> Schema:
    """The schema behind the JSON Schema of an applicant: names, kinds, levels, and what may be missing. Ranges are left to the service.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        needed = set(inputs["required"])
        features = [_feature(name, stated, name not in needed) for name, stated in inputs["properties"].items()]
        return Schema(name="served", target=_NO_TARGET, features=tuple(features))
    except (KeyError, TypeError, AttributeError, ValueError, SchemaError):
        raise RemoteProtocolError(
            "the service states no inputs that this riskfed understands; install the same release on both sides"
        ) from None


def _plain_array(column: pd.Series) -> pa.Array:
    found = pa.Array.from_pandas(column)
    whole = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return whole.dictionary_decode() if isinstance(whole, pa.DictionaryArray) else whole


def _customers(column: pd.Series) -> list[str | None]:
    """Ids as texts, None where missing."""
    found = (_plain(value) for value in column.astype(object).tolist())
    return [None if value is None or not str(value).strip() else str(value) for value in found]


def _feature(name: str, stated: Mapping[str, Any], nullable: bool) -> Feature:
    levels = tuple(level for level in stated.get("enum", ()) if level is not None)
    return Feature(name=name, encoding="ordinal" if levels else "numeric", levels=levels, nullable=nullable)


def _values(column: pd.Series, feature: Feature) -> list[Any]:
    """A column as JSON values: null where missing, and as it is spelt where it is no number."""
    read = _number if feature.encoding == "numeric" else _plain
    return [read(value) for value in column.astype(object).tolist()]


def _plain(value: Any) -> Any:
    return None if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value


def _number(value: Any) -> Any:
    if isinstance(value, float):  # infinities have no form in JSON: as text, the service refuses them
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, str):
        return _parsed(value)
    return _plain(value)


def _parsed(text: str) -> float | str | None:
    plain = text.strip().lower()
    if plain in _MISSING:
        return None
    try:
        number = float(plain)
    except ValueError:
        return text
    return number if math.isfinite(number) and "_" not in plain else text
