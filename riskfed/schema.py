"""The consortium's schema: which columns a loan record has, and how each becomes a number, the same at every bank.

Encoding is part of the schema, so that a model scores the same wherever it is used:

* ``numeric``: the value itself, as float32.
* ``ordinal``: the position of the level in ``levels`` (0, 1, ...), as float32.
* ``onehot``: one column ``name=level`` for each level, 0.0 or 1.0.

A missing value is NaN in every column that the feature becomes. Ranges are agreed in public and never taken from records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from riskfed.errors import SchemaError

Level = str | int
Encoding = Literal["numeric", "ordinal", "onehot"]

UNKNOWN_LEVEL = -2
"""Code of a value that is no level of the schema."""

_XGBOOST_SAFE = str.maketrans({"[": "(", "]": ")", "<": "under "})


class Feature(BaseModel):
    """One column of a loan record that the model may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    encoding: Encoding = "numeric"
    levels: tuple[Level, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = True
    description: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.encoding == "numeric") == bool(self.levels):
            raise ValueError(f"feature {self.name}: levels are needed for ordinal and onehot, and only there")
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"feature {self.name}: a level is listed twice")
        if self.minimum is not None and self.maximum is not None and not self.minimum <= self.maximum:
            raise ValueError(f"feature {self.name}: minimum is above maximum")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the encoded columns; the characters [, ] and <, which XGBoost refuses in names, are replaced."""
        names = [f"{self.name}={level}" for level in self.levels] if self.encoding == "onehot" else [self.name]
        return tuple(name.translate(_XGBOOST_SAFE) for name in names)

    def encode(self, values: pd.Series) -> np.ndarray:
        """Encode one column.

        Args:
            values: (n,) column that meets the contract (see `riskfed.contract`).

        Returns:
            (n, len(self.columns)) float32; NaN where missing. A level outside of ``levels`` becomes NaN too, so check the
            contract first.
        """
        if self.encoding == "numeric":
            return pd.to_numeric(values).to_numpy(dtype=np.float32, na_value=np.nan).reshape(-1, 1)
        # One row for each level, and a last one, which every negative code picks, for a missing value.
        rows = np.arange(len(self.levels), dtype=np.float32)[:, None]
        if self.encoding == "onehot":
            rows = np.eye(len(self.levels), dtype=np.float32)
        rows = np.concatenate([rows, np.full((1, rows.shape[1]), np.nan, dtype=np.float32)])
        return np.asarray(np.take(rows, np.maximum(self.level_codes(values), -1), axis=0, mode="wrap"))

    def level_codes(self, values: pd.Series) -> np.ndarray:
        """Positions of a column's values in ``levels``.

        Args:
            values: (n,) column of an ordinal or one-hot feature; a categorical one is looked up category by category.

        Returns:
            (n,) integers: the position, -1 where the value is missing, `UNKNOWN_LEVEL` where it is no level.
        """
        if isinstance(values.dtype, pd.CategoricalDtype):
            positions = pd.Index(self.levels).get_indexer(pd.Index(values.cat.categories))
            positions[positions < 0] = UNKNOWN_LEVEL
            # The code -1 of a missing value picks the last entry.
            return np.append(positions, -1)[values.cat.codes.to_numpy()]
        codes = pd.Index(self.levels).get_indexer(pd.Index(values))
        codes[(codes < 0) & values.notna().to_numpy()] = UNKNOWN_LEVEL
        return codes


class Schema(BaseModel):
    """Features, target and weight of the consortium's loan records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "loans"
    version: str = "1"
    target: str
    features: tuple[Feature, ...] = Field(min_length=1)
    weight: str | None = None

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SchemaError(_summary("schema", error)) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [*(f.name for f in self.features), self.target, *([self.weight] if self.weight else [])]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ValueError(f"columns named twice: {', '.join(repeated)}")
        columns = self.columns
        if len(set(columns)) != len(columns):
            raise ValueError("two features give encoded columns of the same name")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the encoded columns, in the order of the model's features."""
        return tuple(column for feature in self.features for column in feature.columns)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the canonical JSON: two parties with equal fingerprints encode records alike."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Encode the features of (n, any) records as an (n, len(columns)) float32 matrix, C order, NaN where missing."""
        return np.ascontiguousarray(np.concatenate([f.encode(frame[f.name]) for f in self.features], axis=1))

    def labels(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) float32 labels: 1.0 default, 0.0 repaid."""
        return frame[self.target].to_numpy(dtype=np.float32)

    def weights(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) float32 sample weights; ones where the schema names no weight column."""
        if self.weight is None:
            return np.ones(len(frame), dtype=np.float32)
        return frame[self.weight].to_numpy(dtype=np.float32)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        target: str,
        weight: str | None = None,
        exclude: Sequence[str] = (),
        ordinal: Mapping[str, Sequence[Level]] | None = None,
        onehot: Mapping[str, Sequence[Level]] | None = None,
        ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
        name: str = "loans",
        version: str = "1",
    ) -> Schema:
        """Draft a schema from a frame's columns.

        Numeric and boolean columns become ``numeric``; text and categorical ones ``onehot`` over the sorted levels seen.
        Naming the levels in ``ordinal`` or ``onehot`` takes precedence. Ranges come from ``ranges`` only.

        Raises:
            SchemaError: a named column is absent, or a column has a type without an encoding (dates, for one).
        """
        named = {target, *([weight] if weight else []), *exclude, *(ordinal or {}), *(onehot or {}), *(ranges or {})}
        if absent := sorted(named - set(frame.columns)):
            raise SchemaError(f"columns not in the frame: {', '.join(absent)}")
        left_out = {target, weight, *exclude}
        features = []
        for column in frame.columns:
            if column in left_out:
                continue
            encoding, levels = _encoding_of(frame[column], (ordinal or {}).get(column), (onehot or {}).get(column))
            low, high = (ranges or {}).get(column, (None, None))
            features.append(Feature(name=str(column), encoding=encoding, levels=levels, minimum=low, maximum=high))
        return cls(name=name, version=version, target=target, weight=weight, features=tuple(features))


def _encoding_of(
    values: pd.Series, ordinal: Sequence[Level] | None, onehot: Sequence[Level] | None
) -> tuple[Encoding, tuple[Level, ...]]:
    if ordinal is not None and onehot is not None:
        raise SchemaError(f"column {values.name}: both ordinal and onehot levels are given; name one")
    if ordinal is not None:
        return "ordinal", tuple(ordinal)
    if onehot is not None:
        return "onehot", tuple(onehot)
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return "numeric", ()
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "onehot", tuple(values.cat.categories)
    if pd.api.types.is_string_dtype(values) or values.dtype == object:
        return "onehot", tuple(sorted(str(v) for v in values.dropna().unique()))
    raise SchemaError(
        f"column {values.name} has type {values.dtype}, which has no encoding: exclude it, or turn it into a number or a text"
    )


def _summary(what: str, error: ValidationError) -> str:
    """One line for each thing that pydantic found, without the input's value."""
    lines = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"])
        lines.append(f"{place}: {item['msg']}" if place else item["msg"])
    return f"{what}: " + "; ".join(lines)
