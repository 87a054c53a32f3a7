"""Where measuring coalitions can go on after a bank, a courier or the server was lost: at the last batch that all banks have.

Secret: nothing that the bank does not see anyway; the journal holds utilities, and a fingerprint of the bank's own records. A bank whose
records have changed says that it has nothing, and all begin anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from riskfed.errors import ConfigurationError, ProtectionError
from riskfed.protocols.program import Program, Sum

Utilities = list[float | None]
"""Of coalitions in their order; None of those that gave no model."""
_COUNT_BOUND = 1 << 20
_MARK_BOUND = 1 << 40


def entry(records: str, number: int, utilities: Utilities) -> bytes:
    """The journal's entry after batch `number`, counted from 0.

    Args:
        records: fingerprint of the rows that this bank measures with.
        number: of the batch.
        utilities: of the batch's coalitions.
    """
    said = {"records": records, "number": number, "utilities": utilities}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def agree_on_batches(journal: Sequence[bytes], records: str, batches: int) -> Program[Utilities]:
    """One bank's side of finding the last batch that all banks have.

    Args:
        journal: what this bank has kept.
        records: fingerprint of its rows as they are now.
        batches: how many there are in all.

    Returns:
        The utilities of all batches up to that one; the same at every bank.

    Raises:
        ConfigurationError: the journal is damaged.
        ProtectionError: the banks have different utilities of the same run.
    """
    own = _read(journal, records)
    reached = np.zeros(batches + 1, dtype=np.int64)  # counts banks, and those with at least 1, 2, ... batches
    reached[: len(own) + 1] = 1
    pooled = yield Sum(reached, _COUNT_BOUND)
    common = int(np.flatnonzero(pooled == pooled[0])[-1])
    kept = own[:common]
    text = json.dumps(kept).encode()
    mark = np.frombuffer(hashlib.sha256(b"riskfed coalitions v1" + text).digest(), dtype="<u4").astype(np.int64)
    marks = yield Sum(mark, _MARK_BOUND)
    if (marks != mark * pooled[0]).any():
        raise ProtectionError(
            "the banks' checkpoints of this run differ, though they were made from the same sums; the operator must start a new run"
        )
    return [utility for batch in kept for utility in batch]


def _read(journal: Sequence[bytes], records: str) -> list[Utilities]:
    """Batches in order; a later entry with a number that was there before takes its place and ends what came after."""
    batches: list[Utilities] = []
    try:
        for said in map(json.loads, journal):
            if said["records"] != records:
                return []
            utilities = [None if utility is None else float(utility) for utility in said["utilities"]]
            batches[range(len(batches) + 1)[said["number"]] :] = [utilities]  # an IndexError where a batch is missing
    except (ValueError, KeyError, TypeError, IndexError):
        raise ConfigurationError(
            "the run's checkpoint is damaged; the bank must delete it to start the run anew"
        ) from None
    return batches
