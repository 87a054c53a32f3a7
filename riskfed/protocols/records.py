"""A bank's records as a party program sees them: encoded, checked, and split into development and held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from riskfed.contract import check_contract
from riskfed.schema import Schema
from riskfed.storage import MEMORY, Storage


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Encoded loan records, column by column: a protocol touches one column of a large bank at a time.

    Attributes:
        columns: (f, m) float32, C order, NaN where missing; possibly memory-mapped.
        labels: (n,) float32, 1.0 default.
        weights: (n,) float32.
        rows: (m,) bool, which n of the m stored rows these records are; None for all.
        storage: where arrays of about the records' size are to be made.
    """

    columns: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    rows: np.ndarray | None = field(default=None, repr=False)
    storage: Storage = field(default=MEMORY, repr=False)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, schema: Schema) -> Records:
        """Check records against the schema and encode them.

        Raises:
            ContractError: they do not meet it.
        """
        check_contract(frame, schema)
        columns = np.ascontiguousarray(schema.encode(frame).T)
        return cls(columns, schema.labels(frame), schema.weights(frame))

    def __len__(self) -> int:
        return len(self.labels)

    def column(self, number: int) -> np.ndarray:
        """(n,) float32 values of one encoded column; to be read only."""
        column: np.ndarray = self.columns[number]
        return column if self.rows is None else column[self.rows]

    @property
    def matrix(self) -> np.ndarray:
        """(n, f) float32 copy in C order; for records that fit into memory."""
        chosen = self.columns if self.rows is None else self.columns[:, self.rows]
        return np.ascontiguousarray(chosen.T)

    def hold_out(self, fraction: float, seed: int) -> tuple[Records, Records]:
        """Split into (development, held-out) rows by a hash of each row's own features.

        Which bank has a row makes no difference, equal rows stay together, and the label is not looked at.
        """
        held_out = is_held_out(self.columns, fraction, seed)
        if not held_out.any():
            return self, self._chosen(held_out)
        return self._chosen(~held_out), self._chosen(held_out)

    def _chosen(self, chosen: np.ndarray) -> Records:
        return Records(self.columns, self.labels[chosen], self.weights[chosen], chosen, self.storage)


def is_held_out(columns: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """(n,) bool, true for the rows of (f, n) float32 columns that are held out."""
    if fraction == 0:
        return np.zeros(columns.shape[1], dtype=bool)
    return np.asarray(row_hash(columns, seed) < np.uint64(int(fraction * 2**64)))


def row_hash(columns: np.ndarray, seed: int) -> np.ndarray:
    """(n,) uint64 hash of each row of (f, n) float32 columns; all missing values hash alike, and so do 0.0 and -0.0.

    The mixer is SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"). It spreads rows evenly;
    it is not a secret.
    """
    state = np.full(columns.shape[1], np.uint64(seed), dtype=np.uint64)
    for column in columns:
        plain = np.where(np.isnan(column), np.float32(np.nan), column + np.float32(0))
        state ^= np.ascontiguousarray(plain).view(np.uint32)
        state += np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
