"""A database by SQLAlchemy URL, read through a cursor on the server's side, one batch of rows at a time.

The session is read-only, so whatever the query says, nothing is changed. The password comes from the node's environment; neither it
nor a driver's message, which may quote values, is ever passed on. PostgreSQL (psycopg 3) is what is tested; other databases work as far
as their SQLAlchemy dialect does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from bank_nodes.connectors.database_errors import clear_errors, not_installed
from bank_nodes.connectors.row_selection import check_columns, sql_conditions
from bank_nodes.row_filter import Condition
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

_ROWS_AT_ONCE: Final = 16_384
"""Rows that are Python objects at the same time."""
_POSTGRESQL: Final = "postgresql+psycopg"


@contextmanager
def open_database(data: DataConfig) -> Iterator[Database]:
    """Connect to the database of `data` and look at the columns of its table or query.

    Raises:
        ConfigurationError: it cannot be reached, refuses, or has no such table; SQLAlchemy or the driver is not installed. So does
            reading.
    """
    engine = _engine(data)
    try:
        with clear_errors(data, engine.url, "connect"):
            connection = engine.connect()
        with clear_errors(data, engine.url), connection:
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
                _limit(connection, data.statement_timeout)
            yield Database(data, connection, _column_names(data, connection))
    finally:
        engine.dispose()


class Database:
    """An opened database; a `Source`."""

    is_text = False

    def __init__(self, data: DataConfig, connection: sa.Connection, columns: Sequence[str]) -> None:
        self.columns = columns
        self._data = data
        self._connection = connection

    def batches(self, wanted: Sequence[str]) -> Iterator[pa.Table]:
        """See `Source`: the database selects the columns and the rows."""
        check_columns(self._data.filter, self.columns)
        query = _selection(self._data, wanted)
        streamed = self._connection.execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE)
        with streamed.execute(query) as result:
            for rows in result.partitions():
                values = zip(*rows, strict=True)
                yield pa.table({name: _array(column) for name, column in zip(wanted, values, strict=True)})


def _engine(data: DataConfig) -> sa.Engine:
    try:
        import sqlalchemy as sa
    except ImportError:
        raise not_installed("SQLAlchemy") from None
    try:
        url = sa.make_url(data.url or "")
        if url.drivername in {"postgresql", "postgres"}:
            url = url.set(drivername=_POSTGRESQL)
        if data.password is not None:
            url = url.set(password=data.password.get_secret_value())
        arguments = _psycopg_arguments(data) if url.drivername == _POSTGRESQL else {}
        engine = sa.create_engine(
            url, connect_args=arguments, poolclass=sa.NullPool, hide_parameters=True, pool_reset_on_return=None
        )
    except ImportError:
        raise not_installed("the driver of data.url") from None
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError(
            "data.url is no SQLAlchemy URL, or of a database that SQLAlchemy does not know; expected, for example, "
            "postgresql://user@host:5432/database; correct the node file"
        ) from None
    if url.drivername == _POSTGRESQL:
        sa.event.listen(engine, "connect", _numeric_as_float)
    return engine


def _psycopg_arguments(data: DataConfig) -> dict[str, Any]:
    """A server that is gone without a word is noticed by keepalives; one that takes too long, by its own statement timeout."""
    return {
        "connect_timeout": data.connect_timeout,
        "application_name": "riskfed",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }


def _numeric_as_float(connection: Any, _: Any) -> None:
    """NUMERIC is rounded to float64 at once, as it is parsed from text elsewhere: Decimal objects are slow, and know NaN otherwise."""
    from psycopg.types.numeric import FloatLoader

    connection.adapters.register_loader("numeric", FloatLoader)


def _limit(connection: sa.Connection, seconds: int) -> None:
    # By SET LOCAL's function, not by start-up options, which connection poolers refuse. Times without a zone are taken as UTC.
    import sqlalchemy as sa

    settings = {"statement_timeout": f"{seconds}s", "timezone": "UTC"}
    for name, value in settings.items():
        connection.execute(sa.text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})


def _column_names(data: DataConfig, connection: sa.Connection) -> list[str]:
    """All columns, also those of a table that the user may not read."""
    import sqlalchemy as sa

    if data.table is None:
        nothing: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(_records(data, ())).limit(0)
        return list(connection.execute(nothing).keys())
    with warnings.catch_warnings(action="ignore", category=sa.exc.SAWarning):  # of types that are none of the schema's
        return [column["name"] for column in sa.inspect(connection).get_columns(*_table_name(data.table))]


def _table_name(table: str) -> tuple[str, str | None]:
    """Name and schema."""
    schema, _, name = table.rpartition(".") if table.count(".") == 1 else ("", "", table)
    return name, schema or None


def _records(data: DataConfig, columns: Sequence[str]) -> sa.FromClause:
    """The table, or the query as a subselect: whatever is not one SELECT does not parse there."""
    import sqlalchemy as sa

    named: list[sa.ColumnClause[Any]] = [sa.column(name) for name in columns]
    if data.table is not None:
        name, schema = _table_name(data.table)
        return sa.table(name, *named, schema=schema)
    # Colons are the query's own, not SQLAlchemy's parameters; a last comment must not swallow what follows.
    text = (data.query or "").strip().rstrip(";").replace(":", "\\:") + "\n"
    return sa.text(text).columns(*named).subquery("records")


def _selection(data: DataConfig, wanted: Sequence[str]) -> sa.Select[Any]:
    import sqlalchemy as sa

    conditions: tuple[Condition, ...] = data.filter
    records = _records(data, list(dict.fromkeys([*wanted, *(condition.column for condition in conditions)])))
    return sa.select(*(records.c[name] for name in wanted)).where(*sql_conditions(conditions, records))


def _array(values: Sequence[Any]) -> pa.Array:
    """A column of a batch, typed by its values; what Arrow cannot type is text, which no numeric column may hold."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])
