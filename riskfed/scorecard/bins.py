"""How one feature's values fall into bins.

The order of a feature's bins: intervals from the smallest value, or groups of levels; then one bin for each special value; then, last
and always there, the bin of missing values. Interval i holds values v with edges[i-1] <= v < edges[i]; edges are float32 numbers, as
values are.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from riskfed.errors import SchemaError
from riskfed.schema import Feature, Schema


@dataclass(frozen=True, slots=True)
class FeatureBins:
    """The bins of one feature.

    Attributes:
        feature: its name.
        columns: positions of its encoded columns.
        edges: rising inner edges of the intervals of a numeric or ordinal feature (of an ordinal one, half-way between level positions).
        groups: positions of the levels in each bin of a one-hot feature; empty for the others.
        special: values with a bin of their own.
    """

    feature: str
    columns: tuple[int, ...]
    edges: tuple[float, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    special: tuple[float, ...] = ()

    def __len__(self) -> int:
        return self.regular + len(self.special) + 1

    @property
    def regular(self) -> int:
        """How many bins are intervals or groups of levels."""
        return len(self.groups) if self.groups else len(self.edges) + 1

    def codes(self, column: Callable[[int], np.ndarray]) -> np.ndarray:
        """Bins of records.

        Args:
            column: gives the (n,) float32 values of an encoded column by its position, NaN where missing.

        Returns:
            (n,) int16 from 0 to len(self) - 1.
        """
        missing = len(self) - 1
        if self.groups:
            # Column by column: all of them at once would be large.
            codes = np.where(np.isnan(column(self.columns[0])), missing, 0).astype(np.int16)
            for number, levels in enumerate(self.groups):
                for level in levels:
                    codes[column(self.columns[level]) == 1] = number
            return codes
        values = column(self.columns[0])
        codes = np.searchsorted(np.array(self.edges, dtype=np.float32), values, side="right").astype(np.int16)
        for number, value in enumerate(self.special):
            codes[values == np.float32(value)] = self.regular + number
        codes[np.isnan(values)] = missing
        return codes

    def counts(self, column: Callable[[int], np.ndarray], labels: np.ndarray) -> np.ndarray:
        """(len(self), 2) int64 goods and bads of records; `labels` are (n,) with 1.0 for default."""
        codes = self.codes(column).astype(np.int64)
        return np.bincount(2 * codes + (labels != 0), minlength=2 * len(self)).reshape(-1, 2).astype(np.int64)

    @property
    def steps(self) -> np.ndarray:
        """(k,) float32 values of an encoded column at which the bin changes; a special value begins a step and ends it."""
        special = np.array(self.special, dtype=np.float32)
        ends = np.nextafter(special, np.float32(np.inf))
        ones = np.ones(1 if self.groups else 0, dtype=np.float32)
        return np.concatenate([np.array(self.edges, dtype=np.float32), special, ends, ones])

    def labels(self, feature: Feature) -> tuple[str, ...]:
        """The bins in words, such as ``[18, 25)``, ``graduate, university``, ``-2`` or ``missing``."""
        special = [f"{value:g}" for value in self.special]
        return (*self._regular_labels(feature), *special, "missing")

    def _regular_labels(self, feature: Feature) -> list[str]:
        if self.groups:
            return [", ".join(str(feature.levels[level]) for level in group) for group in self.groups]
        if feature.encoding == "ordinal":
            firsts = [0, *(int(np.ceil(edge)) for edge in self.edges), len(feature.levels)]
            return [", ".join(map(str, feature.levels[a:b])) for a, b in itertools.pairwise(firsts)]
        if not self.edges:
            return ["any value"]
        inner = [f"[{_plain(low)}, {_plain(high)})" for low, high in itertools.pairwise(self.edges)]
        return [f"below {_plain(self.edges[0])}", *inner, f"{_plain(self.edges[-1])} and above"]


class RecordBins:
    """Bins of one record at a time, as plain Python numbers: what `FeatureBins.codes` does, without arrays.

    Args:
        bins: how values fall into them.
    """

    def __init__(self, bins: FeatureBins) -> None:
        self._columns, self._missing = bins.columns, len(bins) - 1
        self._edges = np.array(bins.edges, dtype=np.float32).tolist()
        self._group_of = {level: number for number, levels in enumerate(bins.groups) for level in levels}
        special = np.array(bins.special, dtype=np.float32).tolist()
        self._special = {value: bins.regular + number for number, value in enumerate(special)}

    def code(self, values: list[float]) -> int:
        """The bin of a record's encoded values, which are float32 numbers, NaN where missing."""
        value = values[self._columns[0]]
        if math.isnan(value):
            return self._missing
        if self._group_of:
            ones = [self._group_of[level] for level, column in enumerate(self._columns) if values[column] == 1]
            return max(ones, default=0)
        special = self._special.get(value)
        return bisect_right(self._edges, value) if special is None else special


def check_bins(bins: FeatureBins, schema: Schema) -> None:
    """Refuse bins that do not suit the schema.

    Raises:
        SchemaError: they do not.
    """
    at = 0
    for feature in schema.features:
        if feature.name == bins.feature and bins.columns == tuple(range(at, at + len(feature.columns))):
            levels = sorted(itertools.chain(*bins.groups))
            if (feature.encoding == "onehot") != bool(bins.groups) or (levels and levels != list(range(len(levels)))):
                break
            if bins.groups and len(levels) != len(feature.levels):
                break
            return
        at += len(feature.columns)
    raise SchemaError(
        f"the bins of {bins.feature} do not suit the schema; the model and its schema must be released together"
    )


def _plain(value: float) -> str:
    """A number in words: thousands are set off from 10,000 on, so that a year reads as one."""
    if abs(value) < 10_000:
        return f"{value:.6g}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
