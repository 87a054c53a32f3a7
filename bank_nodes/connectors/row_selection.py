"""The node file's filter, for Arrow and for SQL: values are compared as values, and never pasted into a text."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from bank_nodes.connectors.typed_columns import MISSING_WORDS, is_number, is_text, parse_numbers
from bank_nodes.row_filter import Condition
from riskfed.errors import ConfigurationError, ContractError

if TYPE_CHECKING:
    import sqlalchemy as sa

_ARROW = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_PYTHON = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def check_columns(conditions: Sequence[Condition], columns: Sequence[str]) -> None:
    """Check that a source has every column of the filter, once.

    Raises:
        ConfigurationError: names the columns.
    """
    if absent := sorted({c.column for c in conditions if columns.count(c.column) != 1}):
        raise ConfigurationError(
            f"data.filter names column {', '.join(absent)}, which the source has not, or more than once; correct data.filter"
        )


def rows_wanted(table: pa.Table, conditions: Sequence[Condition], *, as_text: Collection[str] = ()) -> pa.Table:
    """The rows of a table that meet all conditions.

    Args:
        table: some rows of the source.
        conditions: at least one.
        as_text: columns that spell numbers, dates and booleans as text.

    Raises:
        ConfigurationError: a column is absent, or holds something else than it is compared with.
        ContractError: a text is not what it should spell.
    """
    check_columns(conditions, table.column_names)
    met = []
    for condition in conditions:
        column = table.column(condition.column)
        column = _parsed(column, condition) if condition.column in as_text else column
        check_type(condition, column.type)
        if pt.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        met.append(pa.nulls(len(column), pa.bool_()) if pt.is_null(column.type) else _met(condition, column))
    return table.filter(reduce(pc.and_kleene, met))


def arrow_expression(conditions: Sequence[Condition], types: Mapping[str, pa.DataType]) -> pc.Expression | None:
    """What lets Arrow leave out whole files and row groups; None where nothing can be told beforehand.

    Rows that pass may still have to be looked at with `rows_wanted`: conditions on dictionaries, and on dates that a folder's name
    spells, are only judged there.
    """
    usable = [c for c in conditions if _suits(c, types[c.column]) and not pt.is_dictionary(types[c.column])]
    return reduce(operator.and_, [_met(c, pc.field(c.column)) for c in usable]) if usable else None


def sql_conditions(conditions: Sequence[Condition], columns: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    """The conditions on columns of a table or query, with bound values."""
    import sqlalchemy as sa

    found: list[sa.ColumnElement[bool]] = []
    for condition in conditions:
        column = sa.type_coerce(columns.c[condition.column], _sql_type(condition))
        if condition.operator == "in":
            found.append(column.in_(condition.values))
        elif condition.operator == "not in":
            found.append(column.not_in(condition.values))
        else:
            found.append(_PYTHON[condition.operator](column, condition.value))
    return found


def check_type(condition: Condition, kind: pa.DataType) -> None:
    """Check that a column of this type can be compared.

    Raises:
        ConfigurationError: it cannot.
    """
    if not _suits(condition, kind):
        raise mismatch(condition.column, condition.kind, str(kind))


def mismatch(column: str, expected: str, got: str) -> ConfigurationError:
    """What is said where a filter does not suit its column."""
    hint = " with the same kind of time zone" if got.startswith("timestamp") else ""
    return ConfigurationError(
        f"data.filter compares column {column} with a {expected}{hint}, and the column holds {got}; "
        "the bank's data engineer must correct either"
    )


def _suits(condition: Condition, kind: pa.DataType) -> bool:
    if pt.is_dictionary(kind):
        kind = kind.value_type
    if pt.is_timestamp(kind):
        zoned = {isinstance(v, datetime) and v.tzinfo is not None for v in condition.values if isinstance(v, datetime)}
        return condition.kind == "date" and zoned <= {kind.tz is not None}
    suits = {"number": is_number, "text": is_text, "date": pt.is_date, "boolean": pt.is_boolean}
    return bool(pt.is_null(kind) or suits[condition.kind](kind))


def _met(condition: Condition, operand: Any) -> Any:
    """Null where the operand is; of an array or of an expression."""
    if condition.operator == "in":
        return reduce(pc.or_kleene, [pc.equal(operand, pa.scalar(value)) for value in condition.values])
    if condition.operator == "not in":
        return reduce(pc.and_kleene, [pc.not_equal(operand, pa.scalar(value)) for value in condition.values])
    return _ARROW[condition.operator](operand, pa.scalar(condition.value))


def _parsed(column: pa.ChunkedArray, condition: Condition) -> pa.ChunkedArray:
    """A column of text as what it is compared with."""
    if condition.kind == "text" or not is_text(column.type):
        return column
    if condition.kind == "number":
        numbers = [parse_numbers(chunk) for chunk in column.chunks]
        if wrong := sum(count for _, count in numbers):
            raise _not_spelt(condition, f"{wrong} values")
        return pa.chunked_array([parsed for parsed, _ in numbers], pa.float64())
    plain = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(plain), value_set=MISSING_WORDS)
    plain = pc.if_else(missing, pa.scalar(None, pa.string()), plain)
    zoned = any(isinstance(value, datetime) and value.tzinfo is not None for value in condition.values)
    wanted = pa.timestamp("us", tz="UTC" if zoned else None) if condition.kind == "date" else pa.bool_()
    try:
        return pc.cast(plain, wanted)
    except pa.ArrowInvalid:
        raise _not_spelt(condition, "values") from None


def _not_spelt(condition: Condition, what: str) -> ContractError:
    spelling = {"date": "date as 2023-01-31", "boolean": "true or false"}.get(condition.kind, condition.kind)
    return ContractError(
        f"data.filter compares column {condition.column} with a {condition.kind}, and it holds {what} that are no {spelling}; "
        "the bank's data engineer must mend the extract or the filter"
    )


def _sql_type(condition: Condition) -> Any:
    import sqlalchemy as sa

    values = condition.values
    if condition.kind == "number":
        return sa.BigInteger() if all(isinstance(value, int) for value in values) else sa.Double()
    if condition.kind == "date":
        times = [value for value in values if isinstance(value, datetime)]
        return sa.DateTime(timezone=any(time.tzinfo is not None for time in times)) if times else sa.Date()
    return sa.String() if condition.kind == "text" else sa.Boolean()
