"""A Parquet file, or a folder of them, possibly partitioned by folders such as year=2024.

Files and row groups that the filter rules out by their names or statistics are not read. What is read comes in batches however large
the row groups are: pages are decoded as they are needed, where Arrow's own scanner would hold whole row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from bank_nodes.connectors.row_selection import arrow_expression, check_columns, check_type, rows_wanted
from bank_nodes.connectors.source import ROWS_AT_ONCE, file_path, malformed, unreadable
from bank_nodes.connectors.typed_columns import is_text
from bank_nodes.row_filter import Condition
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError

_BUFFER_BYTES: Final = 1 << 20
"""Read of a column at once."""


@contextmanager
def open_parquet(data: DataConfig) -> Iterator[ParquetFiles]:
    """Open the file or folder of `data`.

    Raises:
        ConfigurationError: absent, or no Parquet file; so does reading.
    """
    path = file_path(data)
    with _clear_errors(path):
        path.stat()
        base = path if path.is_dir() else path.parent
        dataset = ds.dataset(path, format="parquet", partitioning="hive", partition_base_dir=str(base))
    if not dataset.files:
        raise ConfigurationError(f"{path} holds no Parquet file; correct data.path")
    yield ParquetFiles(path, dataset, data.filter)


class ParquetFiles:
    """Opened Parquet files; a `Source`. A column is the source's if the first file or the folders' names have it."""

    is_text = False

    def __init__(self, path: Path, dataset: ds.FileSystemDataset, conditions: Sequence[Condition]) -> None:
        self.columns: Sequence[str] = dataset.schema.names
        self._path = path
        self._dataset = dataset
        self._conditions = conditions

    def batches(self, wanted: Sequence[str]) -> Iterator[pa.Table]:
        """See `Source`. A column that a later file lacks is missing in that file's tables."""
        check_columns(self._conditions, self.columns)
        needed = list(dict.fromkeys([*wanted, *(c.column for c in self._conditions)]))
        schema = self._dataset.schema
        partitions = [name for name in self._dataset.partitioning.schema.names if is_text(schema.field(name).type)]
        for condition in self._conditions:
            if condition.column not in partitions:  # what folders spell is parsed
                check_type(condition, schema.field(condition.column).type)
        promising = arrow_expression(self._conditions, {name: schema.field(name).type for name in needed})
        with _clear_errors(self._path):
            for fragment in self._dataset.get_fragments(promising):
                for table in _tables(fragment, needed, promising, schema):
                    yield rows_wanted(table, self._conditions, as_text=partitions) if self._conditions else table


def _tables(
    fragment: ds.ParquetFileFragment, needed: Sequence[str], promising: ds.Expression | None, schema: pa.Schema
) -> Iterator[pa.Table]:
    """One file's rows, but for row groups that the filter rules out, with the columns that its folders' names spell."""
    folders = ds.get_partition_keys(fragment.partition_expression)
    with pq.ParquetFile(
        fragment.path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
    ) as file:
        own = [name for name in file.schema_arrow.names if name in needed]
        groups = list(range(file.num_row_groups))
        if promising is not None:
            groups = [group.id for group in fragment.subset(promising, schema=schema).row_groups]
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=own) if groups else ():
            table = pa.Table.from_batches([batch]).select(own)
            for name, value in folders.items():
                if name in needed and name not in own:
                    kind = schema.field(name).type
                    table = table.append_column(name, pa.repeat(pa.scalar(value, kind), table.num_rows))
            yield table


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:  # Arrow's own: a damaged page, not a refusal of the system
            raise malformed(path, "parquet", error) from None
        raise unreadable(path, error) from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise malformed(path, "parquet", error) from None
