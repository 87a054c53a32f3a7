"""``make faults``: hurt a running federation in every way of the catalogue, and write down what becomes of it.

    python -m tests.faults [--only vault --only SIGSTOP] [--seed 1] [--trees 150]

Writes runs/faults.json (with --only, the named cases of it anew), and the table of docs/faults.md with --write-docs. Cases that need
root (a small disk) are left out without it, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.bench import Bench, Case, mount_small_disk, pick, unmount
from tests.faults.cases import FAULTS, Fault, moment

FOLDER = Path("runs/faults")
DOCS = Path("docs/faults.md")
START, END = "<!-- table: make faults -->", "<!-- end of table -->"


def run_case(bench: Bench, fault: Fault, rng: random.Random) -> Case:
    """One run, hurt once."""
    bank, after = pick(rng), moment(rng, bench.job.n_estimators)
    watched = bench.begin(fault.name, limits=fault.limits)
    _wait(lambda: watched.trees >= after or watched.ended, 300, "the run does not get on")
    assert not watched.ended, f"{fault.name}: the run ended before it was hurt: {watched.clear}"
    hurt_at, trees = time.monotonic(), watched.trees
    mend = fault.hurt(bench, bank)
    gets_on = trees + 1 if fault.heals else bench.job.n_estimators
    _wait(lambda: watched.ended or watched.trees > gets_on, fault.limit, "neither trees nor an error came")
    told, told_after = "", 0.0
    if watched.ended and watched.clear:
        told, told_after = watched.clear.partition("; the end of its log")[0], time.monotonic() - hurt_at
        mend()
        watched = bench.begin(fault.name, resume=True)
        _wait(lambda: watched.ended or watched.trees > 0, 300, "the resumed run does not get on")
    recovery = (watched.last_tree_at or time.monotonic()) - hurt_at if watched.trees else time.monotonic() - hurt_at
    _wait(lambda: watched.ended, 600, "the run does not end")
    identical = not watched.clear and bench.identical(fault.name)
    return {
        "name": fault.name,
        "fault": fault.what,
        "outcome": _outcome(told, watched.clear, identical),
        "told": told,
        "told_after_s": round(told_after, 1),
        "identical_or_clear_error": identical or bool(told),
        "identical": identical,
        "by_itself": not told,
        "recovery_s": round(recovery, 1),
        "after_tree": after,
        "trees_then": trees,
        "attempts": watched.outcome.attempts if watched.outcome is not None else 0,
    }


def _outcome(told: str, failed: str, identical: bool) -> str:
    if failed:
        return f"failed: {failed}"
    model = "the identical model" if identical else "ANOTHER MODEL"
    return f"clear error, then by `riskfed train --resume` {model}" if told else f"by itself {model}"


def _wait(ready, timeout: float, otherwise: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.05)


def table(cases: list[Case]) -> str:
    """The cases as Markdown."""
    lines = ["| fault | what becomes of the run | gets on after |", "|---|---|---|"]
    for case in cases:
        told = f"; the operator is told after {case['told_after_s']:.0f} s: *{case['told']}*" if case["told"] else ""
        lines.append(f"| {case['fault']} | {case['outcome']}{told} | {case['recovery_s']:.0f} s |")
    return "\n".join(lines)


def run_all(names: list[str], seed: int, trees: int) -> list[Case]:
    """All cases, or those named, one after the other on one federation."""
    rng = random.Random(seed)
    root = os.geteuid() == 0
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    for fault in chosen:
        if fault.needs_disk and not root:
            print(f"left out, needs root: {fault.name}")
    chosen = [fault for fault in chosen if root or not fault.needs_disk]
    shutil.rmtree(FOLDER, ignore_errors=True)
    disk = Path(tempfile.mkdtemp(prefix="riskfed-disk-"))
    cases: list[Case] = []
    if root:
        mount_small_disk(disk, 64)
    try:
        with Bench(FOLDER.resolve(), trees, small_disk=disk if root else None) as bench:
            print(f"pooled model of {trees} trees: {len(bench.expected):,} bytes")
            for fault in chosen:
                try:
                    cases.append(run_case(bench, fault, rng))
                except (TimeoutError, AssertionError) as error:
                    failed = {"outcome": f"failed: {error}", "told": "", "identical_or_clear_error": False}
                    cases.append({"name": fault.name, "fault": fault.what, **failed, "recovery_s": 0.0})
                print(json.dumps(cases[-1]), flush=True)
    finally:
        if root:
            unmount(disk)
        disk.rmdir()
    return cases


def main() -> int:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", action="append", default=[], choices=[fault.name for fault in FAULTS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trees", type=int, default=150)
    parser.add_argument("--write-docs", action="store_true")
    arguments = parser.parse_args()
    output = Path("runs/faults.json")
    cases = run_all(arguments.only, arguments.seed, arguments.trees)
    if arguments.only and output.exists():
        again = {case["name"]: case for case in cases}
        before = json.loads(output.read_text())["cases"]
        cases = [again.pop(case["name"], case) for case in before] + list(again.values())
    print(table(cases))
    output.write_text(json.dumps({"seed": arguments.seed, "cases": cases}, indent=2) + "\n")
    if arguments.write_docs:
        before, _, rest = DOCS.read_text().partition(START)
        DOCS.write_text(f"{before}{START}\n{table(cases)}\n{END}{rest.partition(END)[2]}")
    print(f"written to {output}")
    return 0 if all(case["identical_or_clear_error"] for case in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
