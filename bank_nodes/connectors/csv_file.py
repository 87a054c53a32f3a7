"""A CSV file, read block by block. Everything comes as text: guessing types would make numbers of codes such as 007."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from bank_nodes.connectors.row_selection import check_columns, rows_wanted
from bank_nodes.connectors.source import ROWS_AT_ONCE, file_path, malformed, unreadable
from bank_nodes.row_filter import Condition
from bank_nodes.settings import DataConfig
from riskfed.errors import ContractError

_BLOCK_BYTES: Final = 1 << 22


@contextmanager
def open_csv(data: DataConfig) -> Iterator[CsvFile]:
    """Open the CSV file of `data`, UTF-8 with a header line.

    Raises:
        ConfigurationError: absent, or no CSV file; so does reading.
    """
    path = file_path(data)
    with _clear_errors(path), path.open(encoding="utf-8-sig", newline="") as file:
        columns = next(csv.reader(file, delimiter=data.delimiter), [])
    yield CsvFile(path, data.delimiter, data.filter, columns)


class CsvFile:
    """An opened CSV file; a `Source`."""

    is_text = True

    def __init__(self, path: Path, delimiter: str, conditions: Sequence[Condition], columns: Sequence[str]) -> None:
        self.columns = columns
        self._path = path
        self._delimiter = delimiter
        self._conditions = conditions

    def batches(self, wanted: Sequence[str]) -> Iterator[pa.Table]:
        """See `Source`.

        Raises:
            ConfigurationError: the file turns out to be malformed.
            ContractError: rows have not the fields that the header has; counted to the end of the file, and not shown.
        """
        needed = [*wanted, *(c.column for c in self._conditions if c.column not in wanted)]
        check_columns(self._conditions, self.columns)
        odd_rows: list[None] = []  # its length counts: appending is safe from the reader's threads

        def count_odd_row(_: Any) -> str:
            odd_rows.append(None)
            return "skip"

        with _clear_errors(self._path), self._reader(needed, count_odd_row) as reader:
            for block in reader:
                table = pa.Table.from_batches([block])
                if self._conditions:
                    table = rows_wanted(table, self._conditions, as_text=self.columns)
                for start in range(0, table.num_rows, ROWS_AT_ONCE):
                    yield table.slice(start, ROWS_AT_ONCE)
        if odd_rows:
            raise ContractError(
                f"{len(odd_rows)} rows of {self._path.name} have not the {len(self.columns)} fields that its header has; "
                "the bank's data engineer must mend the extract"
            )

    def _reader(self, needed: Sequence[str], odd_row: Any) -> pa_csv.CSVStreamingReader:
        return pa_csv.open_csv(
            self._path,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(delimiter=self._delimiter, invalid_row_handler=odd_row),
            convert_options=pa_csv.ConvertOptions(
                include_columns=list(dict.fromkeys(needed)),
                column_types=dict.fromkeys(needed, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from None
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise malformed(path, "csv", error) from None
