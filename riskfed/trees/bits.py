"""Arrays as few bytes: numbers of a fixed number of bits, and floats laid out so that a compressor finds what they share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RegistryError


def width_of(n: int) -> int:
    """Bits that the numbers 0 to n - 1 take; at least 1."""
    return max(1, (n - 1).bit_length())


def pack_numbers(numbers: NDArray[np.intp], width: int) -> bytes:
    """(n,) numbers below 2^width, the highest bit of each first, without gaps; zeros fill the last byte."""
    places = np.arange(width - 1, -1, -1, dtype=np.uint32)
    return np.packbits((numbers.astype(np.uint32)[:, None] >> places & 1).astype(np.bool_)).tobytes()


def packed_size(n: int, width: int) -> int:
    """Bytes of n numbers of so many bits."""
    return -(-n * width // 8)


def unpack_numbers(data: bytes, n: int, width: int) -> NDArray[np.intp]:
    """(n,) intp numbers from `packed_size` bytes.

    Raises:
        RegistryError: the last byte is not filled up with zeros.
    """
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    if bits[n * width :].any():
        raise RegistryError("the compact model has bits where there should be none; make the file again")
    numbers = np.zeros(n, dtype=np.uint32)
    for place in bits[: n * width].reshape(n, width).T:
        numbers = numbers << np.uint32(1) | place
    return numbers.astype(np.intp)


def to_planes(values: NDArray[np.float32]) -> bytes:
    """All first bytes, sign and exponent, then all second ones, and so on: the first ones are alike, and compress."""
    return values.astype(">f4").view(np.uint8).reshape(-1, 4).T.tobytes()


def from_planes(data: bytes) -> NDArray[np.float32]:
    """(n,) float32 from 4n bytes, the same to the last bit."""
    return np.frombuffer(data, dtype=np.uint8).reshape(4, -1).T.copy().view(">f4").reshape(-1).astype(np.float32)
