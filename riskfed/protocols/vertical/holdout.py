"""Which customers are held out: a choice that all parties of a vertical job make alike, without a word."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def is_held_out(ids: NDArray[np.bytes_], fraction: float, seed: int) -> NDArray[np.bool_]:
    """(n,) bool, true for the customers that are held out: by a hash (BLAKE2b) of id and seed, so that neither row nor party matters.

    Args:
        ids: (n,) normalised customer ids.
        fraction: share that is held out.
        seed: picks another hash.
    """
    below, key = int(fraction * 2**64), seed.to_bytes(8, "big", signed=False)
    hashed = (hashlib.blake2b(one, digest_size=8, key=key).digest() for one in ids.tolist())
    return np.fromiter((int.from_bytes(digest, "big") < below for digest in hashed), dtype=np.bool_, count=len(ids))
