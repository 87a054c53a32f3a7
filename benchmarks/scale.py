"""``make bench-scale``: larger than memory. Cost and memory of one bank from a million rows on, and what two threads do.

    python -m benchmarks.scale [--sizes 1000000 5000000 10000000 50000000]

Prints tables and writes runs/bench/scale.json. Draws Parquet shards of synthetic loans first, into a folder under runs/ that is deleted
afterwards; they and the mapped files of the largest size need about 350 bytes of disk a row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import large_bank, tree_cost

SIZES = (1_000_000, 5_000_000, 10_000_000, 50_000_000)
THREADED_SIZES = (1_000_000, 5_000_000)
SHARD_ROWS = 1_000_000
FOLDER = Path("runs/bench")


def write_shards(folder: Path, rows: int) -> list[Path]:
    """Parquet files of `SHARD_ROWS` rows each, the last one shorter; drawn by two processes."""
    folder.mkdir(parents=True)
    shards = [(number, min(SHARD_ROWS, rows - start)) for number, start in enumerate(range(0, rows, SHARD_ROWS))]
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(partial(_write_shard, folder), shards))


def _write_shard(folder: Path, shard: tuple[int, int]) -> Path:
    schema, path = large_bank.schema(), folder / f"part-{shard[0]:04d}.parquet"
    frame = large_bank.LOANS.bank(0).shard(*shard)
    frame[[*(feature.name for feature in schema.features), schema.target]].to_parquet(path, index=False)
    return path


def measure_size(shards: list[Path], rows: int, folder: Path, trees: int, threads: int) -> dict[str, float]:
    """One bank with the first ``rows`` rows of the shards, in a process of its own."""
    own = folder / f"bank-{rows}"
    own.mkdir()
    for shard in shards[: -(-rows // SHARD_ROWS)]:
        os.link(shard, own / shard.name)
    command = [sys.executable, "-m", "benchmarks.large_bank", str(own), str(folder / "scratch")]
    command += ["--trees", str(trees), "--threads", str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    if figures["rows"] != rows:
        raise SystemExit(f"{figures['rows']} rows were loaded, expected {rows}")
    return figures


def report(sizes: list[dict[str, float]], threaded: list[dict[str, float]]) -> dict[str, Any]:
    """The figures as they are written: of threads, those of the size at which they do least."""
    largest = sizes[-1]
    return {
        "sizes": sizes,
        "rows": largest["rows"],
        "rss_gib": largest["rss_gib"],
        "s_per_million_rows": {str(size["rows"]): size["s_per_million_rows"] for size in sizes},
        "threads": threaded,
        "speedup_2_threads": min((size["speedup"] for size in threaded), default=None),
        "ceiling_2_threads": min((size["ceiling"] for size in threaded), default=None),
        "wall_ratio_vs_xgboost_2t": max((size["ratio"] for size in threaded), default=None),
    }


def _print_threads(figures: dict[str, float]) -> None:
    print(
        f"{figures['rows']:>12,.0f}{1e3 * figures['one_thread']:>14.1f}{1e3 * figures['threads']:>14.1f}"
        f"{1e3 * figures['xgboost']:>14.1f}{figures['speedup']:>10.2f}{figures['ceiling']:>10.2f}{figures['ratio']:>12.2f}",
        flush=True,
    )


def _print_size(figures: dict[str, float]) -> None:
    columns = ("rss_gib", "s_loading", "s_cuts", "s_training", "cpu_s_training", "s_per_million_rows")
    print(f"{figures['rows']:>12,.0f}" + "".join(f"{figures[name]:>14.2f}" for name in columns), flush=True)


def main() -> None:
    """Print tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows, multiples of a million")
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sizes = sorted(arguments.sizes)
    print(
        f"wall ms a tree, 26 columns, 256 bins, depth 6; one thread, {arguments.threads} threads, and xgboost with as many"
    )
    print(
        f"{'rows':>12}{'one thread':>14}{'threads':>14}{'xgboost':>14}{'speedup':>10}{'ceiling':>10}{'to xgboost':>12}"
    )
    threaded = []
    for rows in THREADED_SIZES:
        if rows <= sizes[-1]:
            threaded.append(tree_cost.compare_threads(rows, threads=arguments.threads))
            _print_threads(threaded[-1])
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scale-", dir=FOLDER) as name:
        started, folder = time.perf_counter(), Path(name)
        shards = write_shards(folder / "shards", sizes[-1])
        print(f"\n{sizes[-1]:,} rows drawn and written in {time.perf_counter() - started:.0f} s\n")
        print(
            f"one bank of three under masking, {arguments.trees} trees of depth 6, 26 columns, 256 bins, {arguments.threads} threads"
        )
        print(
            f"{'rows':>12}{'peak GiB':>14}{'loading s':>14}{'cuts s':>14}{'trees s':>14}{'trees CPU s':>14}{'s per M rows':>14}"
        )
        measured = []
        for rows in sizes:
            measured.append(measure_size(shards, rows, folder, arguments.trees, arguments.threads))
            _print_size(measured[-1])
    path = FOLDER / "scale.json"
    path.write_text(json.dumps(report(measured, threaded), indent=2) + "\n")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
