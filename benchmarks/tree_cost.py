"""What a tree costs one party, against xgboost on the same records, cuts and parameters, both on one thread.

    python -m benchmarks.tree_cost --rows 1000000 --features 23

CPU seconds (time.process_time) after a warm-up tree. The party is alone here: its own histogram is the pooled one, so what
is measured is everything but protection and transport. Trees are compared too: a cost is worth nothing if they differ.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xgboost

from riskfed.jobs import HorizontalXgboost
from riskfed.trees.booster_json import booster_json
from riskfed.trees.cuts import Cuts
from riskfed.trees.grower import Grower
from riskfed.trees.logit import estimate_base_score
from riskfed.trees.reference import cuts_of, xgboost_parameters


def measure(
    rows: int = 1_000_000, features: int = 23, *, max_bin: int = 256, max_depth: int = 6, trees: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Grow ``trees`` trees both ways.

    Returns:
        CPU seconds a tree of either side, their ratio, the party's steps in seconds a tree, and whether the models are the
        same bytes.
    """
    matrix, labels = _records(rows, features, seed)
    job = HorizontalXgboost(n_estimators=trees, max_depth=max_depth, max_bin=max_bin)
    binned = xgboost.QuantileDMatrix(matrix, labels, max_bin=max_bin, nthread=1)
    cuts = cuts_of(binned)
    booster, xgboost_seconds = _time_xgboost(binned, job, cuts)
    codes = cuts.bin(matrix.T.__getitem__, rows)
    defaults = float(labels.sum(dtype=np.float64))
    base_score = float(estimate_base_score(defaults, rows - defaults))
    grower = Grower(
        codes, labels, np.ones(rows, dtype=np.float32), cuts, job, total_weight=float(rows), base_score=base_score
    )
    steps = _time_grower(grower, trees)
    seconds = sum(steps.values())
    own = json.loads(booster_json(grower.trees, cuts.feature_names, job, base_score))
    theirs = json.loads(booster.save_raw("json"))
    return {
        "rows": rows,
        "features": features,
        "max_bin": max_bin,
        "max_depth": max_depth,
        "trees": trees,
        "xgboost_seconds": xgboost_seconds,
        "party_seconds": seconds,
        "ratio": seconds / xgboost_seconds,
        "steps": steps,
        "identical": _trees(own) == _trees(theirs),
    }


def compare_threads(
    rows: int,
    features: int = 26,
    *,
    threads: int = 2,
    max_bin: int = 256,
    max_depth: int = 6,
    trees: int = 12,
    seed: int = 0,
) -> dict[str, float]:
    """Wall time of a tree, and what threads do for it: one party with one and with ``threads``, xgboost with ``threads``.

    They take turns, tree by tree; of each the fastest tree counts, since another process can only slow one down. So do as many parties
    side by side, each with one thread and nothing in common: no speedup can be above theirs, and on a virtual machine that is less than
    the number of its processors.

    Returns:
        Seconds a tree, ``speedup`` of the party by its threads, ``ceiling`` of any speedup, and ``ratio`` of the party to xgboost with
        ``threads``.
    """
    matrix, labels = _records(rows, features, seed)
    job = HorizontalXgboost(n_estimators=trees, max_depth=max_depth, max_bin=max_bin)
    binned = xgboost.QuantileDMatrix(matrix, labels, max_bin=max_bin, nthread=threads)
    cuts = cuts_of(binned)
    booster = xgboost.Booster(xgboost_parameters(job, cuts.feature_names) | {"nthread": threads}, [binned])
    codes, ones = cuts.bin(matrix.T.__getitem__, rows, threads=threads), np.ones(rows, dtype=np.float32)
    scale = {"total_weight": float(rows), "base_score": float(labels.mean())}
    one, several, *parties = (
        Grower(codes, labels, ones, cuts, job, threads=number, **scale) for number in (1, threads, *[1] * threads)
    )
    del matrix
    seconds: dict[str, list[float]] = defaultdict(list)
    with ThreadPoolExecutor(threads) as pool:
        for number in range(trees + 1):
            for name, grow in (
                ("one_thread", lambda: _grow_tree(one)),
                ("threads", lambda: _grow_tree(several)),
                ("side_by_side", lambda: list(pool.map(_grow_tree, parties))),
                ("xgboost", lambda: booster.update(binned, number)),  # noqa: B023  (called at once)
            ):
                started = time.perf_counter()
                grow()
                seconds[name].append(time.perf_counter() - started)
    best = {name: min(taken[1:]) for name, taken in seconds.items()}  # the first tree warms up
    ratios = {
        "speedup": best["one_thread"] / best["threads"],
        "ceiling": threads * best["one_thread"] / best["side_by_side"],
        "ratio": best["threads"] / best["xgboost"],
    }
    return {"rows": rows, "features": features, **best, **ratios}


def _grow_tree(grower: Grower) -> None:
    grower.begin_tree()
    while grower.has_open_nodes():
        grower.split(grower.histograms())
    grower.end_tree()


def _records(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal columns, and labels that depend on some of them, about one in five a default."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((rows, features), dtype=np.float32)
    strength = np.linspace(1, 0, features)
    margins = matrix @ strength + matrix[:, 0] * matrix[:, 1] - 2.2
    return matrix, (rng.random(rows) < 1 / (1 + np.exp(-margins))).astype(np.float32)


def _time_xgboost(binned: xgboost.QuantileDMatrix, job: HorizontalXgboost, cuts: Cuts) -> tuple[xgboost.Booster, float]:
    """The model, and CPU seconds a tree: a first run of one tree warms up and pays for what is paid once."""
    parameters = xgboost_parameters(job, cuts.feature_names) | {"nthread": 1}
    booster = xgboost.Booster(parameters, [binned])
    booster.update(binned, 0)
    started = time.process_time()
    for number in range(1, job.n_estimators + 1):
        booster.update(binned, number)
    return booster, (time.process_time() - started) / job.n_estimators


def _time_grower(grower: Grower, trees: int) -> dict[str, float]:
    """CPU seconds a tree of each step, after a first tree."""
    steps: dict[str, float] = defaultdict(float)
    for number in range(trees + 1):
        if number == 1:
            steps.clear()
        mark = time.process_time()

        def lap(step: str) -> None:
            nonlocal mark
            now = time.process_time()
            steps[step] += now - mark
            mark = now

        grower.begin_tree()
        lap("gradients")
        while grower.has_open_nodes():
            pooled = grower.histograms()
            lap("histograms")
            grower.split(pooled)
            lap("splits and sorting")
        grower.end_tree()
        lap("margins")
    return {step: seconds / trees for step, seconds in steps.items()}


def _trees(model: dict[str, Any]) -> Any:
    return model["learner"]["gradient_booster"]["model"]["trees"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name, default in (("rows", 1_000_000), ("features", 23), ("max-bin", 256), ("max-depth", 6), ("trees", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    figures = measure(**vars(parser.parse_args()))
    print(
        f"{figures['rows']:,} rows, {figures['features']} features, {figures['max_bin']} bins, depth {figures['max_depth']}"
    )
    print(f"{'xgboost, 1 thread':<24}{1e3 * figures['xgboost_seconds']:>10.1f} ms a tree")
    print(f"{'one party':<24}{1e3 * figures['party_seconds']:>10.1f} ms a tree   {figures['ratio']:.2f} times xgboost")
    for step, seconds in figures["steps"].items():
        print(f"  {step:<22}{1e3 * seconds:>10.1f} ms")
    print("trees identical" if figures["identical"] else "TREES DIFFER")


if __name__ == "__main__":
    main()
