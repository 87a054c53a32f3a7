"""What a source gives, as the schema wants it: numbers as numbers, levels as categories, and a count of what is neither."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from riskfed.contract import Batch, Violation
from riskfed.schema import Feature, Schema

MISSING_WORDS = pa.array(["", "na", "n/a", "#n/a", "nan", "null", "none"])
"""What a CSV file may have, in any case, where a number is missing. In a column of levels, only the empty text is missing."""
_NUMBER = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)$"
_EXACT_DIGITS = 15
"""Every whole number of so many decimal digits is a float64."""


def typed_batch(
    table: pa.Table, schema: Schema, needed: Sequence[str], *, text: bool, found: tuple[Violation, ...]
) -> Batch:
    """Type the columns of a table.

    Args:
        table: columns of the source, of any type.
        schema: says which columns hold levels.
        needed: the columns to type; others are passed on in Arrow's types.
        text: whether numbers and levels are spelt as text, as in CSV.
        found: violations to hand on with those found here.
    """
    levels = {feature.name: feature for feature in schema.inputs if feature.encoding != "numeric"}
    dates = {attribute.name for attribute in schema.attributes if attribute.period is not None}
    columns: dict[str, pd.Series] = {}
    violations = list(found)
    for name in table.column_names:
        column = _whole(table.column(name))
        if name not in needed:
            columns[name] = column.to_pandas(types_mapper=pd.ArrowDtype)
            continue
        expected = "a date" if name in dates else "a text or whole number" if name in levels else "a number"
        if name in dates:
            values, wrong = _dates(column)
        elif schema.customer_id is not None and name == schema.customer_id.column:
            values, wrong = _ids(column), 0
        else:
            values, wrong = _levels(column, levels[name], text=text) if name in levels else _numbers(column, text=text)
        if wrong:
            violations.append(Violation(f"wrong type, expected {expected}, got {_type_name(column.type)}", name, wrong))
        columns[name] = values
    return Batch(pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False), tuple(violations))


def parse_numbers(text: pa.Array) -> tuple[pa.Array, int]:
    """A column of text as float64, null where missing, and how many of its values are no numbers; if any, it comes back as it was."""
    with contextlib.suppress(pa.ArrowInvalid):
        return pc.cast(text, pa.float64()), 0  # the usual case: no copy of the text is made
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(text))
    plain = pc.if_else(pc.is_in(plain, value_set=MISSING_WORDS), pa.scalar(None, pa.string()), plain)
    wrong = pc.sum(pc.invert(pc.match_substring_regex(plain, _NUMBER))).as_py() or 0
    return (pc.cast(plain, pa.float64()), 0) if wrong == 0 else (text, wrong)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers; booleans count as 0 and 1, but are none."""
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    if pt.is_dictionary(column.type):
        column = column.unify_dictionaries()
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks else pa.array([], column.type)


def _numbers(column: pa.Array, *, text: bool) -> tuple[pd.Series, int]:
    """The column as numbers, and how many of its values are none; those then come back as they were."""
    wrong = 0
    if text:
        column, wrong = parse_numbers(column)
    elif pt.is_decimal(column.type):
        column = _from_decimals(column)
    elif pt.is_boolean(column.type):
        column = pc.cast(column, pa.uint8())
    elif pt.is_null(column.type):
        column = pc.cast(column, pa.float64())
    elif not is_number(column.type):
        wrong = len(column) - column.null_count
    return column.to_pandas(), wrong


def _dates(column: pa.Array) -> tuple[pd.Series, int]:
    """Dates, or texts that the contract checks for being some; and how many values can be none by their type."""
    kind = column.type
    if pt.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pt.is_date(kind) or pt.is_timestamp(kind) or is_text(kind) or pt.is_null(kind):
        return column.to_pandas(date_as_object=False), 0
    return pd.Series([None] * len(column), dtype=object), len(column) - column.null_count


def _ids(column: pa.Array) -> pd.Series:
    """Customers' ids as they are: a text keeps its leading zeros, and no whole number becomes a float where others are missing."""
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column, pa.ExtensionArray):  # UUIDs, of which to_pandas would give the bytes
        return pd.Series(column.to_pylist(), dtype=object)
    ids: pd.Series = column.to_pandas(integer_object_nulls=True)
    return ids


def _from_decimals(column: pa.Array) -> pa.Array:
    """The float64 nearest to each decimal, as if it were parsed from text. Arrow's own cast may miss it by one unit in the last place."""
    kind = column.type
    if not pt.is_decimal128(kind) or kind.precision > _EXACT_DIGITS or kind.scale < 0:
        return pc.cast(pc.cast(column, pa.string()), pa.float64())
    # So few digits fit the lower of the two words; whole number and power of ten are exact, and IEEE division rounds once.
    words = np.frombuffer(column.buffers()[1], dtype="<i8")[2 * column.offset :: 2][: len(column)]
    missing = None if column.null_count == 0 else np.asarray(pc.is_null(column))
    return pa.array(words / 10.0**kind.scale, mask=missing)


def _levels(column: pa.Array, feature: Feature, *, text: bool) -> tuple[pd.Series, int]:
    """The column as categories, spelt as in the schema where they are levels; and how many of its values can be none by their type."""
    if pt.is_boolean(column.type):
        column = pc.cast(column, pa.uint8())
    elif pt.is_decimal(column.type):
        column = _from_decimals(column)
    if pt.is_null(column.type):
        column = pc.cast(column, pa.string())
    words = (
        column
        if pt.is_dictionary(column.type)
        else pc.dictionary_encode(column)
        if _can_be_level(column.type)
        else None
    )
    if words is None or not _can_be_level(words.type.value_type):
        return pd.Series([None] * len(column), dtype=object), len(column) - column.null_count
    distinct = words.dictionary.to_pylist()
    if text:
        distinct = [_level(word, feature) for word in distinct]
    return _categorical(words, distinct), 0


def _can_be_level(kind: pa.DataType) -> bool:
    return is_text(kind) or is_number(kind)


def _categorical(words: pa.DictionaryArray, distinct: list[Any]) -> pd.Series:
    places, categories = pd.factorize(np.array(distinct, dtype=object))  # two spellings may be one level
    codes = np.asarray(words.indices.fill_null(-1) if words.indices.null_count else words.indices)
    codes = np.append(places, -1)[codes]  # -1 picks the last: missing
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(categories), validate=False))


def _level(word: str, feature: Feature) -> Any:
    """A CSV field as a level: 2 is also written 2.0 where the column was a float once. What is no level stays as it is."""
    if word in feature.levels:
        return word
    plain = re.sub(r"\.0+$", "", word.strip())
    return next((level for level in feature.levels if isinstance(level, int) and str(level) == plain), word)


def _type_name(kind: pa.DataType) -> str:
    if pt.is_dictionary(kind):
        kind = kind.value_type
    return "text" if is_text(kind) else str(kind)
