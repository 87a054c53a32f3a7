"""Which rows of a source are records: conditions that all hold, the same for files and databases.

filter = [["booked_on", ">=", 2023-01-01], ["product", "in", ["card", "loan"]]]
"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
Value = bool | int | float | str | datetime | date
ValueKind = Literal["number", "text", "date", "boolean"]
_ORDERED: tuple[ValueKind, ...] = ("number", "date")


class Condition(BaseModel):
    """One condition; a row whose column is missing never meets it, as in SQL.

    Attributes:
        column: a column of the source, whether the schema names it or not.
        operator: ``in`` and ``not in`` take a list of values, the others one. Text and booleans have no order.
        value: numbers, texts, dates (or times), or booleans; a list holds one kind only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    column: str
    operator: Operator
    value: Value | tuple[Value, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, written: Any) -> Any:
        if isinstance(written, list | tuple):
            if len(written) != 3:
                raise ValueError('a condition is a list of three: ["column", "operator", value]')
            return dict(zip(("column", "operator", "value"), written, strict=True))
        return written

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.value, tuple) != (self.operator in {"in", "not in"}):
            raise ValueError('a list of values goes with "in" and "not in", and a single value with the others')
        if not self.values:
            raise ValueError("an empty list of values wants no row at all")
        if len({_kind(value) for value in self.values}) > 1:
            raise ValueError("a list holds numbers, texts, dates or booleans, and no two of these")
        if self.operator in {"<", "<=", ">", ">="} and self.kind not in _ORDERED:
            raise ValueError("only numbers and dates have an order; a date is written without quotes: 2023-01-01")
        if any(isinstance(value, float) and not math.isfinite(value) for value in self.values):
            raise ValueError("a number to compare with must be finite")
        return self

    @property
    def values(self) -> tuple[Value, ...]:
        """The value, or all of the list."""
        return self.value if isinstance(self.value, tuple) else (self.value,)

    @property
    def kind(self) -> ValueKind:
        """What the column must hold."""
        return _kind(self.values[0])


def _kind(value: Value) -> ValueKind:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "date"
