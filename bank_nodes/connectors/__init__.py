"""A bank's loan records from where they are: CSV, Parquet, or a database; batch by batch, with honest types.

    source.py          what a source is, and which one a node file means
    csv_file.py        parquet_files.py        database.py, database_errors.py        the three sources
    row_selection.py   the node file's filter, for Arrow and for SQL
    typed_columns.py   what a source gives, as numbers and levels; what is neither is counted

Column by column and row by row, only what the schema and the filter need is read. pyarrow's and the databases' own messages quote what
they stumble over, so none of them is passed on.
"""

from bank_nodes.connectors.reader import read_batches
from bank_nodes.connectors.source import ROWS_AT_ONCE, file_kind

__all__ = ["ROWS_AT_ONCE", "file_kind", "read_batches"]
