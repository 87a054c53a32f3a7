"""The consortium's schema: which columns a loan record has, and how each becomes a number, the same at every bank.

Encoding is part of the schema, so that a model scores the same wherever it is used:

* ``numeric``: the value itself, as float32.
* ``ordinal``: the position of the level in ``levels`` (0, 1, ...), as float32.
* ``onehot``: one column ``name=level`` for each level, 0.0 or 1.0.

A missing value is NaN in every column that the feature becomes. Ranges are agreed in public and never taken from records.

In a **vertical** schema, parties hold different columns of the same customers: it names the holder of every feature, the one party that has
the labels, and the id by which customers are recognised. All parties have the same file, and each reads its own part of it
(`Schema.part_of`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from riskfed.customer_id import CustomerId
from riskfed.errors import SchemaError
from riskfed.feature import UNKNOWN_LEVEL, Attribute, Encoding, Feature, Level, encoding_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNKNOWN_LEVEL", "Attribute", "CustomerId", "Encoding", "Feature", "Level", "Schema"]

_LONGEST_NAME: Final = 64
"""Bytes of a party's name, as in a roster."""


class Schema(BaseModel):
    """Features, target and weight of the consortium's loan records, and the attributes by which figures are broken down.

    `description` says for readers what counts as a default, within which time, and which loans are meant.

    Attributes:
        label_holder: in a vertical schema, the party that has target, weight and attributes; empty in others.
        customer_id: in a vertical schema, the column of customers' ids, which every party has.

    `target` is empty in a feature holder's part of a vertical schema, and nowhere else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "loans"
    version: str = "1"
    description: str = ""
    target: str
    features: tuple[Feature, ...] = Field(min_length=1)
    weight: str | None = None
    attributes: tuple[Attribute, ...] = ()
    label_holder: str = ""
    customer_id: CustomerId | None = None

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

    @model_validator(mode="after")
    def _held(self) -> Self:
        if not self.is_vertical:
            if self.customer_id is not None or any(feature.holder for feature in self.features):
                raise ValueError("holders and customer_id are for vertical schemas, which name a label_holder")
            if not self.target:
                raise ValueError("target names no column")
            return self
        if self.customer_id is None:
            raise ValueError("a vertical schema needs customer_id, the column by which parties recognise customers")
        if self.customer_id.column in {c.name for c in self.inputs} | {self.target, self.weight}:
            raise ValueError(f"column {self.customer_id.column} holds customers' ids; it can be nothing else besides")
        if without := [feature.name for feature in self.features if not feature.holder]:
            raise ValueError(
                f"a vertical schema names the holder of each feature; none is named for {', '.join(without)}"
            )
        if long := [holder for holder in self.holders if len(holder.encode()) > _LONGEST_NAME]:
            raise ValueError(f"a holder's name has at most {_LONGEST_NAME} bytes, got one of {len(long[0].encode())}")
        self._check_labels_side()
        return self

    def _check_labels_side(self) -> None:
        """What only the label holder has, and what it must have."""
        elsewhere = {feature.name for feature in self.features if feature.holder != self.label_holder}
        if odd := [a.name for a in self.attributes if a.holder not in {"", self.label_holder} or a.name in elsewhere]:
            raise ValueError(f"attributes are columns of the label holder, and these are not: {', '.join(odd)}")
        if self.target:
            if self.label_holder not in self.holders:
                raise ValueError(f"label holder {self.label_holder} holds no feature; it needs one at least")
        elif len(self.holders) > 1 or self.label_holder in self.holders or self.weight or self.attributes:
            raise ValueError("a schema without target is one feature holder's part: features of that holder alone")

    @property
    def is_vertical(self) -> bool:
        """Whether parties hold different columns of the same customers."""
        return bool(self.label_holder)

    @property
    def holders(self) -> tuple[str, ...]:
        """Parties that hold features, sorted; none in a schema that is not vertical."""
        return tuple(sorted({feature.holder for feature in self.features} - {""}))

    def part_of(self, party: str) -> Schema:
        """What one party reads of a vertical schema: its own features and the ids; the label holder target, weight and attributes too.

        Raises:
            SchemaError: the schema is not vertical, or the party holds none of its features.
        """
        own = tuple(feature for feature in self.features if feature.holder == party)
        if not own or not self.is_vertical:
            raise SchemaError(
                f"party {party} holds no feature of schema {self.name}; holders are {', '.join(self.holders)}"
            )
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        if party != self.label_holder:
            fields |= {"target": "", "weight": None, "attributes": ()}
        return Schema(**(fields | {"features": own}))

    @property
    def joined_features(self) -> tuple[Feature, ...]:
        """Features in the order of the joined table: the label holder's first, then each feature holder's, holders sorted by name.

        Within a party, the schema's order. Among equal gains, a split on an earlier column wins, as in xgboost on a table of this order.
        """
        order = [self.label_holder, *(holder for holder in self.holders if holder != self.label_holder)]
        return tuple(feature for holder in order for feature in self.features if feature.holder == holder)

    @property
    def joined_columns(self) -> tuple[str, ...]:
        """Names of the encoded columns in the order of `joined_features`."""
        return tuple(column for feature in self.joined_features for column in feature.columns)

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
            for name in ("reason_code", "reasons", "immutable", "holder"):
                if not feature[name]:
                    del feature[name]
        for name in ("label_holder", "customer_id"):
            if not fields[name]:
                del fields[name]
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Encode the features of (n, any) records as an (n, len(columns)) float32 matrix, C order, NaN where missing."""
        return np.ascontiguousarray(np.concatenate([f.encode(frame[f.name]) for f in self.features], axis=1))

    def labels(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) float32 labels: 1.0 default, 0.0 repaid; zeros where the schema is a feature holder's part."""
        if not self.target:
            return np.zeros(len(frame), dtype=np.float32)
        return frame[self.target].to_numpy(dtype=np.float32)

    def weights(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) float32 sample weights; ones where the schema names no weight column."""
        if self.weight is None:
            return np.ones(len(frame), dtype=np.float32)
        return frame[self.weight].to_numpy(dtype=np.float32)

    @classmethod
    def vertical(
        cls, joint: Schema, holders: Mapping[str, Sequence[str]], label_holder: str, customer_id: CustomerId
    ) -> Schema:
        """A vertical schema of the joined table's columns.

        Args:
            joint: features, target, weight and attributes of the joined table, with no holder named.
            holders: party -> names of the features that it holds. Each feature has one holder.
            label_holder: the party with target, weight and attributes.
            customer_id: the column of ids.

        Raises:
            SchemaError: a feature has no holder or two, or is not in `joint`; or as for any schema.
        """
        named = [name for names in holders.values() for name in names]
        if repeated := sorted({name for name in named if named.count(name) > 1}):
            raise SchemaError(f"features with two holders: {', '.join(repeated)}; each has one")
        known = {feature.name for feature in joint.features}
        if odd := sorted(known ^ set(named)):
            raise SchemaError(f"features without a holder, or not in the schema: {', '.join(odd)}")
        holder_of = {name: holder for holder, names in holders.items() for name in names}
        features = tuple(f.model_copy(update={"holder": holder_of[f.name]}) for f in joint.features)
        fields = {name: getattr(joint, name) for name in cls.model_fields}
        return cls(**(fields | {"features": features, "label_holder": label_holder, "customer_id": customer_id}))

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
            encoding, levels = encoding_of(frame[column], (ordinal or {}).get(column), (onehot or {}).get(column))
            low, high = (ranges or {}).get(column, (None, None))
            features.append(Feature(name=str(column), encoding=encoding, levels=levels, minimum=low, maximum=high))
        return cls(name=name, version=version, target=target, weight=weight, features=tuple(features))


def _summary(what: str, error: ValidationError) -> str:
    """One line for each thing that pydantic found, without the input's value."""
    lines = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"])
        lines.append(f"{place}: {item['msg']}" if place else item["msg"])
    return f"{what}: " + "; ".join(lines)
