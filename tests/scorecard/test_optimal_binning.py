"""Bins found on counts: constraints, the true optimum, optbinning on the pooled rows."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optbinning import OptimalBinning

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.errors import ConfigurationError
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema
from riskfed.scorecard import optimal_binning
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.optimal_binning import MOST_PREBINS, best_starts, merged_counts, optimal_bins, prebin_starts
from tests.federation.german_credit import german_credit


def iv(counts: np.ndarray) -> float:
    """Information value of (k, 2) goods and bads, by its definition."""
    goods, bads = (counts / counts.sum(axis=0)).T
    kept = (goods > 0) & (bads > 0)
    return float(((goods - bads)[kept] * np.log(goods[kept] / bads[kept])).sum())


def merged(cells: np.ndarray, starts: Sequence[int]) -> np.ndarray:
    return np.add.reduceat(cells, [0, *starts], axis=0)


def is_allowed(counts: np.ndarray, trend: str, max_bins: int, least_rows: int) -> bool:
    """Whether bins keep all constraints."""
    rises = np.diff(counts[:, 1] / np.maximum(counts.sum(axis=1), 1))
    in_trend = {"ascending": (rises >= 0).all(), "descending": (rises <= 0).all(), "none": True}
    in_trend["auto"] = in_trend["ascending"] or in_trend["descending"]
    return bool(
        in_trend[trend] and len(counts) <= max_bins and counts.sum(axis=1).min() >= least_rows and counts.min() > 0
    )


def greatest_iv(cells: np.ndarray, trend: str, max_bins: int, least_rows: int) -> float:
    """The optimum over all partitions, one after the other."""
    best = 0.0
    for bins in range(2, max_bins + 1):
        for starts in itertools.combinations(range(1, len(cells)), bins - 1):
            counts = merged(cells, starts)
            if is_allowed(counts, trend, max_bins, least_rows):
                best = max(best, iv(counts))
    return best


def noisy_cells(cells: int, rows: int, slope: float, seed: int) -> np.ndarray:
    """Counts whose default rate changes along the cells, in cells of unlike size, some of them empty."""
    rng = np.random.default_rng(seed)
    size = rng.multinomial(rows, rng.dirichlet(np.full(cells, 0.3)))
    pd = 1 / (1 + np.exp(1.3 - slope * np.linspace(-1, 1, cells)))
    bads = rng.binomial(size, pd)
    return np.stack([size - bads, bads], axis=1).astype(np.int64)


@given(st.integers(0, 2**32), st.floats(-2, 2), st.sampled_from(["auto", "ascending", "descending", "none"]))
@settings(max_examples=25)
def test_bins_keep_every_constraint(seed: int, slope: float, trend: optimal_binning.Trend) -> None:
    cells = noisy_cells(30, 4000, slope, seed)
    starts = best_starts(cells, trend, 5, 200)
    counts = merged(cells, starts)
    assert len(counts) == 1 or is_allowed(counts, trend, 5, 200)
    assert all(cells[start].any() for start in starts), "an edge is where loans are"


@pytest.mark.parametrize("trend", ["auto", "none"])
def test_few_cells_give_the_optimum(trend: optimal_binning.Trend) -> None:
    shares = []
    for seed in range(6):
        cells = noisy_cells(14, 3000, 1.0 - 0.3 * seed, seed)
        best = greatest_iv(cells, trend, 4, 150)
        shares.append(iv(merged(cells, best_starts(cells, trend, 4, 150))) / best)
    assert min(shares) > 0.9
    assert np.median(shares) > 1 - 1e-5


def test_prebins_lose_next_to_nothing_against_all_edges() -> None:
    cells = noisy_cells(400, 60_000, 1.2, 4)
    starts = prebin_starts(cells, "ascending", 3000)
    assert len(starts) < MOST_PREBINS
    below = np.concatenate([[0], np.cumsum(cells.sum(axis=1))])
    fine = [int(np.searchsorted(below, below[-1] * part // 140)) for part in range(1, 140)]
    reference = _greatest_iv_by_recursion(merged(cells, sorted(set(fine) - {0})), 3000)
    assert iv(merged(cells, best_starts(cells, "ascending", 6, 3000))) > 0.995 * reference


def _greatest_iv_by_recursion(cells: np.ndarray, least_rows: int, max_bins: int = 6) -> float:
    """The optimum with a rising default rate, by dynamic programming over the last bin."""
    total, below = cells.sum(axis=0), np.concatenate([[[0, 0]], np.cumsum(cells, axis=0)])
    n = len(cells)
    best: dict[tuple[int, int], float] = {}  # (first, end) of the last bin
    value, rate = {}, {}
    for a, b in itertools.combinations(range(n + 1), 2):
        goods, bads = below[b] - below[a]
        if goods and bads and goods + bads >= least_rows:
            g, d = goods / total[0], bads / total[1]
            value[a, b], rate[a, b] = (g - d) * math.log(g / d), bads / (goods + bads)
    best = {bin_: v for bin_, v in value.items() if bin_[0] == 0}
    answer = 0.0
    for _ in range(max_bins - 1):
        by_end: dict[int, list[tuple[float, float]]] = {}
        for (a, b), v in best.items():
            by_end.setdefault(b, []).append((rate[a, b], v))
        best = {}
        for (a, b), v in value.items():
            earlier = [w for r, w in by_end.get(a, []) if r <= rate[a, b]]
            if earlier:
                best[a, b] = max(earlier) + v
        answer = max([answer, *(v for (_, b), v in best.items() if b == n)])
    return answer


def test_as_good_as_optbinning_on_the_pooled_rows() -> None:
    schema, frame = taiwan_schema(), load_taiwan()
    records = Records.from_frame(frame, schema)
    ours, theirs = {}, {}
    for feature, grid in zip(schema.features, public_grid(schema), strict=True):
        if feature.name not in {"limit_bal", "education", "pay_0", "pay_2", "pay_amt1", "pay_amt4", "pay_amt6"}:
            continue
        pooled = grid.counts(records.column, records.labels)
        bins = optimal_bins(grid, pooled, trend="auto", max_bins=8, least_rows=1500)
        assert (merged_counts(grid, bins, pooled) == bins.counts(records.column, records.labels)).all()
        ours[feature.name] = iv(merged_counts(grid, bins, pooled)[: bins.regular])
        reference = OptimalBinning(max_n_bins=8, min_bin_size=0.05, monotonic_trend="auto_asc_desc")
        table = reference.fit(records.column(grid.columns[0]), records.labels).binning_table
        table.build()
        theirs[feature.name] = table.iv
    assert min(ours[name] / theirs[name] for name in ours) > 0.98
    assert sum(ours.values()) > 0.997 * sum(theirs.values())


def test_levels_are_grouped_as_optbinning_groups_them() -> None:
    frame = german_credit()
    names = ["checking_status", "purpose", "savings", "credit_history"]
    schema = Schema.from_frame(frame[[*names, "default"]], target="default")
    records = Records.from_frame(frame, schema)
    for grid in public_grid(schema):
        pooled = grid.counts(records.column, records.labels)
        bins = optimal_bins(grid, pooled, trend="auto", max_bins=5, least_rows=50)
        counts = merged_counts(grid, bins, pooled)[:-1]
        assert sorted(itertools.chain(*bins.groups)) == list(range(len(grid.columns)))
        assert (np.diff(counts[:, 1] / counts.sum(axis=1)) >= 0).all()
        assert counts.sum(axis=1).min() >= 50
        reference = OptimalBinning(dtype="categorical", max_n_bins=5, min_bin_size=0.05)
        table = reference.fit(frame[grid.feature].astype(str).to_numpy(), frame["default"]).binning_table
        table.build()
        assert iv(counts) > 0.98 * table.iv


def test_an_edge_reads_as_an_analyst_would_write_it() -> None:
    schema = Schema(target="default", features=(Feature(name="age", minimum=18, maximum=120),))
    (grid,) = public_grid(schema)
    ages = np.repeat(np.arange(20, 60, dtype=np.float32), 50)
    labels = (np.arange(len(ages)) % 50 < np.where(ages < 25, 25, 5)).astype(np.float32)
    bins = optimal_bins(grid, grid.counts(lambda _: ages, labels), trend="auto", max_bins=4, least_rows=100)
    assert bins.edges == (25.0,)
    assert bins.labels(schema.features[0]) == ("below 25", "25 and above", "missing")


@pytest.mark.parametrize("cells", [[[0, 0], [0, 0]], [[50, 0], [70, 0]], [[9, 1], [4, 5]], [[0, 0], [90, 30]]])
def test_one_bin_where_there_is_nothing_to_part(cells: list[list[int]]) -> None:
    assert best_starts(np.array(cells), "auto", 8, 20) == []


def test_levels_without_loans_join_those_of_average_rate() -> None:
    schema = Schema(target="default", features=(Feature(name="x", encoding="onehot", levels=("a", "b", "c", "d")),))
    (grid,) = public_grid(schema)
    pooled = np.array([[900, 20], [0, 0], [600, 100], [300, 280], [0, 0]])
    bins = optimal_bins(grid, pooled, trend="auto", max_bins=8, least_rows=50)
    assert bins.groups == ((0,), (1, 2), (3,)) or bins.groups == ((0,), (2,), (1, 3))


def test_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    optimal_binning._solver.cache_clear()
    monkeypatch.setitem(sys.modules, "optbinning", None)
    with pytest.raises(ConfigurationError, match=r"install riskfed\[scorecard\]"):
        best_starts(noisy_cells(10, 997, 1.0, 0), "auto", 8, 20)
    optimal_binning._solver.cache_clear()
