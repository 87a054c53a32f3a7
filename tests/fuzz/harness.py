"""What is asked of everything that takes bytes from another party: errors of our own, bounded memory and time, and no other way out."""

from __future__ import annotations

import base64
import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riskfed.errors import RiskfedError
from tests.fuzz.mutator import Mutator

MOST_SECONDS = 5.0
"""CPU time for one input."""
MOST_GROWTH = 192 << 20
"""Bytes of memory for all inputs of a target, what it imports and compiles included; a length that lies asks for far more."""

Session = tuple[Callable[[Mutator], Any], Callable[[Any], None]]
"""(makes an input, feeds it)."""


@dataclass(frozen=True)
class Target:
    """One border.

    Attributes:
        name: of what takes the input.
        count: inputs in the bounded test.
        open: a context in which inputs can be made and fed. `feed` raises `RiskfedError` for what is refused, and
            `AssertionError` for what should not be.
    """

    name: str
    count: int
    open: Callable[[], AbstractContextManager[Session]]


class FindingError(AssertionError):
    """An input that did what none may do."""


@dataclass
class Tally:
    """Inputs fed, and how many were taken rather than refused."""

    inputs: int = 0
    taken: int = 0


def simply(
    make: Callable[[Mutator], Any], feed: Callable[[Any], None]
) -> Callable[[], AbstractContextManager[Session]]:
    """For targets that need nothing opened."""
    return lambda: nullcontext((make, feed))


def run_target(target: Target, seed: int, rounds: Callable[[], Iterator[int]]) -> Tally:
    """Feed inputs made from `seed` as long as `rounds` goes on.

    Raises:
        FindingError: names the target, and has the seed and the input.
    """
    _forget_peak()
    mutator, tally, before = Mutator(seed), Tally(), peak()
    with target.open() as (make, feed):
        for number in rounds():
            given = make(mutator)
            started = time.thread_time()
            try:
                feed(given)
                tally.taken += 1
            except RiskfedError:
                pass
            except Exception as error:
                raise FindingError(
                    f"{_described(target, seed, number, given)}: {type(error).__name__}: {error}"
                ) from error
            if (took := time.thread_time() - started) > MOST_SECONDS:
                raise FindingError(f"{_described(target, seed, number, given)}: took {took:.1f} s")
            tally.inputs += 1
    if (grown := peak() - before) > MOST_GROWTH:
        raise FindingError(f"{target.name}, seed {seed}: {grown >> 20} MiB of memory")
    return tally


def _forget_peak() -> None:
    """On Linux, let the peak start from what is in memory now; elsewhere it stays that of the whole process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Bytes; the most that this process has had in memory."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _described(target: Target, seed: int, number: int, given: Any) -> str:
    shown = base64.b64encode(given).decode() if isinstance(given, bytes) else repr(given)
    return f"{target.name}, seed {seed}, input {number}, {shown[:4000]}"
