"""An applicant as JSON: checked against the consortium's schema, then encoded for the model.

An applicant's values are personal data. They go into the encoded row and nowhere else: a problem names the field and what was
expected of it, never what was received, so that responses and logs are free of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from riskfed.errors import ContractError
from riskfed.schema import Feature, Schema

_FLOAT32_MAXIMUM = float(np.finfo(np.float32).max)
_LEVELS_SHOWN = 30
_NAME_SHOWN = 128


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field.

    Attributes:
        path: keys from the body's root to the field.
        code: ``missing``, ``unknown``, ``wrong_type``, ``unknown_level`` or ``out_of_range``.
        detail: what was expected.
    """

    path: tuple[str, ...]
    code: str
    detail: str


class ApplicantError(ContractError):
    """An applicant does not meet the schema; whoever sent the request must act."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__(
            f"{len(problems)} fields do not meet the schema: {', '.join(sorted({p.code for p in problems}))}"
        )
        self.problems = problems


class _RefusedError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


_Reader = Callable[[Any], tuple[float, ...]]


class ApplicantForm:
    """The schema as a form: checks one applicant and encodes it as `Schema.encode` would, without a DataFrame.

    A field may be null, or left out, where its feature is nullable. Numbers are JSON numbers (``true`` is none), finite in 32-bit
    floating point, and within the feature's range, bounds included. Levels are given as the schema lists them.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._readers: dict[str, _Reader] = {feature.name: _reader(feature) for feature in schema.features}

    def encode(self, applicant: Mapping[str, Any]) -> np.ndarray:
        """Encode one applicant.

        Args:
            applicant: field -> value, as parsed from JSON.

        Returns:
            (1, len(schema.columns)) float32, NaN where missing.

        Raises:
            ApplicantError: with all problems of all fields at once.
        """
        problems = [_unknown(name) for name in applicant if name not in self._readers]
        row: list[float] = []
        for feature in self.schema.features:
            value = applicant.get(feature.name)
            if value is None and feature.nullable:
                row.extend([np.nan] * len(feature.columns))
                continue
            try:
                if value is None:
                    raise _absent(feature.name in applicant)
                row.extend(self._readers[feature.name](value))
            except _RefusedError as refused:
                problems.append(FieldProblem((feature.name,), refused.code, refused.detail))
        if problems:
            raise ApplicantError(tuple(problems))
        return np.array([row], dtype=np.float32)

    def example(self) -> dict[str, Any]:
        """An applicant that meets the schema: middles of ranges and first levels, nobody's values."""
        return {feature.name: _example(feature) for feature in self.schema.features}

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of an applicant, for OpenAPI."""
        return {
            "type": "object",
            "title": f"{self.schema.name} {self.schema.version}",
            "properties": {feature.name: _property(feature) for feature in self.schema.features},
            "required": [feature.name for feature in self.schema.features if not feature.nullable],
            "additionalProperties": False,
            "example": self.example(),
        }


def _unknown(name: str) -> FieldProblem:
    # A name this long is no misspelt field: it may be content in the wrong place, so it is not sent back.
    path = (name,) if len(name) <= _NAME_SHOWN else ()
    return FieldProblem(path, "unknown", "the model's schema has no such field")


def _absent(given: bool) -> _RefusedError:
    if given:
        return _RefusedError("wrong_type", "must not be null")
    return _RefusedError("missing", "this field is required")


def _reader(feature: Feature) -> _Reader:
    return _number_reader(feature) if feature.encoding == "numeric" else _level_reader(feature)


def _number_reader(feature: Feature) -> _Reader:
    low = -np.inf if feature.minimum is None else feature.minimum
    high = np.inf if feature.maximum is None else feature.maximum
    expected = _range_text(feature)

    def read(value: Any) -> tuple[float, ...]:
        # bool is a subclass of int in Python, but no number in JSON.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _RefusedError("wrong_type", "must be a number")
        try:
            number = float(value)
        except OverflowError:
            raise _RefusedError("out_of_range", expected) from None
        # Written so that NaN fails it too.
        if not (abs(number) <= _FLOAT32_MAXIMUM and low <= number <= high):
            raise _RefusedError("out_of_range", expected)
        return (number,)

    return read


def _level_reader(feature: Feature) -> _Reader:
    positions = {level: position for position, level in enumerate(feature.levels)}
    types = {type(level) for level in feature.levels}
    kind = {frozenset({str}): "a text", frozenset({int}): "an integer"}.get(frozenset(types), "a text or an integer")
    shown = ", ".join(str(level) for level in feature.levels[:_LEVELS_SHOWN])
    more = f" and {len(feature.levels) - _LEVELS_SHOWN} more" if len(feature.levels) > _LEVELS_SHOWN else ""

    def read(value: Any) -> tuple[float, ...]:
        # JSON does not tell 3.0 from 3, and pandas writes the former for integer columns with gaps.
        level = int(value) if isinstance(value, float) and value.is_integer() else value
        if type(level) not in types:
            raise _RefusedError("wrong_type", f"must be {kind}, one of: {shown}{more}")
        position = positions.get(level)
        if position is None:
            raise _RefusedError("unknown_level", f"must be one of: {shown}{more}")
        if feature.encoding == "ordinal":
            return (float(position),)
        return tuple(1.0 if at == position else 0.0 for at in range(len(positions)))

    return read


def _range_text(feature: Feature) -> str:
    if feature.minimum is not None and feature.maximum is not None:
        return f"must be between {feature.minimum:g} and {feature.maximum:g}"
    if feature.minimum is not None:
        return f"must be finite and at least {feature.minimum:g}"
    if feature.maximum is not None:
        return f"must be finite and at most {feature.maximum:g}"
    return "must be finite in 32-bit floating point"


def _example(feature: Feature) -> Any:
    if feature.levels:
        return feature.levels[0]
    low, high = feature.minimum, feature.maximum
    if low is None or high is None:
        return next((bound for bound in (low, high) if bound is not None), 0.0)
    middle = low / 2 + high / 2
    return float(round(middle)) if low <= round(middle) <= high else middle


def _property(feature: Feature) -> dict[str, Any]:
    described: dict[str, Any] = {"description": feature.description} if feature.description else {}
    if feature.levels:
        return {**described, "enum": [*feature.levels, *([None] if feature.nullable else [])]}
    bounds = {"minimum": feature.minimum, "maximum": feature.maximum}
    return {
        **described,
        "type": ["number", "null"] if feature.nullable else "number",
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }
