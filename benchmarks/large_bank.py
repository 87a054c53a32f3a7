"""One large bank among two small ones: loads its Parquet shards through the connector and trains. One process, so that its memory counts.

    python -m benchmarks.large_bank FOLDER SCRATCH --trees 10 --threads 2

Prints one line of JSON: rows, peak resident GiB (pages of mapped files included) and seconds. Those of cuts and training are the
large bank's own, without protection and the other banks, which cost the same whatever the number of its rows.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bank_nodes.holdings import load_records
from bank_nodes.settings import DataConfig
from riskfed.datasets import SyntheticLoans
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.horizontal_xgboost import train
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Program, Progress
from riskfed.protocols.records import Records
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Feature, Schema
from riskfed.secure.keys import Identity

LOANS = SyntheticLoans(n_banks=3, seed=0)
SMALL_BANK_ROWS = 10_000
_LEFT_OUT = "channel"


def schema() -> Schema:
    """26 columns of the synthetic loans: the numeric ones as they are, categories as ordinal ones."""
    full = LOANS.schema()
    features = [_one_column(feature) for feature in full.features if feature.name != _LEFT_OUT]
    return Schema(name=full.name, target=full.target, features=tuple(features))


def _one_column(feature: Feature) -> Feature:
    return feature if feature.encoding == "numeric" else feature.model_copy(update={"encoding": "ordinal"})


class _Clock:
    """What a program takes by itself, without protection, other banks and switchboard: wall and CPU seconds, in all and after trees."""

    def __init__(self) -> None:
        self.spent = np.zeros(2)
        self.after_tree: list[np.ndarray] = []

    def watch(self, program: Program[Any]) -> Program[Any]:
        answer = None
        while True:
            started = _now()
            try:
                request = program.send(answer)
            except StopIteration as end:
                return end.value
            finally:
                self.spent = self.spent + _now() - started
            if isinstance(request, Progress):
                self.after_tree.append(self.spent)
            answer = yield request


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def measure(folder: Path, scratch: Path, trees: int, threads: int) -> dict[str, float]:
    """Load and train."""
    started = time.perf_counter()
    records = load_records(DataConfig(path=folder, kind="parquet", scratch=scratch), schema())
    loaded, loading_gib = time.perf_counter() - started, _peak_gib()
    job = HorizontalXgboost(n_estimators=trees, max_depth=6, max_bin=256)
    clock = _Clock()
    started = time.perf_counter()
    _run(records, job, threads, clock)
    # Cuts, bins and what else comes before the first tree: all but the trees, each of which takes what a later one does.
    training, cpu = (clock.after_tree[-1] - clock.after_tree[0]) * trees / (trees - 1)
    return {
        "rows": len(records),
        "columns": len(records.columns),
        "rss_gib": _peak_gib(),
        "rss_gib_after_loading": loading_gib,
        "s_loading": loaded,
        "s_cuts": clock.after_tree[-1][0] - training,
        "s_training": training,
        "cpu_s_training": cpu,
        "s_run": time.perf_counter() - started,
        "s_per_million_rows": training / len(records) * 1e6,
    }


def _run(records: Records, job: HorizontalXgboost, threads: int, clock: _Clock) -> None:
    names = [LOANS.bank(number).name for number in range(LOANS.n_banks)]
    plan = Plan(
        run=f"scale-{secrets.token_hex(8)}",
        roster=tuple(names),
        job=job,
        schema_fingerprint=schema().fingerprint,
        protection="masking",
    )
    identities = {name: Identity.generate() for name in names}
    pinned = {name: identity.public for name, identity in identities.items()}
    small = [Records.from_frame(LOANS.bank(number).shard(0, SMALL_BANK_ROWS), schema()) for number in (1, 2)]
    programs = [
        lambda: clock.watch(train(records, schema(), job, threads=threads)),
        *(partial(train, own, schema(), job) for own in small),
    ]
    parties = {
        name: Party(Seat(name, identities[name], pinned, plan), program)
        for name, program in zip(names, programs, strict=True)
    }
    LocalSwitchboard(Switchboard(plan, transport="local"), parties, names).run()
    outcomes = {party.outcome.release.to_bytes() for party in parties.values()}
    if len(outcomes) != 1:
        raise SystemExit("the banks do not hold the same model")


def _peak_gib() -> float:
    """Most memory that this process has held at a time; unlike ru_maxrss, without what its parent held."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**20


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="Parquet files")
    parser.add_argument("scratch", type=Path, help="folder for mapped files")
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.folder, arguments.scratch, arguments.trees, arguments.threads)))


if __name__ == "__main__":
    main()
