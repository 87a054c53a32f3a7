"""What a source of records is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa

from bank_nodes.settings import DataConfig, FileKind
from riskfed.errors import ConfigurationError

ROWS_AT_ONCE: Final = 65_536
"""Most rows of a batch."""


class Source(Protocol):
    """An opened file, folder or database.

    Attributes:
        columns: names of all its columns, in order; one that is there twice stands there twice.
        is_text: whether every column comes as text (CSV), so that numbers are to be parsed; otherwise declared types hold.
    """

    columns: Sequence[str]
    is_text: bool

    def batches(self, wanted: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that meet the filter, in tables of at most `ROWS_AT_ONCE` rows with the columns `wanted` and maybe others."""
        ...


OpenedSource = AbstractContextManager[Source]


def file_kind(data: DataConfig) -> FileKind:
    """The kind of a file as given, or by its suffix; a folder holds Parquet.

    Raises:
        ConfigurationError: nothing tells.
    """
    by_suffix: dict[str, FileKind] = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
    path = file_path(data)
    kind = data.kind or by_suffix.get(path.suffix.lower()) or ("parquet" if path.is_dir() else None)
    if kind is None:
        raise ConfigurationError(
            f'{path}: the suffix tells neither csv nor parquet; name it by kind = "..." in section data'
        )
    return kind


def file_path(data: DataConfig) -> Path:
    """The file or folder of a node file that names one.

    Raises:
        ConfigurationError: it names a database.
    """
    if data.path is None:
        raise ConfigurationError("section data names a database; expected a file: name it by path")
    return data.path


def unreadable(path: Path, error: OSError) -> ConfigurationError:
    """What is said of a file that the system does not give."""
    return ConfigurationError(f"cannot read {path}: {error.strerror or 'input/output error'}; correct data.path")


def malformed(path: Path, kind: FileKind, error: Exception) -> ConfigurationError:
    """What is said of a file that is not what its kind says."""
    return ConfigurationError(
        f"{path} cannot be read as {kind} ({type(error).__name__}); the bank's data engineer must mend the extract"
    )
