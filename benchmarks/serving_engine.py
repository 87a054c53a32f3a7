"""The scoring engine beside xgboost: one applicant, and 100,000 records.

    python -m benchmarks.serving_engine [--rows 100000] [--trees 100] [--depth 4]

Taiwan accounts, complete and with a twentieth of the values missing. All ratios are of figures measured in this one run, in turns: each is
the least of several, wall-clock and CPU time of the process. Margins are checked to be equal to the last bit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xgboost

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.model_files import ModelFiles, ModelReference

Times = tuple[float, float]
REPEATS = 7
REASONS_ROWS = 10_000
SINGLE_CALLS = 300


def trained(trees: int, depth: int) -> bytes:
    """JSON of a Booster on all accounts."""
    schema, frame = taiwan_schema(), load_taiwan()
    data = xgboost.DMatrix(schema.encode(frame), schema.labels(frame), feature_names=list(schema.columns))
    return bytes(
        xgboost.train({"objective": "binary:logistic", "max_depth": depth, "eta": 0.1}, data, trees).save_raw("json")
    )


def engine_of(model: bytes) -> ScoringEngine:
    """The service's engine."""
    reference = ModelReference("bench", "1", None, "bench", hashlib.sha256(model).hexdigest())
    return ScoringEngine(ModelFiles(reference, model, taiwan_schema()))


def in_turns(ways: Mapping[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, Times]:
    """(wall, CPU) seconds of each way: the least of ``repeats`` rounds, in each of which every way has its turn."""
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for _ in range(repeats):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = (min(best[name][0], wall), min(best[name][1], cpu))
    return best


def table(title: str, times: Mapping[str, Times], unit: str, each: float) -> None:
    """Print times and how they compare with the first."""
    print(f"\n{title}\n{'':44}{'wall ' + unit:>12}{'CPU ' + unit:>12}{'times ours, CPU':>18}")
    ours = next(iter(times.values()))[1]
    for name, (wall, cpu) in times.items():
        print(f"{name:44}{wall / each:12.2f}{cpu / each:12.2f}{cpu / ours:18.1f}")


def margins(model: bytes, rows: np.ndarray, title: str) -> None:
    """Margins of many rows: ours, and xgboost's with one thread and with all."""
    predictions, names = engine_of(model).predictions, list(taiwan_schema().columns)
    ways: dict[str, Callable[[], Any]] = {"riskfed, one thread": lambda: predictions.margins(rows)}
    for threads in sorted({1, os.cpu_count() or 1}):
        booster = xgboost.Booster({"nthread": threads}, model_file=bytearray(model))
        said = f"{threads} thread{'s' if threads > 1 else ''}"

        def whole(booster: xgboost.Booster = booster, threads: int = threads) -> np.ndarray:
            return np.asarray(
                booster.predict(xgboost.DMatrix(rows, feature_names=names, nthread=threads), output_margin=True)
            )

        def inplace(booster: xgboost.Booster = booster) -> np.ndarray:
            return np.asarray(booster.inplace_predict(rows, predict_type="margin", validate_features=False))

        ways |= {f"xgboost, predict(DMatrix), {said}": whole, f"xgboost, inplace_predict, {said}": inplace}
        assert np.array_equal(whole(), predictions.margins(rows)), "margins are not equal to the last bit"
    table(f"margins, {len(rows):,} rows, {title}", in_turns(ways), "ms", 1e-3)


def reasons(model: bytes, rows: np.ndarray) -> None:
    """Contributions of many rows, one thread each."""
    predictions, names = engine_of(model).predictions, list(taiwan_schema().columns)
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(model))
    data = xgboost.DMatrix(rows, feature_names=names)
    ways = {
        "riskfed": lambda: predictions.reason_contributions(rows),
        "xgboost, pred_contribs, 1 thread": lambda: booster.predict(data, pred_contribs=True),
    }
    difference = np.abs(ways["riskfed"]() - ways["xgboost, pred_contribs, 1 thread"]()[:, :-1]).max()
    table(f"reasons, {len(rows):,} rows (largest difference {difference:.1e})", in_turns(ways, 3), "ms", 1e-3)


def single(model: bytes, rows: np.ndarray) -> None:
    """One applicant at a time."""
    engine = engine_of(model)
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(model))
    names = list(taiwan_schema().columns)
    applicant = engine.form.example()
    row = rows[:1]

    def many(way: Callable[[], Any]) -> Callable[[], None]:
        def repeated() -> None:
            for _ in range(SINGLE_CALLS):
                way()

        return repeated

    ways = {
        "riskfed, PD, points and reasons of a row": lambda: engine.score_row(row),
        "riskfed, margin and contributions only": lambda: engine.predictions.explain(row[0]),
        "riskfed, the same from the applicant's JSON": lambda: engine.score(applicant),
        "xgboost, inplace_predict": lambda: booster.inplace_predict(row, validate_features=False),
        "xgboost, pred_contribs": lambda: booster.predict(
            xgboost.DMatrix(row, feature_names=names), pred_contribs=True
        ),
    }
    times = in_turns({name: many(way) for name, way in ways.items()})
    table("one applicant", times, "us", SINGLE_CALLS * 1e-6)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--depth", type=int, default=4)
    asked = parser.parse_args()
    model = trained(asked.trees, asked.depth)
    accounts = taiwan_schema().encode(load_taiwan())
    rows = np.resize(accounts, (asked.rows, accounts.shape[1]))
    blanked = np.where(np.random.default_rng(0).random(rows.shape) < 0.05, np.float32(np.nan), rows)
    print(f"{asked.trees} trees of depth {asked.depth}, {accounts.shape[1]} columns")
    single(model, blanked)
    margins(model, rows, "complete")
    margins(model, blanked, "5% of the values missing")
    reasons(model, blanked[:REASONS_ROWS])


if __name__ == "__main__":
    main()
