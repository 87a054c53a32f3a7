"""Threads for compiled code, which lets go of Python's lock. Each writes to its own place: results do not depend on their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError

SEGMENT_ROWS = 1 << 17
"""Rows of a segment: few enough that what a node's rows touch stays in the cache, enough that a node has many rows in each."""
LEAST_ROWS = 1 << 14
"""Rows below which a second segment, and so a second thread, costs more than it saves."""

_SEGMENTS_PER_THREAD = 4

_Share = TypeVar("_Share")
_Outcome = TypeVar("_Outcome")


class Workers:
    """A number of threads, the caller's among them. Idle ones end when the object is no longer used.

    Args:
        threads: 1 or more; with one, all is done in the caller's thread.

    Raises:
        ConfigurationError: fewer than one thread.
    """

    def __init__(self, threads: int = 1) -> None:
        if threads < 1:
            raise ConfigurationError(f"{threads} threads; expected at least 1")
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "riskfed-trees") if threads > 1 else None

    def shares(self, items: int) -> list[NDArray[np.int64]]:
        """Deal out the numbers 0 to ``items - 1``: one array for each thread that gets any, at least one array."""
        # Dealt in turn: rows are often sorted by date or branch, and so is what there is to do for them.
        return [
            np.arange(first, items, self.threads, dtype=np.int64) for first in range(max(1, min(self.threads, items)))
        ]

    def map(self, task: Callable[[_Share], _Outcome], shares: Sequence[_Share]) -> list[_Outcome]:
        """Do ``task`` with every share at once, the first one in the caller's thread; the outcomes in order.

        Raises whatever the task raises, once no thread is at work any more.
        """
        if self._pool is None or len(shares) == 1:
            return [task(share) for share in shares]
        futures = [self._pool.submit(task, share) for share in shares[1:]]
        try:
            first = task(shares[0])
        finally:
            wait(futures)
        return [first, *(future.result() for future in futures)]

    def each(self, task: Callable[[int], _Outcome], items: int) -> list[_Outcome]:
        """The outcomes of ``task`` for the numbers 0 to ``items - 1``, in their order; errors as in `map`."""
        shares = self.shares(items)
        done = self.map(lambda share: [task(item) for item in share.tolist()], shares)
        by_number = dict(zip(np.concatenate(shares).tolist(), chain.from_iterable(done), strict=True))
        return [by_number[item] for item in range(items)]


def segment_borders(rows: int, threads: int) -> NDArray[np.int64]:
    """Where to cut ``rows`` rows into segments of about equal size.

    Returns:
        (s + 1,) int64, s at least 1, from 0 to ``rows``. Segments have about `SEGMENT_ROWS` rows; with several threads there are
        some for each, unless they would fall below `LEAST_ROWS`.
    """
    wanted = max(-(-rows // SEGMENT_ROWS), _SEGMENTS_PER_THREAD * threads if threads > 1 else 1)
    # As many for each thread, so that none waits for another.
    even = -(-wanted // threads) * threads
    segments = max(1, min(even, rows // LEAST_ROWS))
    return np.arange(segments + 1, dtype=np.int64) * rows // segments
