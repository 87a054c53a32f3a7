"""What an encoder of transfer learning sees of a column: its rank among the party's own customers, and whether that is high.

Amounts are skewed and statuses jump, and a target has no labels to find bins by. The rank needs none: a value's place among `KNOTS`
quantiles, from -1 to 1, ties in the middle. The highest tenth is told apart by a second input, since risk sits in tails. A missing value is
0 in both. One more input is always 1.

What comes out changes at the knots only, and is an exact multiple of 1/256.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

KNOTS: Final = 64
"""Quantiles of a column that are kept."""
MOST_INPUT: Final = 1.75
"""No input is larger in size. A rank times this has about unit variance."""
_HIGH: Final = 0.8
"""Ranks above are the highest tenth."""
_TAIL: Final = 2.0
_MIDDLE: Final = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class RankInputs:
    """How one party's columns become inputs.

    Attributes:
        knots: (c, KNOTS) float32, rising quantiles of each column, none missing; secret, they are customers' values.
    """

    knots: NDArray[np.float32] = field(repr=False)

    @classmethod
    def of(cls, matrix: NDArray[np.float32]) -> RankInputs:
        """From (n, c) encoded records, NaN where missing; a column without values gets knots of 0.

        A knot is a value that occurs: the one below which half a knot's share, three halves and so on of the customers lie.
        """
        knots = np.zeros((matrix.shape[1], KNOTS), dtype=np.float32)
        for column, kept in zip(matrix.T, knots, strict=True):
            values = np.sort(column[~np.isnan(column)])
            if len(values):
                kept[:] = values[(2 * np.arange(KNOTS) + 1) * len(values) // (2 * KNOTS)]
        return cls(knots)

    @property
    def width(self) -> int:
        """Inputs of a customer."""
        return width_for(len(self.knots))

    def inputs(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 2 c + 1) inputs of (n, c) encoded records: the ranks, whether they are high, and 1."""
        columns = len(self.knots)
        out = np.ones((len(matrix), 2 * columns + 1))
        for at, (column, knots) in enumerate(zip(matrix.T, self.knots, strict=True)):
            places = np.searchsorted(knots, column, "left") + np.searchsorted(knots, column, "right")
            rank = np.where(np.isnan(column), 0.0, places / KNOTS - 1)
            tail = np.where(rank > _HIGH, _TAIL - _MIDDLE, -_MIDDLE)
            out[:, at], out[:, columns + at] = rank * MOST_INPUT, np.where(np.isnan(column), 0.0, tail)
        return out

    def steps(self, column: int) -> NDArray[np.float32]:
        """(k,) rising values at which a column's inputs may change: each knot, and the next float32 above it."""
        knots = np.unique(self.knots[column])
        return np.unique(np.concatenate([knots, np.nextafter(knots, np.float32(np.inf))]))


def width_for(columns: int) -> int:
    """Inputs that so many columns become."""
    return 2 * columns + 1
