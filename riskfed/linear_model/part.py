"""A feature holder's part of a linear model, and the partial score that it answers with.

Secret to the feature holder: its bins, weights and coefficients. The label holder gets a customer's partial score: one float32. That is a
rounding of at most 2^-24 of the score, in the eighth digit. Who has the score of many customers can tell which of them fall into the same
bins, and fewer bins mean fewer different scores; `docs/joint-scoring.md` says more.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RegistryError, RemoteProtocolError, SchemaError
from riskfed.linear_model.card import part_text
from riskfed.linear_model.terms import LinearScore
from riskfed.model_format import format_of
from riskfed.schema import Schema
from riskfed.vertical_model import Answers, FeaturePart, check_identity

FORMAT: Final = "riskfed.score_part/1"
_SCORE: Final = struct.Struct("<f")
_MOST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ScorePart:
    """A feature holder's part of a linear model. Secret to it: the score's terms.

    Attributes:
        party: the feature holder.
        part_id: by which both sides call the part.
        schema: of the feature holder's own columns (`Schema.part_of`).
        score: its terms over these columns.
        salt: as in `FeaturePart`: without it, the label holder could try guesses of the terms against the part's sha256.

    Raises:
        RegistryError: the terms are not for the schema's columns, or a name or the salt is missing.
    """

    party: str
    part_id: str
    schema: Schema
    score: LinearScore = field(repr=False)
    salt: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.score.suits(self.schema):
            raise RegistryError(f"part {self.part_id} has terms on other columns than its schema's")
        check_identity(self.party, self.part_id, self.salt)

    @property
    def answers(self) -> Answers:
        """In which form the part answers."""
        return "partial_score"

    @cached_property
    def sha256(self) -> str:
        """Of `to_bytes`, hexadecimal: what the label holder's model calls the part by."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def answer(self, row: NDArray[np.float32]) -> bytes:
        """What the feature holder tells of one (len(schema.columns),) float32 record: its partial score, a little-endian float32."""
        score = float(self.score.partial(row[None])[0])
        # A value far outside of all development rows must not become an infinity, which the other side would refuse.
        return _SCORE.pack(min(max(score, -_MOST), _MOST))

    def as_text(self) -> str:
        """The points card of this part, in Markdown: for the feature holder's own eyes."""
        return part_text(self.party, self.score, self.schema)

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal parts give equal bytes."""
        fields = {
            "format": FORMAT,
            "party": self.party,
            "part_id": self.part_id,
            "schema": self.schema.model_dump(mode="json"),
            "score": self.score.model_dump(mode="json"),
            "salt": self.salt,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> ScorePart:
        """Read a part.

        Raises:
            RegistryError: not a part.
        """
        try:
            fields: dict[str, Any] = json.loads(data)
            _check_texts(fields)
            score = LinearScore.model_validate_json(json.dumps(fields["score"]))
            schema = Schema(**fields["schema"])
            return cls(fields["party"], fields["part_id"], schema, score, fields["salt"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, SchemaError):
            raise RegistryError(
                "not a feature holder's part of a linear model; take it from the vault's models again"
            ) from None


Part = FeaturePart | ScorePart
"""A feature holder's part of a model of trees, or of a linear one."""


def read_part(data: bytes) -> Part:
    """A feature holder's part of either kind of model.

    Raises:
        RegistryError: not a part.
    """
    return ScorePart.from_bytes(data) if format_of(data) == FORMAT else FeaturePart.from_bytes(data)


def read_partial_score(answer: bytes) -> NDArray[np.float32]:
    """The label holder's (1,) float32 column from `ScorePart.answer`.

    Raises:
        RemoteProtocolError: not one finite float32.
    """
    score = np.frombuffer(answer, dtype="<f4").astype(np.float32) if len(answer) == _SCORE.size else np.empty(0, "<f4")
    if len(score) != 1 or not np.isfinite(score[0]):
        raise RemoteProtocolError(
            f"a feature holder answered {len(answer)} bytes that are no partial score; expected one finite float32; its operator must act"
        )
    return score


def _check_texts(fields: Mapping[str, Any]) -> None:
    if fields["format"] != FORMAT or not all(isinstance(fields[name], str) for name in ("party", "part_id", "salt")):
        raise ValueError("another format")
