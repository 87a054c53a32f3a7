"""Agree on the bins of every feature of a scorecard, from pooled counts of goods and bads.

    1  one sum: goods and bads in each cell of the public grid, or in each bin that the analyst has chosen
    2  every bank finds the same bins on them
    3  one sum: do all banks have the same bins?

Who learns what: banks learn pooled counts by cell of the grid (up to a few hundred a feature, each on its own, never across features), from
which each can subtract its own, so three banks at least. The server learns how many cells there are, and later what is released.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from riskfed.errors import ConfigurationError, JobError
from riskfed.jobs import HorizontalScorecard
from riskfed.protocols.program import Program, Sum
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.optimal_binning import merged_counts, optimal_bins
from riskfed.scorecard.woe import BinnedFeature
from riskfed.trees.workers import Workers

_MARK_BOUND = 1 << 52
_SOLVER_PACKAGES = ("optbinning", "ortools", "numpy")


def bin_features(
    records: Records, cells: Sequence[FeatureBins], job: HorizontalScorecard, pooled_rows: int, threads: int = 1
) -> Program[tuple[BinnedFeature, ...]]:
    """One bank's side.

    Args:
        records: development rows of this bank, maybe none.
        cells: what is counted, see `starting_cells`.
        job: what bins may be.
        pooled_rows: development rows of all banks, among them goods and bads.
        threads: how many features are counted, and binned, at once.

    Returns:
        The features that may enter, in the schema's order; the same at every bank.

    Raises:
        JobError: one of the analyst's bins holds too few loans.
        ConfigurationError: optbinning is missing, or the banks' solvers found different bins.
    """
    workers = Workers(threads)
    own = workers.each(lambda i: cells[i].counts(records.column, records.labels), len(cells))
    pooled = yield Sum(np.concatenate([counts.ravel() for counts in own]), pooled_rows)  # 1
    sizes = np.cumsum([2 * len(each) for each in cells])
    parts = [part.reshape(-1, 2) for part in np.split(pooled, sizes[:-1])]
    binned = tuple(workers.each(lambda i: _binned(cells[i], parts[i], job, pooled_rows), len(cells)))  # 2
    yield from _agree(binned)  # 3
    return binned


def starting_cells(schema: Schema, job: HorizontalScorecard) -> tuple[FeatureBins, ...]:
    """What is counted of each feature that may enter: the cells of its public grid, or the analyst's bins.

    Raises:
        JobError: the job names features that are not there, or gives edges to one that has levels without order.
    """
    job.check_features(tuple(feature.name for feature in schema.features))
    features = zip(schema.features, public_grid(schema), strict=True)
    return tuple(
        _with_edges(feature, grid, job.bins[feature.name]) if feature.name in job.bins else grid
        for feature, grid in features
        if job.features is None or feature.name in job.features
    )


def _with_edges(feature: Feature, grid: FeatureBins, edges: Sequence[float]) -> FeatureBins:
    if feature.encoding == "onehot":
        raise JobError(
            f"bins of {feature.name} are given as edges, but its levels have no order; leave them to the solver"
        )
    # Values are float32 numbers, so edges are.
    rounded = tuple(float(edge) for edge in np.unique(np.array(edges, dtype=np.float32)))
    if len(rounded) != len(edges):
        raise JobError(f"bins of {feature.name}: two edges are the same float32 number; leave one out")
    return replace(grid, edges=rounded)


def _binned(cells: FeatureBins, pooled: np.ndarray, job: HorizontalScorecard, pooled_rows: int) -> BinnedFeature:
    if cells.feature in job.bins:
        _check_analysts_bins(cells, pooled, job.least_cell)
        return BinnedFeature.of(cells, pooled, job.least_cell)
    least_rows = max(math.ceil(job.min_bin_share * pooled_rows), job.least_cell)
    trend = job.trends.get(cells.feature, job.trend)
    bins = optimal_bins(cells, pooled, trend=trend, max_bins=job.max_bins, least_rows=least_rows)
    return BinnedFeature.of(bins, merged_counts(cells, bins, pooled), job.least_cell)


def _check_analysts_bins(bins: FeatureBins, pooled: np.ndarray, least_cell: int) -> None:
    rows = pooled[: bins.regular].sum(axis=1)
    if small := np.flatnonzero(rows < least_cell).tolist():
        numbers = ", ".join(str(number + 1) for number in small)
        raise JobError(
            f"of the {bins.regular} bins that the job gives for {bins.feature}, number {numbers} holds fewer than {least_cell} loans "
            "(least_cell); the analyst must move or drop edges"
        )


def _agree(binned: Sequence[BinnedFeature]) -> Program[None]:
    """Compare a digest of all bins and counts with the other banks'."""
    text = json.dumps([asdict(feature) for feature in binned], sort_keys=True)
    mark = np.frombuffer(hashlib.sha256(b"riskfed bins v1" + text.encode()).digest(), dtype="<u4").astype(np.int64)
    pooled = yield Sum(np.append(mark, 1), _MARK_BOUND)
    if (pooled[:-1] != mark * pooled[-1]).any():
        raise ConfigurationError(
            "the banks' solvers found different bins on the same counts; all banks must install the same versions of "
            f"{', '.join(_SOLVER_PACKAGES)} (this one has {_versions()}), or the analyst must give the bins in the job"
        )


def _versions() -> str:
    found = []
    for package in _SOLVER_PACKAGES:
        try:
            found.append(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            found.append("none")
    return ", ".join(found)
