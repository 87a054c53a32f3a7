"""The two sides of a vertical model: what a feature holder keeps, and how its answers become columns of the label holder's model.

The label holder's model of trees is an ordinary Booster over its own columns and one 0/1 column for each split of each feature holder: 1
where a record goes right (`joined_schema`). A feature holder's `FeaturePart` has the splits themselves, columns and thresholds, and never
leaves it. To score one customer, the label holder asks each feature holder for its answer, in one of two forms:

* ``decisions``: one bit for each split.
* ``leaf_sets``: for each tree, the leaves that the feature holder's decisions leave possible (the bit vectors of QuickScorer: Lucchese et
  al., SIGIR 2015). This keeps from the label holder the decisions at splits that the customer does not come to.

Both give the same leaf in every tree. A linear model's feature holder (`riskfed.linear_model`) answers in a third form:

* ``partial_score``: one number, its share of the log-odds, which is its one column in the label holder's model.

Needs numpy and the schema, none of the training code.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from riskfed.errors import RegistryError, SchemaError
from riskfed.feature import Feature
from riskfed.schema import Schema
from riskfed.trees.leaf_sets import LeafMask, LeafSets, check_masks, columns_of_decisions, leaf_masks_of, pack_decisions

__all__ = [
    "Answers",
    "FeaturePart",
    "LeafMask",
    "LeafSets",
    "PartnerReference",
    "SplitRule",
    "check_identity",
    "columns_of_decisions",
    "decision_feature",
    "joined_schema",
    "leaf_masks_of",
    "score_feature",
]

Answers = Literal["decisions", "leaf_sets", "partial_score"]

FORMAT: Final = "riskfed.feature_part/1"
_SALT = re.compile(r"[0-9a-f]{32,128}")


class SplitRule(NamedTuple):
    """A feature holder's split: exactly xgboost's comparison, in float32.

    Attributes:
        column: encoded column (`Schema.columns`).
        threshold: a float32; smaller values go left, others right.
        default_left: whether a missing value goes left.
    """

    column: str
    threshold: float
    default_left: bool


class PartnerReference(BaseModel):
    """What a label holder's model says of a feature holder's part.

    Attributes:
        party: the feature holder.
        part_id: by which both call the part.
        sha256: of `FeaturePart.to_bytes` or `riskfed.linear_model.ScorePart.to_bytes`, hexadecimal.
        splits: how many it has: number of its columns in the label holder's model; 1 where it answers with a partial score.
        answers: in which form it answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    party: str = Field(min_length=1)
    part_id: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    splits: int = Field(ge=0)
    answers: Answers = "decisions"

    @model_validator(mode="after")
    def _one_score(self) -> Self:
        if self.answers == "partial_score" and self.splits != 1:
            raise ValueError("a partial score is one column")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> PartnerReference:
        """Read `to_dict`'s fields.

        Raises:
            ValueError, TypeError: they are no reference.
        """
        return cls(**fields)


@dataclass(frozen=True)
class FeaturePart:
    """A feature holder's part of a model. Secret to it: columns and thresholds.

    Attributes:
        party: the feature holder.
        part_id: by which both sides call the part.
        schema: of the feature holder's own columns (`Schema.part_of`).
        rules: its splits, in the order of its columns in the label holder's model.
        salt: 32 or more random hexadecimal digits, secret too. The label holder gets the part's sha256, and thresholds can be guessed: the
            salt keeps it from trying guesses against the sha256.
        leaf_masks: of each rule, where the part answers with leaf sets; empty where it answers with decisions.

    Raises:
        RegistryError: a rule is for no column of the schema, a threshold is no float32, or the masks do not fit.
    """

    party: str
    part_id: str
    schema: Schema
    rules: tuple[SplitRule, ...] = field(repr=False)
    salt: str = field(repr=False)
    leaf_masks: tuple[LeafMask, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        known = set(self.schema.columns)
        if unknown := sum(rule.column not in known for rule in self.rules):
            raise RegistryError(f"part {self.part_id} has {unknown} splits on columns that its schema does not have")
        if not all(_is_float32(rule.threshold) for rule in self.rules):
            raise RegistryError(f"part {self.part_id} has thresholds that are no finite float32 numbers")
        check_identity(self.party, self.part_id, self.salt)
        if self.leaf_masks and len(self.leaf_masks) != len(self.rules):
            raise RegistryError(f"part {self.part_id} has {len(self.leaf_masks)} masks for {len(self.rules)} splits")
        check_masks(self.leaf_masks)

    @property
    def answers(self) -> Answers:
        """In which form the part answers."""
        return "leaf_sets" if self.leaf_masks else "decisions"

    @cached_property
    def sha256(self) -> str:
        """Of `to_bytes`, hexadecimal: what the label holder's model calls the part by."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def decisions(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Which way records go at each split, also where they do not come.

        Args:
            rows: (..., len(schema.columns)) float32 encoded records, NaN where missing.

        Returns:
            (..., len(rules)) uint8: 1 right, 0 left.
        """
        columns, thresholds, missing_right = self._arrays
        values = np.asarray(rows, dtype=np.float32)[..., columns]
        return np.where(np.isnan(values), missing_right, values >= thresholds).astype(np.uint8)

    def answer(self, row: NDArray[np.float32]) -> bytes:
        """What the feature holder tells of one (len(schema.columns),) float32 record: packed decisions, or leaf sets."""
        decisions = self.decisions(row)
        return self._leaf_sets.write(decisions) if self.leaf_masks else pack_decisions(decisions)

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal parts give equal bytes."""
        fields = {
            "format": FORMAT,
            "party": self.party,
            "part_id": self.part_id,
            "schema": self.schema.model_dump(mode="json"),
            "rules": [[rule.column, float(rule.threshold), bool(rule.default_left)] for rule in self.rules],
            "salt": self.salt,
            "leaf_masks": [list(mask) for mask in self.leaf_masks],
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> FeaturePart:
        """Read a part.

        Raises:
            RegistryError: not a part.
        """
        try:
            fields: dict[str, Any] = json.loads(data)
            _check_format(fields["format"])
            return cls(
                party=_text(fields["party"]),
                part_id=_text(fields["part_id"]),
                schema=Schema(**fields["schema"]),
                rules=tuple(_rule(*rule) for rule in fields["rules"]),
                salt=_text(fields["salt"]),
                leaf_masks=tuple(LeafMask(*map(_number, mask)) for mask in fields["leaf_masks"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, SchemaError):
            raise RegistryError(
                "not a feature holder's part of a model; take it from the vault's models again"
            ) from None

    @cached_property
    def _leaf_sets(self) -> LeafSets:
        return LeafSets(self.leaf_masks)

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.bool_]]:
        """Column, threshold, and whether a missing value goes right, of each rule."""
        places = {column: place for place, column in enumerate(self.schema.columns)}
        return (
            np.array([places[rule.column] for rule in self.rules], dtype=np.intp),
            np.array([rule.threshold for rule in self.rules], dtype=np.float32),
            np.array([not rule.default_left for rule in self.rules], dtype=np.bool_),
        )


def decision_feature(party: str, splits: int) -> Feature:
    """A feature holder's columns in the label holder's model: one 0/1 column for each of its splits (one or more)."""
    levels = tuple(str(number) for number in range(splits))
    text = f"what {party} knows of the customer"
    return Feature(name=party, encoding="onehot", levels=levels, description=text, holder=party)


def score_feature(party: str) -> Feature:
    """A feature holder's column in the label holder's linear model: its partial score, in log-odds of default."""
    return Feature(name=party, description=f"what {party} knows of the customer", holder=party)


def joined_schema(own: Schema, partners: Iterable[tuple[str, int]], answers: Answers = "decisions") -> Schema:
    """The schema of a label holder's model.

    Args:
        own: the label holder's part of a vertical schema; `Schema.part_of` gets it back.
        partners: feature holders, and how many splits each has. One without splits gets no columns.
        answers: of all partners; "partial_score" gives each one numeric column.

    Raises:
        SchemaError: a feature is named like a party.
    """
    theirs = tuple(
        score_feature(party) if answers == "partial_score" else decision_feature(party, splits)
        for party, splits in partners
        if splits
    )
    fields = {name: getattr(own, name) for name in Schema.model_fields}
    return Schema(**{**fields, "features": (*own.features, *theirs)})


def check_identity(party: str, part_id: str, salt: str) -> None:
    """Refuse a part without names, or with a salt that could be guessed.

    Raises:
        RegistryError: so it is.
    """
    if not party or not part_id or not _SALT.fullmatch(salt):
        raise RegistryError("a part needs a party, an id, and a salt of 32 or more hexadecimal digits")


def _is_float32(value: float) -> bool:
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value))
    return math.isfinite(rounded) and rounded == value


def _check_format(found: object) -> None:
    if found != FORMAT:
        raise ValueError("another format")


def _rule(column: object, threshold: float, default_left: object) -> SplitRule:
    if type(threshold) not in (int, float) or not isinstance(default_left, bool):
        raise TypeError("not a rule")
    return SplitRule(_text(column), float(threshold), default_left)


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not a number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
