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
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from riskfed.errors import SchemaError
from riskfed.feature import UNKNOWN_LEVEL, Attribute, Encoding, Feature, Level

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNKNOWN_LEVEL", "Attribute", "Encoding", "Feature", "Level", "Schema"]


class Schema(BaseModel):
    """Features, target and weight of the consortium's loan records, and the attributes by which figures are broken down.

    `description` says for readers what counts as a default, within which time, and which loans are meant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "loans"
    version: str = "1"
    description: str = ""
    target: str
    features: tuple[Feature, ...] = Field(min_length=1)
    weight: str | None = None
    attributes: tuple[Attribute, ...] = ()

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
        attributes = [attribute.name for attribute in self.attributes]
        if len(set(attributes)) != len(attributes) or {self.target, self.weight} & set(attributes):
            raise ValueError("an attribute is named twice, or is target or weight")
        if clash := [
            a.name for a in self.attributes if a.period is not None and a.name in {f.name for f in self.features}
        ]:
            raise ValueError(f"a column of dates cannot be a feature: {', '.join(clash)}")
        if sum(attribute.role == "cohort" for attribute in self.attributes) > 1:
            raise ValueError("more than one attribute has the role cohort")
        if len(set(self.reason_codes)) != len(self.features):
            raise ValueError(
                "two features have the same reason code; those without one have R and their place, R01 for the first"
            )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the encoded columns, in the order of the model's features."""
        return tuple(column for feature in self.features for column in feature.columns)

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """What is read of a record besides target and weight: features, then attributes that are none of them."""
        known = {feature.name for feature in self.features}
        return (*self.features, *(attribute for attribute in self.attributes if attribute.name not in known))

    @property
    def reason_codes(self) -> tuple[str, ...]:
        """Code of an adverse reason on each feature: its own, else R and its place from 1, such as R01."""
        return tuple(feature.reason_code or f"R{place:02d}" for place, feature in enumerate(self.features, 1))

    @property
    def cohort(self) -> Attribute | None:
        """The attribute that says when a loan was made."""
        return next((attribute for attribute in self.attributes if attribute.role == "cohort"), None)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the canonical JSON: two parties with equal fingerprints encode records alike."""
        fields = self.model_dump(mode="json")
        for feature in (*fields["features"], *fields["attributes"]):
            # Schemas from before there were these fields keep their fingerprints.
            for name in ("reason_code", "reasons", "immutable"):
                if not feature[name]:
                    del feature[name]
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
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
    import pandas as pd

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
