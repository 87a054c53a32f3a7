"""``make bench-rounds``: what one lock-step round costs over each transport, without what banks compute in it.

    python -m benchmarks.rounds [--only session message simulation] [--rounds 200]

Session: the real SessionServer, and for each bank a process with the courier's own relay and a vault's socket that echoes. Message: a real
SuperLink with TLS and stock SuperNodes on loopback. Simulation: Flower's own on Ray, where it is installed. Every bank sends and gets
the size that stands in the table. Prints a table and writes runs/bench/rounds.json, milliseconds: {transport: {banks: {size: median}}},
and the 95th percentiles under "p95".
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import flower_rounds, session_rounds

FOLDER = Path("runs/bench")
BANKS = (3, 5)
SIZES = {"10KB": 10_000, "1MB": 1_000_000}
Seconds = dict[str, dict[str, list[float]]]
"""Banks -> size -> seconds of every round."""

_FEWER_OF_LARGE = 4
"""A hundredth of the rounds' bytes is enough to see the median at 1 MB."""


def session(rounds: int) -> Seconds:
    """Rounds over session transport."""
    return {
        str(banks): {
            name: session_rounds.measure(banks, size, rounds if size < 100_000 else max(rounds // _FEWER_OF_LARGE, 20))
            for name, size in SIZES.items()
        }
        for banks in BANKS
    }


def message(rounds: int) -> Seconds:
    """Rounds over Flower messages, on a real stack."""
    return {str(banks): flower_rounds.on_loopback(banks, SIZES, rounds) for banks in BANKS}


def simulation(rounds: int) -> Seconds | str:
    """Rounds on Flower's simulation, or why there are none."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed; riskfed's extra `bench` has it"
    return {str(banks): flower_rounds.simulated(banks, SIZES, rounds) for banks in BANKS}


def _figures(seconds: Seconds, quantile: float) -> dict[str, dict[str, float]]:
    return {
        banks: {size: round(1000 * float(np.quantile(each, quantile)), 3) for size, each in by_size.items()}
        for banks, by_size in seconds.items()
    }


def _table(medians: Mapping[str, dict[str, dict[str, float]]], p95: Mapping[str, dict[str, dict[str, float]]]) -> str:
    heads = [f"{banks} banks, {size}" for banks in BANKS for size in SIZES]
    lines = [f"{'ms a round, median (95 %)':<26}" + "".join(f"{head:>24}" for head in heads)]
    for transport, figures in medians.items():
        pairs = [(figures[str(b)][s], p95[transport][str(b)][s]) for b in BANKS for s in SIZES]
        lines.append(f"{transport:<26}" + "".join(f"{f'{median:,.1f} ({high:,.1f})':>24}" for median, high in pairs))
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=["session", "message", "simulation"])
    parser.add_argument("--rounds", type=int, default=200, help="of session transport at 10 KB")
    given = parser.parse_args()
    ways = {
        "session": lambda: session(given.rounds),
        "message": lambda: message(2),
        "simulation": lambda: simulation(20),
    }
    path = FOLDER / "rounds.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if given.only and path.exists() else {"p95": {}}
    figures |= {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    medians, p95 = {}, figures["p95"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, measure in ways.items():
        if given.only and name not in given.only:
            continue
        found = measure()
        if isinstance(found, str):
            figures[name] = found
            print(f"{name}: {found}")
        else:
            medians[name], p95[name] = _figures(found, 0.5), _figures(found, 0.95)
        path.write_text(json.dumps({**figures, **medians}, indent=2) + "\n")  # now: the next may take minutes
    print(_table(medians, p95))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
