"""Before a result is released, the banks make sure that all of them were given the same sums.

Every sum carries a check value that a server cannot forge (`riskfed.secure.integrity`), so a changed sum is found at once. The running
hash does not rest on that check: two banks that revealed different sums, for whatever reason, have different hashes, and neither
releases a model. It travels sealed from bank to bank, so the server can neither read nor replace it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any

import numpy as np

from riskfed.errors import ProtectionError
from riskfed.protocols.opening import Ask, Seat, Tell
from riskfed.secure.keys import SessionKeys
from riskfed.secure.sealed import open_sealed, seal

_PURPOSE = "running hash of the sums"


class RunningHash:
    """SHA-256 over all sums that one bank has revealed, each with its step."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"riskfed sums v1")

    def add(self, step: int, pooled: np.ndarray) -> None:
        """Take in the (k,) int64 sum of `step`."""
        self._hash.update(step.to_bytes(8, "big") + len(pooled).to_bytes(8, "big") + pooled.astype("<i8").tobytes())

    def digest(self) -> bytes:
        """32 bytes that stand for all sums so far."""
        return self._hash.digest()


def compare_sums(seat: Seat, keys: SessionKeys, own: bytes) -> Generator[Ask | Tell, Any, None]:
    """Compare `own` running hash with every other bank's, under seal.

    Raises:
        ProtectionError: banks were given different sums, or a hash is missing or was changed on its way.
    """
    step = seat.step
    received = yield from seat.exchange({bank: seal(keys, bank, own, _PURPOSE, step) for bank in keys.others})
    if silent := [bank for bank in keys.others if bank not in received]:
        raise ProtectionError(f"no running hash of the sums came from {', '.join(silent)}; nothing is released")
    differing = [bank for bank in keys.others if open_sealed(keys, bank, received[bank], _PURPOSE, step) != own]
    if differing:
        raise ProtectionError(
            f"{', '.join(differing)} revealed other sums than {seat.name}: the server gave banks different sums, or a bank's "
            "node is at fault. Nothing is released; the consortium must look at the server"
        )
