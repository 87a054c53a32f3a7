"""``make bench``: what exactness and protection cost, and that nothing is lost.

    python -m benchmarks.trees [--rows 1000000]

Prints tables and writes runs/bench/trees.json. All ratios are of figures measured in this one run.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import xgboost

import riskfed
from benchmarks import protection_cost, tree_cost
from benchmarks.unprotected import unprotected
from riskfed.datasets import SyntheticLoans, iid_split, load_taiwan, taiwan_consortium, taiwan_schema
from riskfed.protocols.measuring.score_cells import score_cells
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.predictor import Predictor
from riskfed.trees.reference import identical_trees, xgboost_parameters

FOLDER = Path("runs/bench")
Costs = dict[str, float]
PEERS = riskfed.HorizontalXgboost(n_estimators=20, max_depth=5, max_bin=32, validation_fraction=0.2)
"""The set-up on which peers were run: 24,000 and 6,000 rows, 3 parties, depth 5, 20 trees, 32 bins."""


def peers_setup() -> dict[str, Any]:
    """AUC of federation and pool, identity, and bytes a tree under each protection."""
    schema, banks = taiwan_schema(), iid_split(load_taiwan(), 3, seed=0)
    frame = pd.concat(banks.values(), ignore_index=True)
    held_out = Records.from_frame(frame, schema).hold_out(PEERS.validation_fraction, PEERS.validation_seed)[1]
    traffic, trees_identical = {}, []
    for protection in ("masking", "paillier"):
        result = riskfed.simulate(banks, schema, PEERS, protection=protection)
        pooled = bytes(riskfed.pooled_reference(frame, result.cuts, PEERS).save_raw("json"))
        ours, theirs = parse_booster(result.release.model), parse_booster(pooled)
        trees_identical.append(identical_trees(ours.trees, theirs.trees))
        until = result.traffic.until_tree  # the first tree's figure holds opening and cuts, so count from the second
        traffic[protection] = (until[-1] - until[0]) / (len(until) - 1)
        model = Predictor(theirs.trees, theirs.base_score)
        auc_pooled = run_alone(score_cells(model.margins(held_out.matrix), held_out.labels)).auc()
    return {
        "auc_federated": result.metrics["auc"],
        "auc_pooled": auc_pooled,
        "auc_pooled_own_cuts": _auc_with_xgboosts_cuts(frame, schema, held_out),
        "identical": min(trees_identical) == PEERS.n_estimators,
        "trees_identical": min(trees_identical),
        "bytes_per_tree": traffic,
    }


def _auc_with_xgboosts_cuts(frame: pd.DataFrame, schema: riskfed.Schema, held_out: Records) -> float:
    development = Records.from_frame(frame, schema).hold_out(PEERS.validation_fraction, PEERS.validation_seed)[0]
    data = xgboost.QuantileDMatrix(
        development.matrix, development.labels, max_bin=PEERS.max_bin, feature_names=list(schema.columns)
    )
    booster = xgboost.train(xgboost_parameters(PEERS, schema.columns), data, PEERS.n_estimators)
    own = parse_booster(bytes(booster.save_raw("json")))
    model = Predictor(own.trees, own.base_score)
    return run_alone(score_cells(model.margins(held_out.matrix), held_out.labels)).auc()


def masking_overhead(banks: dict[str, pd.DataFrame], schema: riskfed.Schema, trees: int, repeats: int = 3) -> Costs:
    """CPU seconds of a whole simulated run under masking against the same without protection, best of some, taken in turns."""
    job = riskfed.HorizontalXgboost(n_estimators=trees, max_depth=6)
    seconds: dict[str, list[float]] = {"masking": [], "none": []}
    for repeat in range(repeats + 1):
        for way, times in seconds.items():
            started = time.process_time()
            with unprotected() if way == "none" else nullcontext():
                riskfed.simulate(banks, schema, job)
            if repeat:  # the first of each compiles and fills caches
                times.append(time.process_time() - started)
    best = {way: min(times) for way, times in seconds.items()}
    return {**best, "ratio": best["masking"] / best["none"]}


def _synthetic_banks(rows: int, n_banks: int = 5) -> tuple[dict[str, pd.DataFrame], riskfed.Schema]:
    loans = SyntheticLoans(n_banks=n_banks)
    return {f"bank_{i}": loans.bank(i).shard(0, rows // n_banks) for i in range(n_banks)}, loans.schema()


def main() -> None:
    """Print tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    tree = tree_cost.measure(rows)
    print(f"per-tree CPU of one bank, {rows:,} x 23 rows, 256 bins, depth 6, one thread")
    print(f"  xgboost {tree['xgboost_seconds']:.3f} s, bank {tree['party_seconds']:.3f} s: {tree['ratio']:.2f} times\n")
    protection = protection_cost.measure()
    print(protection_cost.table(protection))
    print("  phe and paillier extrapolated from samples, masking in full\n")
    overhead = masking_overhead(*_synthetic_banks(rows), trees=10)
    small = masking_overhead(taiwan_consortium(), taiwan_schema(), trees=40)
    print("whole run, 5 banks, depth 6, 256 bins, CPU seconds of all parties, opening included")
    for name, cost in ((f"synthetic, {rows:,} rows, 10 trees", overhead), ("Taiwan, 30,000 rows, 40 trees", small)):
        print(f"  {name}: masking {cost['masking']:.2f}, no protection {cost['none']:.2f}: {cost['ratio']:.2f} times")
    print()
    peers = peers_setup()
    print("peers' set-up: Taiwan 24k/6k rows, 3 banks, depth 5, 20 trees, 32 bins")
    print(f"  AUC federated {peers['auc_federated']!r}, pooled xgboost {peers['auc_pooled']!r}")
    print(f"  (pooled xgboost with its own cuts: {peers['auc_pooled_own_cuts']:.5f})")
    print(f"  trees identical to pooled xgboost: {peers['trees_identical']}/{PEERS.n_estimators}")
    for name, size in peers["bytes_per_tree"].items():
        print(f"  {name}: {size / 1e6:.2f} MB a tree, all banks and directions")
    phe, packed = protection["phe as it comes"]["total"], protection["paillier, packed"]["total"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = {
        "cpu_ratio_vs_xgboost_1t": tree["ratio"],
        "paillier_speedup_vs_phe": phe / packed,
        "masking_overhead": overhead["ratio"],
        "masking_overhead_taiwan": small["ratio"],
        **peers,
        "identical": bool(peers["identical"] and tree["identical"]),
    }
    (FOLDER / "trees.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nwritten to {FOLDER / 'trees.json'}")


if __name__ == "__main__":
    main()
