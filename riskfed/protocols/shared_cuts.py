"""Agree on the bins of every feature without anyone's values: a masked 16-ary search for pooled quantiles.

    1  the pooled number of rows that have a value, per feature
    2  four (or eight) rounds: counts under the sixteen children of each open prefix
    3  quantiles become cuts

Four rounds fix the upper 16 of a value's 32 bits: cuts have eight significant binary digits, and none is a row's exact value.
Eight rounds give the exact order statistics, as pooling would: minimum, maximum and quantiles are then real values of some row.
Features with public levels (ordinal, one-hot) need no search.

Who learns what: banks learn pooled counts under prefixes; the server learns nothing, it adds protected counts. Row weights play no part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from riskfed.jobs import XgboostParameters
from riskfed.protocols.order_search import FAN_OUT, KEY_BITS, ColumnCounts, RankSearch, from_sort_keys
from riskfed.protocols.program import Program, Sum
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema
from riskfed.trees.cuts import Cuts, cuts_from_order_statistics
from riskfed.trees.workers import Workers

COUNT_BOUND = 1 << 40
"""More rows than any consortium has."""


@dataclass(frozen=True, slots=True)
class _Column:
    """One encoded column: its most bins, and its public levels where it has some."""

    position: int
    max_bin: int
    levels: int | None


def shared_cuts(records: Records, schema: Schema, job: XgboostParameters, threads: int = 1) -> Program[Cuts]:
    """One bank's side.

    Args:
        records: development rows of this bank, maybe none.
        schema: the consortium's schema.
        job: gives `max_bin` and `cut_rounds`.
        threads: how many columns are gone through at once.

    Returns:
        The same `Cuts` at every bank.
    """
    columns, workers = _columns(schema, job.max_bin), Workers(threads)
    searched = [c for c in columns if c.levels is None]
    own = workers.each(lambda i: ColumnCounts(partial(records.column, searched[i].position)), len(searched))

    rows = yield Sum(np.array([len(counts) for counts in own], dtype=np.int64), COUNT_BOUND)  # 1
    searches = [RankSearch.for_ranks(_ranks(n, c.max_bin), n) for n, c in zip(rows.tolist(), searched, strict=True)]
    for _ in range(job.cut_rounds):  # 2
        local = workers.each(lambda i: own[i].children(searches[i].open_prefixes, searches[i].bits), len(own))
        bounds = np.concatenate([search.bounds() for search in searches] or [np.zeros(0, dtype=np.int64)])
        pooled = yield Sum(np.concatenate([counts.ravel() for counts in [*local, _NOTHING]]), bounds)
        _narrow(searches, pooled)

    found = iter(searches)  # 3
    values, min_values = zip(*(_cuts_of(column, found) for column in columns), strict=True)
    return Cuts(tuple(values), np.array(min_values, dtype=np.float32), schema)


_NOTHING = np.zeros((0, FAN_OUT), dtype=np.int64)


def _columns(schema: Schema, max_bin: int) -> list[_Column]:
    columns: list[_Column] = []
    for feature in schema.features:
        # A missing value takes the code 255, so such a feature has one bin less.
        most = min(max_bin, 255) if feature.nullable else max_bin
        levels = _public_levels(feature, most)
        columns += [_Column(len(columns) + i, most, levels) for i in range(len(feature.columns))]
    return columns


def _public_levels(feature: Feature, most: int) -> int | None:
    if feature.encoding == "onehot":
        return 2
    if feature.encoding == "ordinal" and len(feature.levels) <= most:
        return len(feature.levels)
    return None


def _ranks(rows: int, max_bin: int) -> np.ndarray:
    """Ranks to look for: least value, evenly spaced quantiles, greatest value. Empty where no row has a value."""
    if rows == 0:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.arange(max_bin, dtype=np.int64) * (rows - 1) // (max_bin - 1))


def _narrow(searches: list[RankSearch], pooled: np.ndarray) -> None:
    at = 0
    for search in searches:
        size = len(search.open_prefixes) * FAN_OUT
        search.narrow(pooled[at : at + size].reshape(-1, FAN_OUT))
        at += size


def _cuts_of(column: _Column, found: Iterator[RankSearch]) -> tuple[np.ndarray, np.float32]:
    """Cut points of one column, and the number below all of its values."""
    levels = column.levels
    points = _lower_edges(next(found)) if levels is None else np.arange(levels, dtype=np.float32)
    if len(points) == 0:
        return cuts_from_order_statistics(np.nan, points, np.nan)
    # A cell's lower edge serves as the greatest value too: XGBoost's last cut lies at about twice that, above the whole cell.
    return cuts_from_order_statistics(points[0], points, points[-1])


def _lower_edges(search: RankSearch) -> np.ndarray:
    """Lower edges, distinct and rising, of the cells that the wanted ranks fell into; the values themselves after eight rounds."""
    unknown = np.uint64(KEY_BITS - search.bits)
    edges = from_sort_keys((search.open_prefixes << unknown).astype(np.uint32))
    if search.bits < KEY_BITS:
        # The lower edge of a negative cell has all mantissa bits set; its neighbour below has none of them, and reads better.
        return np.where(edges < 0, np.nextafter(edges, np.float32(-np.inf)), edges)
    return edges
