"""The compact form of a served Booster: one small file that scores applicants, to the last bit as the full model does.

A file holds, numbers big-endian:

    header   magic, version; sha256 of the full model's JSON, fingerprint of its schema; base score; sizes
    body     compressed by zlib:
             schema       its JSON, without what is default
             is_split     one bit a node, level by level (`riskfed.trees.level_order`)
             default_left one bit a split
             question     one number a split, of as few bits as number the distinct questions
             columns      4 bytes a column: distinct thresholds on it
             thresholds   4 bytes a distinct question: a float32; by column, then by bits
             leaves       4 bytes a leaf: a float32
    sha256   of the header and the body as it was before compression

A question is a column and a threshold; trees ask the same ones again and again, so each threshold stands there once. Nothing is rounded.
What scoring does not need is left out: gains, covers, weights of splits, and the job's parameters. Reasons need covers, so they need the
full model.

The sha256 at the end finds damage, not forgery: a model of another's making has a right one too. It does not depend on the compressor, so
the same model gives the same sha256 on every machine.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import RegistryError, SchemaError
from riskfed.schema import Schema
from riskfed.trees.bits import from_planes, pack_numbers, packed_size, to_planes, unpack_numbers, width_of
from riskfed.trees.level_order import LevelOrder, is_whole, level_order, nodes_of, trees_of
from riskfed.trees.predictor import Predictor
from riskfed.trees.tree import Tree

MAGIC: Final = b"RISKFEDC"
VERSION: Final = 1
MOST_BYTES: Final = 16 << 20
"""Of a body before compression: 100,000 trees of depth 4. A file that says more is refused before memory is taken for it."""
MOST_COLUMNS: Final = 8_192
MOST_FILE_BYTES: Final = MOST_BYTES + (MOST_BYTES >> 4)
"""Of a whole file: what does not compress grows by far less than a sixteenth."""

HEADER: Final = struct.Struct(">8sH32s32sfIIIII")
DIGEST_BYTES: Final = 32


class _Sizes(NamedTuple):
    """The sizes in a header; all others follow, since a tree has one leaf more than splits."""

    schema: int
    columns: int
    trees: int
    splits: int
    questions: int

    @property
    def sections(self) -> tuple[int, ...]:
        """Bytes of the body's sections, in order."""
        return (
            self.schema,
            packed_size(self.splits * 2 + self.trees, 1),
            packed_size(self.splits, 1),
            packed_size(self.splits, width_of(self.questions)),
            4 * self.columns,
            4 * self.questions,
            4 * (self.splits + self.trees),
        )

    def check(self) -> None:
        """Refuse what no right file says.

        Raises:
            RegistryError: it is too large.
        """
        if sum(self.sections) > MOST_BYTES or self.columns > MOST_COLUMNS:
            raise RegistryError(
                f"a compact model of {sum(self.sections):,} bytes and {self.columns:,} columns; at most {MOST_BYTES:,} and "
                f"{MOST_COLUMNS:,} are taken: score with the full model"
            )
        if self.questions > self.splits:
            raise _damaged("more questions than splits")


@dataclass(frozen=True, eq=False)
class CompactBooster:
    """A binary:logistic Booster as far as scoring needs it, with its schema.

    Attributes:
        forest: its trees.
        base_score: prior PD, a float32.
        schema: how applicants are encoded for it.
        model_sha256: of the full model's JSON, hexadecimal: what registry, release and audit log call the model by.
    """

    forest: LevelOrder = field(repr=False)
    base_score: float
    schema: Schema = field(repr=False)
    model_sha256: str

    @classmethod
    def of(cls, model: bytes, schema: Schema) -> Self:
        """The compact form of a full model.

        Args:
            model: JSON as `riskfed.trees.booster_json.booster_json` or ``Booster.save_raw("json")`` wrote it.
            schema: that it was trained with.

        Raises:
            RegistryError: not such a model, or one of another schema.
        """
        # Whoever reads a compact model does not need what reads full ones.
        from riskfed.trees.booster_json import parse_booster

        trees, base_score, columns = parse_booster(model)
        if columns != schema.columns:
            raise RegistryError(
                f"the model's columns are not the {len(schema.columns)} of its schema, in order; pass the schema that it was trained with"
            )
        return cls(level_order(trees), base_score, schema, hashlib.sha256(model).hexdigest())

    @cached_property
    def trees(self) -> tuple[Tree, ...]:
        """The trees, level by level; margins and PDs are those of the full model's, and what was left out is NaN."""
        return tuple(trees_of(self.forest))

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(nodes_of(self.forest), self.base_score)

    def margins(self, matrix: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 log-odds of default of (n, len(schema.columns)) encoded records, NaN where missing; see `Predictor.margins`."""
        return self._predictor.margins(matrix)

    def pd(self, matrix: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 PD; see `Predictor.pd`."""
        return self._predictor.pd(matrix)

    @property
    def sha256(self) -> str:
        """Of the compact form, before compression, hexadecimal."""
        return hashlib.sha256(b"".join(self._parts)).hexdigest()

    def to_bytes(self) -> bytes:
        """The file.

        Raises:
            RegistryError: the model is too large for one.
        """
        header, body = self._parts
        return header + zlib.compress(body, 9) + hashlib.sha256(header + body).digest()

    @cached_property
    def _parts(self) -> tuple[bytes, bytes]:
        """Header and body."""
        forest, schema = self.forest, _schema_json(self.schema)
        asked = forest.columns.astype(np.uint64) << np.uint64(32) | forest.thresholds.view(np.uint32)
        questions, numbers = np.unique(asked, return_inverse=True)
        n_columns = len(self.schema.columns)
        sizes = _Sizes(
            len(schema), n_columns, len(forest.leaves) - len(forest.columns), len(forest.columns), len(questions)
        )
        sizes.check()
        body = (
            schema,
            np.packbits(forest.is_split).tobytes(),
            np.packbits(forest.default_left).tobytes(),
            pack_numbers(numbers, width_of(len(questions))),
            np.bincount((questions >> np.uint64(32)).astype(np.intp), minlength=n_columns).astype(">u4").tobytes(),
            to_planes((questions & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)),
            to_planes(forest.leaves),
        )
        model, fingerprint = bytes.fromhex(self.model_sha256), bytes.fromhex(self.schema.fingerprint)
        return HEADER.pack(MAGIC, VERSION, model, fingerprint, self.base_score, *sizes), b"".join(body)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a file.

        Raises:
            RegistryError: not such a file, or a damaged one, one of a later version, or a larger one than is taken.
        """
        if not data.startswith(MAGIC):
            raise RegistryError("not a compact model; make one from the full model: riskfed node compact")
        if len(data) < HEADER.size + DIGEST_BYTES:
            raise _damaged("it is cut off")
        _, version, model, fingerprint, base_score, *numbers = HEADER.unpack_from(data)
        if version != VERSION:
            raise RegistryError(
                f"a compact model of version {version}; this riskfed reads version {VERSION}: make the file again with this one"
            )
        sizes = _Sizes(*numbers)
        sizes.check()
        body = _decompressed(data[HEADER.size : -DIGEST_BYTES], sum(sizes.sections))
        if hashlib.sha256(data[: HEADER.size] + body).digest() != data[-DIGEST_BYTES:]:
            raise _damaged("its sha256 does not fit")
        if not 0 < base_score < 1:
            raise _damaged("its base score is no PD")
        sections = _cut(body, sizes.sections)
        schema = _read_schema(next(sections), fingerprint.hex(), sizes.columns)
        return cls(_read_forest(sections, sizes), base_score, schema, model.hex())


def _read_forest(sections: Iterator[bytes], sizes: _Sizes) -> LevelOrder:
    is_split = unpack_numbers(next(sections), sizes.splits * 2 + sizes.trees, 1).astype(np.bool_)
    if np.count_nonzero(is_split) != sizes.splits or not is_whole(is_split):
        raise _damaged("its nodes are those of no trees")
    default_left = unpack_numbers(next(sections), sizes.splits, 1).astype(np.bool_)
    numbers = unpack_numbers(next(sections), sizes.splits, width_of(sizes.questions))
    on_column = np.frombuffer(next(sections), dtype=">u4").astype(np.int64)
    thresholds, leaves = from_planes(next(sections)), from_planes(next(sections))
    if on_column.sum() != sizes.questions or numbers.max(initial=-1) >= sizes.questions:
        raise _damaged("it has another number of questions than it says")
    if not (np.isfinite(thresholds).all() and np.isfinite(leaves).all()):
        raise _damaged("it has a number that is not finite")
    columns = np.repeat(np.arange(sizes.columns, dtype=np.intp), on_column)
    return LevelOrder(is_split, columns[numbers], thresholds[numbers], default_left, leaves)


def _decompressed(data: bytes, size: int) -> bytes:
    """What was compressed, which must be of this size: no more than that is ever held."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(data, size + 1)
    except zlib.error:
        raise _damaged("it cannot be decompressed") from None
    if len(body) != size or not unpacker.eof or unpacker.unused_data:
        raise _damaged("its body has another size than it says")
    return body


def _cut(body: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield body[start : start + size]
        start += size


def _schema_json(schema: Schema) -> bytes:
    fields = schema.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _read_schema(data: bytes, fingerprint: str, n_columns: int) -> Schema:
    try:
        fields: dict[str, Any] = json.loads(data)
        # A schema's own checks take time that grows with the square of its features.
        if len(fields["features"]) > n_columns:
            raise _damaged("its schema has more features than columns")
        schema = Schema(**fields)
    except (ValueError, KeyError, TypeError, RecursionError, SchemaError):
        raise _damaged("its schema is none") from None
    if schema.fingerprint != fingerprint or len(schema.columns) != n_columns:
        raise _damaged("its schema is not the one that it names")
    return schema


def _damaged(what: str) -> RegistryError:
    return RegistryError(f"the compact model is damaged: {what}; copy it again, or make it again from the full model")
