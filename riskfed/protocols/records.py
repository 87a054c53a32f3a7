"""A bank's records as a party program sees them: encoded, checked, and split into development and held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from riskfed.contract import Batch, Findings
from riskfed.customer_id import IdFindings
from riskfed.schema import Schema
from riskfed.storage import MEMORY, Storage
from riskfed.trees.pages import release

_ROWS_AT_ONCE = 16_384
"""Rows that are hashed at once: their state fits the processor's cache."""
_ROWS_RESIDENT = 64 * _ROWS_AT_ONCE
"""Rows after which a pass over mapped columns lets their memory go."""


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Encoded loan records, column by column: a protocol touches one column of a large bank at a time.

    Attributes:
        columns: (f, m) float32, NaN where missing; each column is contiguous, the whole need not be; possibly memory-mapped.
        labels: (n,) float32, 1.0 default.
        weights: (n,) float32.
        rows: (m,) bool, which n of the m stored rows these records are; None for all.
        storage: where arrays of about the records' size are to be made.
        attributes: (a, m) float32, the schema's attributes, encoded, NaN where missing; stored as `columns` are.
        ids: (n,) bytes, normalised customer ids; None where the schema names no `customer_id`.
    """

    columns: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    rows: np.ndarray | None = field(default=None, repr=False)
    storage: Storage = field(default=MEMORY, repr=False)
    attributes: np.ndarray | None = field(default=None, repr=False)
    ids: np.ndarray | None = field(default=None, repr=False)
    _known_digest: list[str] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, schema: Schema) -> Records:
        """Check records against the schema and encode them.

        Raises:
            ContractError: they do not meet it.
        """
        return cls.from_batches([Batch(frame)], schema)

    @classmethod
    def from_batches(cls, batches: Iterable[Batch], schema: Schema, storage: Storage = MEMORY) -> Records:
        """Check records against the schema and encode them, batch by batch.

        Args:
            batches: records as a connector gives them. No more than one is held at a time, beside what is encoded already.
            schema: the consortium's schema; in a vertical job, this party's part of it.
            storage: where the encoded records go, and what a run makes of them.

        Raises:
            ContractError: they do not meet the schema, or customer ids are missing or shared; counts are those of all batches.
            ConfigurationError: the storage has no room.
        """
        findings, width = Findings(schema), len(schema.columns)
        ids = None if schema.customer_id is None else IdFindings(schema.customer_id)
        table, digest = storage.table(width + 2 + len(schema.attributes)), _Digest()
        for batch in batches:
            if findings.look_at(batch):
                block = _encoded(batch.frame, schema, width)
                digest.add(block)  # now, while the rows are at hand
                table.append(block)
                if ids is not None and schema.customer_id is not None:
                    ids.add(batch.frame[schema.customer_id.column])
        findings.check()
        known = None if ids is None else ids.check()
        stored = table.finish()
        columns, labels, weights, attributes = stored[:width], stored[width], stored[width + 1], stored[width + 2 :]
        records = cls(columns, labels, weights, storage=storage, attributes=attributes, ids=known)
        records._known_digest.append(digest.text())
        return records

    def __len__(self) -> int:
        return len(self.labels)

    def column(self, number: int) -> np.ndarray:
        """(n,) float32 values of one encoded column; to be read only."""
        column: np.ndarray = self.columns[number]
        if self.rows is None:
            return column
        chosen: np.ndarray = column[self.rows]
        release(column)
        return chosen

    def attribute(self, number: int) -> np.ndarray:
        """(n,) float32 encoded values of one of the schema's attributes; see `riskfed.schema.Attribute.codes`."""
        stored = np.empty((0, 0), np.float32) if self.attributes is None else self.attributes
        values: np.ndarray = stored[number]
        return values if self.rows is None else np.asarray(values[self.rows])

    def blocks(self) -> Iterator[np.ndarray]:
        """(k, f) float32 rows in C order, some at a time, from the first to the last."""
        for piece in _passing(self.columns):
            values = self.columns[:, piece]
            yield np.ascontiguousarray((values if self.rows is None else values[:, self.rows[piece]]).T)

    @property
    def matrix(self) -> np.ndarray:
        """(n, f) float32 copy in C order; for records that fit into memory."""
        chosen = self.columns if self.rows is None else self.columns[:, self.rows]
        return np.ascontiguousarray(chosen.T)

    def digest(self) -> str:
        """Fingerprint (64 hexadecimal digits) of all rows with labels and weights, whatever their order; made once. Ids are not in it.

        It tells whether a bank's records have changed. It is no commitment, and it must not leave the bank: guessed records could be
        tested against it.
        """
        if not self._known_digest:
            digest, done = _Digest(), 0
            extra = np.empty((0, self.columns.shape[1]), np.float32) if self.attributes is None else self.attributes
            for piece in _passing(self.columns):
                values, others = self.columns[:, piece], extra[:, piece]
                if self.rows is not None:
                    values, others = values[:, self.rows[piece]], others[:, self.rows[piece]]
                own = slice(done, done + values.shape[1])
                digest.add([*values, self.labels[own], self.weights[own], *others])
                done = own.stop
            self._known_digest.append(digest.text())
        return self._known_digest[0]

    def hold_out(self, fraction: float, seed: int) -> tuple[Records, Records]:
        """Split into (development, held-out) rows by a hash of each row's own features.

        Which bank has a row makes no difference, equal rows stay together, and the label is not looked at.
        """
        held_out = is_held_out(self.columns, fraction, seed)
        if self.rows is not None:
            held_out = held_out[self.rows]
        if not held_out.any():
            return self, self.where(held_out)
        return self.where(~held_out), self.where(held_out)

    def where(self, chosen: np.ndarray) -> Records:
        """The rows of (n,) bool `chosen`; their features are not copied."""
        labels, weights = (_taken(values, chosen, self.storage) for values in (self.labels, self.weights))
        rows = chosen
        if self.rows is not None:
            rows = self.rows.copy()
            rows[rows] = chosen
        ids = None if self.ids is None else self.ids[chosen]
        return Records(self.columns, labels, weights, rows, self.storage, self.attributes, ids)

    def take(self, positions: np.ndarray) -> Records:
        """The rows at (k,) int64 `positions`, in that order, copied into arrays of the storage.

        Args:
            positions: each from 0 to n - 1; a row may be taken more than once.
        """
        stored = positions if self.rows is None else np.flatnonzero(self.rows)[positions]
        labels, weights = (
            _gathered(values[None], positions, self.storage)[0] for values in (self.labels, self.weights)
        )
        attributes = None if self.attributes is None else _gathered(self.attributes, stored, self.storage)
        ids = None if self.ids is None else self.ids[positions]
        return Records(
            _gathered(self.columns, stored, self.storage), labels, weights, None, self.storage, attributes, ids
        )


def is_held_out(columns: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """(n,) bool, true for the rows of (f, n) float32 columns that are held out."""
    held_out = np.zeros(columns.shape[1], dtype=bool)
    if fraction > 0:
        below = np.uint64(int(fraction * 2**64))
        for piece in _passing(columns):
            held_out[piece] = row_hash(columns[:, piece], seed) < below
    return held_out


def row_hash(columns: np.ndarray | Sequence[np.ndarray], seed: int) -> np.ndarray:
    """(n,) uint64 hash of each row of (f, n) float32 columns; all missing values hash alike, and so do 0.0 and -0.0.

    The mixer is SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"). It spreads rows evenly;
    it is not a secret.
    """
    state = np.full(len(columns[0]), np.uint64(seed), dtype=np.uint64)
    for column in columns:
        plain = np.where(np.isnan(column), np.float32(np.nan), column + np.float32(0))
        state = _mixed(state ^ np.ascontiguousarray(plain).view(np.uint32), 0)
    return state


class _Digest:
    """Four sums modulo 2^64 of mixed row hashes: the order of rows makes no difference, and equal rows do not cancel."""

    def __init__(self) -> None:
        self._sums = [0] * 4

    def add(self, columns: np.ndarray | Sequence[np.ndarray]) -> None:
        """Add rows, column by column as in `row_hash`."""
        for start in range(0, len(columns[0]), _ROWS_AT_ONCE):
            hashes = row_hash([column[start : start + _ROWS_AT_ONCE] for column in columns], 0)
            for number in range(len(self._sums)):
                self._sums[number] += int(_mixed(hashes, number).sum(dtype=np.uint64))

    def text(self) -> str:
        """All sums in hexadecimal."""
        return "".join(f"{total % 2**64:016x}" for total in self._sums)


def _passing(columns: np.ndarray) -> Iterator[slice]:
    """Rows of (f, n) columns from the first to the last, some at a time; what is passed need not stay in memory."""
    rows = columns.shape[1]
    for start in range(0, rows, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)
        done = min(start + _ROWS_AT_ONCE, rows)
        if done % _ROWS_RESIDENT == 0 or done == rows:
            for column in columns:
                release(column[done - ((done - 1) % _ROWS_RESIDENT + 1) : done])


def _mixed(state: np.ndarray, number: int) -> np.ndarray:
    """SplitMix64's output number ``number`` from (n,) uint64 states."""
    mixed = state + np.uint64((number + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _encoded(frame: pd.DataFrame, schema: Schema, width: int) -> np.ndarray:
    """(width + 2 + a, k) float32: the encoded columns, labels, weights and a attributes of a batch."""
    block = np.empty((width + 2 + len(schema.attributes), len(frame)), dtype=np.float32)
    filled = 0
    for feature in schema.features:
        names = len(feature.columns)
        block[filled : filled + names] = feature.encode(frame[feature.name]).T
        filled += names
    block[width], block[width + 1] = schema.labels(frame), schema.weights(frame)
    for number, attribute in enumerate(schema.attributes, width + 2):
        block[number] = attribute.encode(frame[attribute.name])[:, 0]
    return block


def _gathered(table: np.ndarray, positions: np.ndarray, storage: Storage) -> np.ndarray:
    """(f, k) columns of an (f, n) table at (k,) `positions`; one column at a time is in memory."""
    gathered = storage.empty((len(table), len(positions)), table.dtype)
    for column, chosen in zip(table, gathered, strict=True):
        np.take(column, positions, out=chosen)
        release(column)
        release(chosen)
    return gathered


def _taken(values: np.ndarray, chosen: np.ndarray, storage: Storage) -> np.ndarray:
    """`values` where `chosen`, in an array of the storage."""
    taken = storage.empty(int(chosen.sum()), values.dtype)
    filled = 0
    for start in range(0, len(chosen), _ROWS_AT_ONCE):
        piece = values[start : start + _ROWS_AT_ONCE][chosen[start : start + _ROWS_AT_ONCE]]
        taken[filled : filled + len(piece)] = piece
        filled += len(piece)
    return taken
