"""Cuts that are known before any record is looked at: the schema's public grid, as bins of trees.

`riskfed.protocols.shared_cuts` finds quantiles of the pooled records, which tell of them; where records are differentially private, cuts
come from the schema alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from riskfed.schema import Feature, Schema
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.grid import public_grid
from riskfed.trees.cuts import MISSING, Cuts, cuts_from_order_statistics

_CELLS = 128
"""Edges of the grid on either side of zero, of which as many are taken as there may be bins."""
_FARTHEST = 1e12
"""Magnitude at which a feature without a range ends, as in the grid."""


def public_cuts(schema: Schema, max_bin: int) -> Cuts:
    """The same `Cuts` wherever the schema is the same: of a numeric feature about evenly spread edges of its grid, and its special values
    by themselves; of levels, each.

    Args:
        schema: the consortium's.
        max_bin: most bins of a column; 255 where it may be missing.
    """
    found: list[tuple[NDArray[np.float32], np.float32]] = []
    for feature, bins in zip(schema.features, public_grid(schema, _CELLS), strict=True):
        most = min(max_bin, MISSING) if feature.nullable else max_bin
        if bins.groups:
            found += [_cuts_of_levels(2, most)] * len(bins.columns)
        elif feature.encoding == "ordinal":
            found.append(_cuts_of_levels(len(feature.levels), most))
        else:
            found.append(_cuts_of_numbers(feature, bins, most))
    return Cuts(tuple(values for values, _ in found), np.array([low for _, low in found], dtype=np.float32), schema)


def _cuts_of_levels(levels: int, most: int) -> tuple[NDArray[np.float32], np.float32]:
    codes = np.arange(levels, dtype=np.float32)
    return cuts_from_order_statistics(0.0, _thinned(codes[1:-1], most - 2), float(codes[-1]))


def _cuts_of_numbers(feature: Feature, bins: FeatureBins, most: int) -> tuple[NDArray[np.float32], np.float32]:
    special = np.array(bins.special, dtype=np.float32)
    # A special value is a bin of its own: from itself up to the next number.
    around = np.unique(np.append(special, np.nextafter(special, np.float32(np.inf))))
    inner = np.union1d(around, _thinned(np.array(bins.edges, dtype=np.float32), max(most - 2 - len(around), 0)))
    low = -_FARTHEST if feature.minimum is None else feature.minimum
    high = _FARTHEST if feature.maximum is None else feature.maximum
    if len(inner):
        low, high = min(low, float(np.nextafter(inner[0], np.float32(-np.inf)))), max(high, float(inner[-1]))
    return cuts_from_order_statistics(low, _thinned(inner, most - 2), high)


def _thinned(points: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """At most so many of the (k,) points, evenly chosen."""
    if len(points) <= most:
        return points
    chosen: NDArray[np.float32] = points[(np.arange(most) * len(points) + len(points) // 2) // max(most, 1)]
    return chosen
