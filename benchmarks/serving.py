"""``make bench-serving``: the scoring service beside `mlflow models serve`, its size on disk, and a load in which things break.

    python -m benchmarks.serving [--only comparison install faults] [--seconds 60]

Both serve the same 100 trees of depth 4, plain xgboost on the Taiwan records, and give the same PDs and reasons; riskfed also asks for an
API key and writes its audit log. Prints the figures beside their limits and writes runs/bench/serving.json; ends with code 1 where a limit
is missed. Latency means something on a quiet machine only: the load average before the run stands beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.serving_comparison import compare
from benchmarks.serving_faults import measure_faults
from benchmarks.serving_install import measure_install
from benchmarks.serving_models import applicants, release_of, taiwan_booster

FOLDER = Path("runs/bench")
PARTS = ("comparison", "install", "faults")


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure has to be."""

    figure: str
    meaning: str
    bound: float
    at_least: bool

    def holds(self, value: float) -> bool:
        """Whether it is met; never by NaN."""
        return value >= self.bound if self.at_least else value <= self.bound

    @property
    def text(self) -> str:
        """As it stands in the table."""
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g}"


LIMITS = (
    Limit("cpu_ratio", "CPU a request, MLflow / riskfed", 8, True),
    Limit("memory_ratio", "memory (PSS), MLflow / riskfed", 5, True),
    Limit("throughput_ratio", "requests a second, riskfed / MLflow", 8, True),
    Limit("p50_ms", "median latency, one at a time (ms)", 1.5, False),
    Limit("p99_ms", "99th percentile, one at a time (ms)", 10, False),
    Limit("installed_mb", "installed size (MB)", 120, False),
    Limit("failed_requests", "failed requests of the load with faults", 0, False),
    Limit("unlike_records", "answers that models or audit log do not bear out", 0, False),
)


def measure_comparison(folder: Path, seconds: float) -> dict[str, Any]:
    """Figures against MLflow; the ratio of CPU is the lower one of both loads."""
    del seconds
    found = compare(folder)
    ours, theirs = found.riskfed, found.mlflow
    return {
        "cpu_ratio": min(theirs.cpu_ms / ours.cpu_ms, theirs.saturated_cpu_ms / ours.saturated_cpu_ms),
        "cpu_ratio_without_signature": found.least_unsigned_cpu_ms / ours.cpu_ms,
        "memory_ratio": theirs.pss_mb / ours.pss_mb,
        "throughput_ratio": ours.per_second / theirs.per_second,
        "p50_ms": ours.p50_ms,
        "p99_ms": ours.p99_ms,
        "comparison": asdict(found),
    }


def measure_installed(folder: Path, seconds: float) -> dict[str, Any]:
    """Size of a fresh environment that serves."""
    del seconds
    booster = taiwan_booster()
    found = measure_install(release_of(booster), dict(applicants(booster, 1).records[0]), folder)
    return {"installed_mb": found.megabytes, "installed_packages_mb": found.packages}


def measure_load(folder: Path, seconds: float) -> dict[str, Any]:
    """The load with faults."""
    found = measure_faults(folder, taiwan_booster(), seconds=seconds, period=seconds / 12)
    evidence = found.evidence
    unlike = (
        evidence.wrong_version
        + evidence.not_audited
        + evidence.audited_twice
        + evidence.unlike_replays
        + found.unfounded
    )
    return {"failed_requests": evidence.failed, "unlike_records": unlike, "faults": asdict(found)}


_MEASURES: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    "comparison": measure_comparison,
    "install": measure_installed,
    "faults": measure_load,
}


def table(figures: dict[str, Any]) -> Table:
    """The figures beside their limits."""
    made = Table(title="riskfed's scoring service", title_justify="left")
    for heading in ("", "figure", "limit", ""):
        made.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for limit in LIMITS:
        if limit.figure in figures:
            value = figures[limit.figure]
            met = "met" if limit.holds(value) else "[bold]missed[/bold]"
            made.add_row(limit.meaning, f"{value:,.2f}", limit.text, met)
    if "cpu_ratio_without_signature" in figures:
        made.add_row(
            "CPU a request, where MLflow checks nothing", f"{figures['cpu_ratio_without_signature']:,.2f}", "", ""
        )
    return made


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the load with faults")
    given = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # of MLflow, about models without signature: they are measured too
    console = Console()
    console.width = max(console.width, 100)  # a pipe would have 80
    figures: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="riskfed-serving-") as folder:
        for part in given.only:
            figures |= _MEASURES[part](Path(folder, part), given.seconds)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "serving.json"
    kept = json.loads(path.read_text()) if path.exists() and set(given.only) != set(PARTS) else {}
    path.write_text(json.dumps({**kept, **figures}, indent=2) + "\n")
    console.print(table(figures))
    console.print(f"load average before: {figures['load_before']:.1f}; written to {path}")
    sys.exit(not all(limit.holds(figures[limit.figure]) for limit in LIMITS if limit.figure in figures))


if __name__ == "__main__":
    main()
