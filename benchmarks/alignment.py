"""What it costs to align customers: the table of docs/alignment.md.

    python -m benchmarks.alignment [--customers 10000 100000 1000000] [--overlap 0.5]

A label holder and a feature holder with equally many customers, of whom a share is common, run in one process, one after the other, so that
CPU time can be told apart. Bytes are those of the payloads; sealing adds 48 to each. Writes runs/bench/alignment.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from riskfed.protocols.alignment import align
from riskfed.protocols.program import Exchange, Program, SharedSecret

FOLDER = Path("runs/bench")
ROSTER = ("lender", "partner")
LABEL_HOLDER = "lender"


@dataclass(frozen=True)
class Cost:
    """Of one alignment.

    Attributes:
        customers: of each party.
        common: of both.
        cpu_s: party -> CPU seconds.
        sent_mb: party -> 10^6 bytes.
        exchanges: lock-steps.
        peak_gib: most memory of the process, which holds both parties.
    """

    customers: int
    common: int
    cpu_s: dict[str, float]
    sent_mb: dict[str, float]
    exchanges: int
    peak_gib: float


def measure(customers: int, overlap: float) -> Cost:
    """Align two parties with so many customers each."""
    first = int(customers * (1 - overlap))
    ids = {name: customer_ids(at, customers) for name, at in zip(ROSTER, (0, first))}
    programs = {name: align(ids[name], name, ROSTER, LABEL_HOLDER, kept=None) for name in ROSTER}
    cpu: dict[str, float] = defaultdict(float)
    sent: dict[str, int] = defaultdict(int)
    answers: dict[str, Any] = dict.fromkeys(ROSTER)
    outcomes: dict[str, Any] = {}
    exchanges, secret = 0, os.urandom(32)
    while not outcomes:
        requests: dict[str, Exchange] = {}
        for name, program in programs.items():
            started = time.process_time()
            try:
                requests[name] = advance(program, answers[name], secret)
            except StopIteration as stop:
                outcomes[name] = stop.value
            cpu[name] += time.process_time() - started
        for name, request in requests.items():
            sent[name] += sum(map(len, request.payloads.values()))
        exchanges += bool(requests)
        answers = {
            name: {sender: request.payloads[name] for sender, request in requests.items() if name in request.payloads}
            for name in requests
        }
    common = {len(alignment) for alignment in outcomes.values()}
    expected = len(np.intersect1d(ids[ROSTER[0]], ids[ROSTER[1]]))
    if common != {expected} or len({alignment.digest for alignment in outcomes.values()}) != 1:
        raise SystemExit(f"aligned {common} customers; expected {expected} at both parties")
    megabytes = {name: size / 1e6 for name, size in sent.items()}
    return Cost(customers, expected, dict(cpu), megabytes, exchanges, peak_gib())


def advance(program: Program[Any], answer: Any, secret: bytes) -> Exchange:
    """Run one party up to its next exchange."""
    request = program.send(answer)
    while not isinstance(request, Exchange):
        request = program.send(secret if isinstance(request, SharedSecret) else None)
    return request


def customer_ids(first: int, count: int) -> np.ndarray:
    """(count,) ids in a random order."""
    ids = np.array([f"AB{number:08d}".encode() for number in range(first, first + count)])
    return np.random.default_rng(first).permutation(ids)


def peak_gib() -> float:
    """Most memory that this process has had, in GiB, where the system counts it in KiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--overlap", type=float, default=0.5, help="share of common customers")
    chosen = parser.parse_args(arguments)
    print(
        "| customers a side | common | CPU s, label holder | CPU s, feature holder | MB sent | exchanges | peak GiB |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    costs = []
    for customers in chosen.customers:
        cost = measure(customers, chosen.overlap)
        costs.append(asdict(cost))
        lender, partner = (f"{cost.cpu_s[name]:.1f}" for name in ROSTER)
        megabytes = " + ".join(f"{cost.sent_mb[name]:.1f}" for name in ROSTER)
        print(
            f"| {customers:,} | {cost.common:,} | {lender} | {partner} | {megabytes} | {cost.exchanges} | {cost.peak_gib:.2f} |",
            flush=True,
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "alignment.json").write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
