"""A federation without protection, for comparison only: the same programs and frames, values added as they are.

This lives here and not in the product, so that no configuration of the product can reach it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from riskfed.protocols import opening, party, switchboard


class _Plain:
    """Bytes of int64, neither masked nor checked."""

    name = "none"

    def protect(self, values: np.ndarray, step: int, bound: int) -> bytes:
        return values.tobytes()

    def share(self, combined: bytes, step: int) -> bytes:
        return b""

    def reveal(self, combined: bytes, shares: Mapping[str, bytes], step: int) -> np.ndarray:
        return np.frombuffer(combined, dtype=np.int64)

    def combine(self, parts: Sequence[bytes]) -> bytes:
        return np.sum([np.frombuffer(part, dtype=np.int64) for part in parts], axis=0).tobytes()


def _open(seat: opening.Seat) -> Iterator[Any]:
    return None, _Plain()
    yield


def _compare_nothing(seat: opening.Seat, keys: None, own: bytes) -> Iterator[Any]:
    return
    yield


@contextmanager
def unprotected() -> Iterator[None]:
    """Within it, `riskfed.simulate` runs without keys, canary, masks and checks."""
    running, real = switchboard.State.RUNNING, switchboard.Switchboard.__init__

    def started(self: switchboard.Switchboard, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        self._state, self._combiner = running, _Plain()

    with (
        mock.patch.object(party, "open_protection", _open),
        mock.patch.object(party, "compare_sums", _compare_nothing),
        mock.patch.object(switchboard.Switchboard, "__init__", started),
    ):
        yield
