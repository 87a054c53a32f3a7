"""A table written piece by piece into a CSV or Parquet file that takes its name only once it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from bank_nodes.settings import FileKind
from riskfed.errors import ConfigurationError


class TableWriter(Protocol):
    """Takes a table's rows in pieces; the first one, with or without rows, says which columns there are."""

    def write(self, piece: pa.Table) -> None:
        """Append rows."""
        ...


@contextmanager
def table_file(path: Path, kind: FileKind, delimiter: str = ",") -> Iterator[TableWriter]:
    """Open the file for writing; what was there before stays until all is written, and for good if that fails.

    Raises:
        ConfigurationError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            writer = _CsvWriter(file, delimiter) if kind == "csv" else _ParquetWriter(file)
            try:
                yield writer
            finally:
                writer.close()
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


class _CsvWriter:
    def __init__(self, file: IO[bytes], delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._header = True

    def write(self, piece: pa.Table) -> None:
        options = pa_csv.WriteOptions(include_header=self._header, delimiter=self._delimiter, quoting_style="needed")
        pa_csv.write_csv(piece, self._file, options)
        self._header = False

    def close(self) -> None:
        """Nothing is held back."""


class _ParquetWriter:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None

    def write(self, piece: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, piece.schema)
        self._writer.write_table(piece.cast(self._writer.schema))

    def close(self) -> None:
        """Write what ends the file."""
        if self._writer is not None:
            self._writer.close()
