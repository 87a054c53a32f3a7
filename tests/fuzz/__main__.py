"""Fuzzing with a time budget and a new seed each time: ``make fuzz``; FUZZ_SECONDS and FUZZ_SEED from the environment."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator

from tests.fuzz.harness import FindingError, Tally, run_target
from tests.fuzz.targets import TARGETS

_SLICES = 4
"""Every target gets its turn so many times, each with a seed of its own."""


def main() -> int:
    """Fuzz; 0 where nothing was found, 1 otherwise."""
    budget = float(os.environ.get("FUZZ_SECONDS", "600"))
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbits(32))
    print(f"seed {seed}, {budget:g} s; the same again: FUZZ_SEED={seed} make fuzz", flush=True)
    found, totals, share = 0, {target.name: Tally() for target in TARGETS}, budget / _SLICES / len(TARGETS)
    for turn in range(_SLICES):
        for target in TARGETS:
            try:
                tally = run_target(target, seed + turn, lambda: _until(time.monotonic() + share))
            except FindingError as finding:
                found += 1
                print(f"FOUND {finding}", flush=True)
            else:
                totals[target.name].inputs += tally.inputs
                totals[target.name].taken += tally.taken
    for name, tally in totals.items():
        print(f"{name:34} {tally.inputs:>10,} inputs, {tally.taken:>9,} taken")
    print(f"{sum(tally.inputs for tally in totals.values()):,} inputs, {found} findings, seed {seed}")
    return 1 if found else 0


def _until(deadline: float) -> Iterator[int]:
    number = 0
    while time.monotonic() < deadline:
        yield number
        number += 1


if __name__ == "__main__":
    sys.exit(main())
