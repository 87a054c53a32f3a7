"""The public grid on which a scorecard's bins are searched: made from the schema alone, never from records.

A numeric feature with a narrow range gets even cells; one that spans orders of magnitude, or has no range, gets cells that grow with the
number, so that a cell is about the same share of the value everywhere. Edges are round numbers: people ask for and grant round
amounts, so those are where a card should cut, and where many values lie. A schema can state another grid.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from riskfed.schema import Feature, Schema
from riskfed.scorecard.bins import FeatureBins

CELLS = 512
"""Most edges of a numeric feature on either side of zero; more of them bring next to nothing."""
_EVEN_RATIO = 10
"""A range gets even cells where its end is below so many times its beginning, or it holds no more whole numbers than there are cells."""
_LARGEST = 1e12
"""Magnitude at which the grid of a feature without a range ends; what is beyond is in the last cells."""


def public_grid(schema: Schema, cells: int = CELLS) -> tuple[FeatureBins, ...]:
    """The grid of every feature, in the schema's order.

    Args:
        schema: the consortium's.
        cells: most edges of a numeric feature on either side of zero. A feature with levels has a cell for each.
    """
    found, at = [], 0
    for feature in schema.features:
        columns = tuple(range(at, at + len(feature.columns)))
        at += len(columns)
        if feature.encoding == "onehot":
            groups = tuple((level,) for level in range(len(feature.levels)))
            found.append(FeatureBins(feature.name, columns, groups=groups))
        elif feature.encoding == "ordinal":
            edges = tuple(level + 0.5 for level in range(len(feature.levels) - 1))
            found.append(FeatureBins(feature.name, columns, edges))
        else:
            found.append(FeatureBins(feature.name, columns, _edges(feature, cells), special=feature.special_values))
    return tuple(found)


def _edges(feature: Feature, cells: int) -> tuple[float, ...]:
    if feature.grid:
        return _float32(np.array(feature.grid))
    low = -_LARGEST if feature.minimum is None else feature.minimum
    high = _LARGEST if feature.maximum is None else feature.maximum
    if high - low <= cells or high < _EVEN_RATIO * low:
        return _float32(_even(low, high, cells))
    up = _round_numbers(high, cells) if high > 0 else np.empty(0)
    down = -_round_numbers(-low, cells)[::-1] if low < 0 else np.empty(0)
    edges = np.concatenate([down, [0.0] if low < 0 < high else [], up])
    return _float32(edges[(edges > low) & (edges <= high)])


_STEPS: Final = (
    # In hundredths of a power of ten: (from, to, step), the finest first.
    ((100, 200, 1), (200, 500, 2), (500, 1000, 5)),
    ((100, 200, 2), (200, 500, 5), (500, 1000, 10)),
    ((100, 200, 5), (200, 500, 10), (500, 1000, 25)),
    ((100, 200, 10), (200, 500, 25), (500, 1000, 50)),
    ((100, 200, 20), (200, 500, 50), (500, 1000, 100)),
    ((100, 200, 50), (200, 500, 100), (500, 1000, 250)),
    ((100, 200, 100), (200, 500, 300), (500, 1000, 500)),
)


def _round_numbers(most: float, cells: int) -> np.ndarray:
    """Round numbers from 1 up to `most`, rising, as finely spaced as so many edges allow. Values below 1 share a cell."""
    decades = range(max(math.ceil(math.log10(max(most, 1))), 1))
    finest: np.ndarray = np.empty(0)
    for steps in reversed(_STEPS):
        hundredths = np.concatenate([np.arange(*step) for step in steps])
        numbers = np.concatenate([hundredths * 10**decade / 100 for decade in decades])
        numbers = numbers[numbers <= most]
        if len(numbers) <= cells:
            finest = numbers
    return finest


def _even(low: float, high: float, cells: int) -> np.ndarray:
    """Multiples of the least step of 1, 2 or 5 times a power of ten of which at most so many lie above a number and up to another."""
    if high <= low:
        return np.empty(0)
    decade = math.floor(math.log10((high - low) / cells))
    for digit, exponent in ((1, decade), (2, decade), (5, decade), (1, decade + 1), (2, decade + 1)):
        first, last = (round(end / digit * 10.0**-exponent, 6) for end in (low, high))
        numbers = digit * np.arange(math.floor(first) + 1, math.floor(last) + 1, dtype=np.float64)
        if len(numbers) <= cells:
            # Dividing by a power of ten is exact to the last bit, multiplying by one below 1 is not.
            return numbers * 10.0**exponent if exponent >= 0 else numbers / 10.0**-exponent
    return np.empty(0)


def _float32(edges: np.ndarray) -> tuple[float, ...]:
    return tuple(float(edge) for edge in np.unique(edges.astype(np.float32)))
