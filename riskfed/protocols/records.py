"""A bank's records as a party program sees them: encoded, checked, and split into development and held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from riskfed.contract import check_contract
from riskfed.schema import Schema


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Encoded loan records.

    Attributes:
        matrix: (n, f) float32, C order, NaN where missing.
        labels: (n,) float32, 1.0 default.
        weights: (n,) float32.
    """

    matrix: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, schema: Schema) -> Records:
        """Check records against the schema and encode them.

        Raises:
            ContractError: they do not meet it.
        """
        check_contract(frame, schema)
        return cls(schema.encode(frame), schema.labels(frame), schema.weights(frame))

    def __len__(self) -> int:
        return len(self.labels)

    def hold_out(self, fraction: float, seed: int) -> tuple[Records, Records]:
        """Split into (development, held-out) rows by a hash of each row's own features.

        Which bank has a row makes no difference, equal rows stay together, and the label is not looked at.
        """
        held_out = is_held_out(self.matrix, fraction, seed)
        if not held_out.any():
            return self, self._rows(held_out)
        return self._rows(~held_out), self._rows(held_out)

    def _rows(self, chosen: np.ndarray) -> Records:
        return Records(self.matrix[chosen], self.labels[chosen], self.weights[chosen])


def is_held_out(matrix: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """(n,) bool, true for the rows of an (n, f) float32 matrix that are held out."""
    if fraction == 0:
        return np.zeros(len(matrix), dtype=bool)
    return np.asarray(row_hash(matrix, seed) < np.uint64(int(fraction * 2**64)))


def row_hash(matrix: np.ndarray, seed: int) -> np.ndarray:
    """(n,) uint64 hash of each row of an (n, f) float32 matrix; all missing values hash alike, and so do 0.0 and -0.0.

    The mixer is SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"). It spreads rows evenly;
    it is not a secret.
    """
    state = np.full(len(matrix), np.uint64(seed), dtype=np.uint64)
    for column in np.asarray(matrix, dtype=np.float32).T:
        plain = np.where(np.isnan(column), np.float32(np.nan), column + np.float32(0))
        state ^= np.ascontiguousarray(plain).view(np.uint32)
        state += np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
