"""From a bank's source to batches that the contract can be checked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from bank_nodes.connectors.csv_file import open_csv
from bank_nodes.connectors.database import open_database
from bank_nodes.connectors.parquet_files import open_parquet
from bank_nodes.connectors.source import OpenedSource, Source, file_kind
from bank_nodes.connectors.typed_columns import typed_batch
from bank_nodes.settings import DataConfig
from riskfed.contract import Batch, Violation
from riskfed.schema import Schema


def read_batches(
    data: DataConfig, schema: Schema, *, labelled: bool = True, also: Iterable[str] = ()
) -> Iterator[Batch]:
    """Read records; the source is open while the iterator is.

    Args:
        data: the source, and which of its rows are records.
        schema: says which columns are read, and which of them hold numbers; of a vertical schema, one party's part.
        labelled: whether target, weight, attributes and customer ids are read too; applicants have none.
        also: further columns to read as they are where the source has them (an applicant's id).

    Yields:
        At least one batch, of at most `ROWS_AT_ONCE` rows, in the source's order. Its frame has a column for each that the schema
        names and the source has: numbers, categories of levels, customer ids as they are, and the columns of `also` in Arrow's types.
        Ranges and levels are for `riskfed.contract` to check. `found` counts what is no number in a numeric column.

    Raises:
        ConfigurationError: the source is absent, unreadable or refuses; the filter does not suit it.
        ContractError: rows of a CSV file have not the fields that its header has.
    """
    needed = schema_columns(schema, labelled=labelled)
    wanted = [*needed, *(name for name in also if name not in needed)]
    with _open(data) as source:
        repeated = tuple(
            Violation("column is there more than once", name, 0) for name in needed if source.columns.count(name) > 1
        )
        present = [name for name in wanted if source.columns.count(name) == 1]
        given = False
        for table in _batches(source, present):
            yield typed_batch(table, schema, needed, text=source.is_text, found=repeated)
            given = True
        if not given:  # the contract wants to see the columns, also of no rows
            nothing = pa.table({name: pa.nulls(0) for name in present})
            yield typed_batch(nothing, schema, needed, text=False, found=repeated)


def schema_columns(schema: Schema, *, labelled: bool) -> list[str]:
    """The columns of a source that a schema names."""
    if not labelled:
        return [feature.name for feature in schema.features]
    others = (schema.target, schema.weight, schema.customer_id and schema.customer_id.column)
    return [*(column.name for column in schema.inputs), *(name for name in others if name)]


def _open(data: DataConfig) -> OpenedSource:
    if data.url is not None:
        return open_database(data)
    return open_csv(data) if file_kind(data) == "csv" else open_parquet(data)


def _batches(source: Source, present: Sequence[str]) -> Iterator[pa.Table]:
    # Without a single column that is wanted there is nothing to read: the contract will say what is missing.
    return source.batches(present) if present else iter(())
