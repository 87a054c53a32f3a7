"""Which edges of the public grid become the edges of a feature's bins: those with the greatest information value.

optbinning's constraint programme (Navas-Palencia 2020, "Optimal binning: mathematical programming formulation", arXiv:2001.08025) merges
neighbouring pre-bins under constraints on trend, number and size. It is given pre-bins of summed counts; no record is looked at.

The solver's time grows fast with the number of pre-bins, so they are chosen. With a monotone trend and no least size, the best bins
have edges of the isotonic regression of default on the feature only: between two of these the lower convex hull of (cumulative loans,
cumulative bads) is a straight line; an edge off the hull tells less than the point of that line below it would, and along the line
information is convex, thus greatest at an end. A least size moves edges to where a bin that begins or ends there is just large enough.
Both kinds are kept, and some at equal counts; the tests measure what is lost against all edges. optbinning itself leaves out edges where
the rate turns from one pre-bin to the next, which with a least size can cost a little (2 % of the information value of Taiwan's ages).

Every bank solves the same problem by itself. The solver runs on one thread, with a fixed seed and without a limit on time, so that
equal counts give equal bins; `riskfed.protocols.binning` makes sure of it.
"""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from riskfed.errors import ConfigurationError
from riskfed.jobs.scorecard import Trend
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.woe import information_values, weights_of_evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_PREBINS: Final = 40
_MOST_ISOTONIC: Final = 20
_EQUAL_COUNTS: Final = 4
_NO_LIMIT: Final = 1e9
"""Seconds. A limit that cut the search would give bins that depend on the machine."""


def optimal_bins(grid: FeatureBins, pooled: np.ndarray, *, trend: Trend, max_bins: int, least_rows: int) -> FeatureBins:
    """Merge the regular cells of a feature's grid into bins; special and missing values keep theirs.

    Args:
        grid: k cells, the feature's public grid.
        pooled: (k, 2) integers, goods and bads of each cell.
        trend: of the default rate from bin to bin; "auto" takes the direction with the greater information value, "ascending" where both
            have the same.
        max_bins: most bins.
        least_rows: least loans of a bin; each bin also has a good and a bad. Where the loans are too few for two bins, there is one.

    Returns:
        The bins. An edge lies at the lower edge of the next cell that has loans, so that it reads as an analyst would write it. Levels
        without order are grouped by default rate, which is the trend they have; those without loans join the ones of about the
        average rate.

    Raises:
        ConfigurationError: optbinning is not installed.
    """
    cells = pooled[: grid.regular].astype(np.int64)
    if grid.groups:
        order = _by_default_rate(cells)
        starts = best_starts(cells[order], "ascending", max_bins, least_rows)
        parts = itertools.pairwise([0, *starts, len(order)])
        return replace(grid, groups=tuple(tuple(sorted(order[a:b])) for a, b in parts))
    starts = best_starts(cells, trend, max_bins, least_rows)
    return replace(grid, edges=tuple(grid.edges[start - 1] for start in starts))


def merged_counts(grid: FeatureBins, bins: FeatureBins, pooled: np.ndarray) -> np.ndarray:
    """Counts of bins that were merged from a grid's cells.

    Args:
        grid, bins: of the same feature.
        pooled: (len(grid), 2) integers of the cells.

    Returns:
        (len(bins), 2) integers.
    """
    if bins.groups:
        regular = np.stack([pooled[list(group)].sum(axis=0) for group in bins.groups])
    else:
        starts = [0, *(grid.edges.index(edge) + 1 for edge in bins.edges)]
        regular = np.add.reduceat(pooled[: grid.regular], starts, axis=0)
    return np.concatenate([regular, pooled[grid.regular :]])


def best_starts(cells: np.ndarray, trend: Trend, max_bins: int, least_rows: int) -> list[int]:
    """Where bins begin, but the first.

    Args:
        cells: (c, 2) int64 goods and bads of ordered cells.
        trend, max_bins, least_rows: as of `optimal_bins`.

    Returns:
        Rising positions of cells that have loans, from 1 to c - 1.
    """
    # Several parties in one process solve the same problem.
    return list(_best_starts(cells.astype(np.int64).tobytes(), trend, max_bins, least_rows))


@lru_cache(maxsize=256)
def _best_starts(counts: bytes, trend: Trend, max_bins: int, least_rows: int) -> tuple[int, ...]:
    cells = np.frombuffer(counts, dtype=np.int64).reshape(-1, 2)
    if int(cells.sum()) < 2 * least_rows or not cells.any(axis=0).all():
        return ()
    trends: tuple[Trend, ...] = ("ascending", "descending") if trend == "auto" else (trend,)
    found = [_solve(cells, prebin_starts(cells, one, least_rows), one, max_bins, least_rows) for one in trends]
    best = max(found, key=lambda starts: _value(cells, starts))  # the first of equals
    return tuple(best)


def prebin_starts(cells: np.ndarray, trend: Trend, least_rows: int) -> list[int]:
    """Where pre-bins begin, but the first: at most `MOST_PREBINS` - 1 rising positions of cells that have loans."""
    filled = [int(cell) for cell in np.flatnonzero(cells.any(axis=1))]
    if len(filled) <= MOST_PREBINS:
        return filled[1:]
    below = np.concatenate([[0], np.cumsum(cells.sum(axis=1))])
    directions = {"ascending": (1,), "descending": (-1,)}.get(trend, (1, -1))
    isotonic = sorted({edge for sign in directions for edge in isotonic_starts(cells, sign)})
    kept = set(_thinned(isotonic, below, _MOST_ISOTONIC))
    kept |= set(_thinned(filled[1:], below, _EQUAL_COUNTS))
    reached = _at_least_size(sorted(kept), filled, below, least_rows)
    return sorted(kept | set(_thinned(sorted(reached - kept), below, MOST_PREBINS - 1 - len(kept))))


def isotonic_starts(cells: np.ndarray, sign: int) -> list[int]:
    """Where the blocks of the isotonic regression of default begin, but the first: pool-adjacent-violators, in whole numbers.

    Args:
        cells: (c, 2) int64 goods and bads.
        sign: 1 for rates that rise from block to block, -1 for ones that fall.
    """
    blocks: list[tuple[int, int, int]] = []  # first cell, loans, bads
    for number, (goods, bads) in enumerate(cells.tolist()):
        if not goods and not bads:
            continue
        block = (number, goods + bads, bads)
        while blocks and sign * (block[2] * blocks[-1][1] - blocks[-1][2] * block[1]) <= 0:
            start, rows, earlier_bads = blocks.pop()
            block = (start, rows + block[1], earlier_bads + block[2])
        blocks.append(block)
    return [start for start, _, _ in blocks[1:]]


def _at_least_size(starts: Sequence[int], filled: Sequence[int], below: np.ndarray, least_rows: int) -> set[int]:
    """Where the next bin starts if one that begins or ends at one of `starts`, or at an end, is just large enough."""
    found: set[int] = set()
    for start in [0, *starts, len(below) - 1]:
        after = np.searchsorted(below, below[start] + least_rows, side="left")
        before = np.searchsorted(below, below[start] - least_rows, side="right") - 1
        # The next cell with loans; none after the last.
        found |= {filled[at] for at in np.searchsorted(filled, [before, after]) if 0 < at < len(filled)}
    return found


def _thinned(starts: Iterable[int], below: np.ndarray, most: int) -> list[int]:
    """At most so many of rising starts, the first in each of as many parts of equal counts; all where they are few."""
    given = list(starts)
    if len(given) <= most:
        return given
    parts = [int(below[start]) * most // int(below[-1]) for start in given]
    return [start for i, start in enumerate(given) if i == 0 or parts[i] != parts[i - 1]]


def _by_default_rate(cells: np.ndarray) -> list[int]:
    """Levels by rising default rate, ties by position; one without loans stands at the average rate."""
    goods, bads = (int(total) for total in cells.sum(axis=0))
    average = bads / max(goods + bads, 1)
    rates = [b / (g + b) if g or b else average for g, b in cells.tolist()]
    return sorted(range(len(rates)), key=lambda level: (rates[level], level))


def _solve(cells: np.ndarray, starts: list[int], trend: Trend, max_bins: int, least_rows: int) -> list[int]:
    """Those of `starts` that optbinning keeps."""
    if not starts:
        return []
    counts = np.add.reduceat(cells, [0, *starts], axis=0).ravel()
    position, label = np.repeat(np.arange(len(starts) + 1, dtype=np.float64), 2), np.tile([0, 1], len(starts) + 1)
    model = _solver()(
        dtype="numerical",
        solver="cp",
        user_splits=np.arange(1, len(starts) + 1) - 0.5,
        max_n_bins=max_bins,
        # A share, of which optbinning makes a whole number by rounding up.
        min_bin_size=(least_rows - 0.5) / int(counts.sum()),
        monotonic_trend=None if trend == "none" else trend,
        time_limit=_NO_LIMIT,
    )
    there = counts > 0
    model.fit(position[there], label[there], sample_weight=counts[there])
    return [starts[int(split - 0.5)] for split in model.splits] if model.status == "OPTIMAL" else []


def _value(cells: np.ndarray, starts: list[int]) -> float:
    counts = [(int(goods), int(bads)) for goods, bads in np.add.reduceat(cells, [0, *starts], axis=0)]
    return math.fsum(information_values(counts, list(weights_of_evidence(counts))))


@cache
def _solver() -> Any:
    """optbinning's class. Its packages say on the terminal which other solvers they miss; that is kept quiet."""
    quiet = logging.getLogger("__cvxpy__")
    quiet.addFilter(_mute)
    try:
        from optbinning import OptimalBinning  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigurationError(
            "finding a scorecard's bins needs optbinning: install riskfed[scorecard], or give the job's bins"
        ) from None
    finally:
        quiet.removeFilter(_mute)
    return OptimalBinning


def _mute(_: logging.LogRecord) -> bool:
    return False
