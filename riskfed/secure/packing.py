"""Many small signed integers in one big one, so that a Paillier plaintext carries dozens of values.

    plaintext = sum_i v_i 2^(w i),  |v_i| < 2^(w-1)

is one signed integer, and it stays additive: the sum of plaintexts is the plaintext of the sums. (A bias per value
would have to be counted bank by bank; here it is added only to decode, once.) Slot widths are whole bytes, so that
packing is a copy of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from gmpy2 import mpz

from riskfed.errors import ProtectionError

MINIMUM_WIDTH: Final = 40
"""Room for the sum of 255 limbs of 31 bits, with a sign (`riskfed.secure.integrity`)."""
MAXIMUM_WIDTH: Final = 64


def slot_width(bound: int) -> int:
    """Bits of a slot for values of at most `bound` in absolute value: 40, 48, 56 or 64.

    Raises:
        ProtectionError: the bound is 2^63 or more.
    """
    width = max(MINIMUM_WIDTH, -(-(bound.bit_length() + 1) // 8) * 8)
    if width > MAXIMUM_WIDTH:
        raise ProtectionError(f"a bound of {bound.bit_length()} bits does not fit a slot; expected at most 63 bits")
    return width


def slots_per_plaintext(modulus_bits: int, width: int) -> int:
    """Most slots k such that every packed integer is in (-n/2, n/2) for every n of `modulus_bits` bits.

    The integer is below 2^(w k - 1) and n/2 is at least 2^(modulus_bits - 2), so w k <= modulus_bits - 1 will do.
    """
    return (modulus_bits - 1) // width


def pack(values: np.ndarray, width: int, slots: int) -> list[mpz]:
    """Pack values, `slots` to an integer.

    Args:
        values: (n,) int64, |value| < 2^(width-1).
        width: bits of a slot: 40, 48, 56 or 64.
        slots: values in an integer; the last one is filled with zeros.

    Returns:
        ceil(n / slots) signed integers, |integer| < 2^(width * slots - 1).
    """
    count = -(-len(values) // slots)
    biased = np.full(count * slots, 1 << (width - 1), dtype="<u8")
    # With the bias every slot is non-negative, so slots do not borrow from each other and lie side by side in memory.
    biased[: len(values)] += values.astype("<i8", copy=False).view("<u8")
    row = slots * width // 8
    stored = np.ascontiguousarray(biased.view(np.uint8).reshape(-1, 8)[:, : width // 8]).tobytes()
    bias = _bias(width, slots)
    return [mpz.from_bytes(stored[i : i + row], "little") - bias for i in range(0, count * row, row)]


def unpack(plaintexts: Sequence[mpz], modulus: mpz, width: int, slots: int, count: int) -> np.ndarray:
    """Undo `pack`, on residues.

    Args:
        plaintexts: residues in [0, modulus) of packed integers or of sums of them.
        modulus: the plaintexts' modulus.
        width, slots: as packed.
        count: number of values packed.

    Returns:
        (count,) int64.

    Raises:
        ProtectionError: too few plaintexts, or one is not a packed integer, as when masks did not cancel.
    """
    if len(plaintexts) != -(-count // slots):
        raise ProtectionError(
            f"got {len(plaintexts)} plaintexts of {slots} slots; expected {-(-count // slots)} for {count} values"
        )
    bias, row = _bias(width, slots), slots * width // 8
    biased = [(plaintext + bias) % modulus for plaintext in plaintexts]
    if any(value.bit_length() > width * slots for value in biased):
        raise ProtectionError(
            "a plaintext is not a packed sum: a bank's part is missing or foreign, or was changed on its way"
        )
    stored = b"".join(value.to_bytes(row, "little") for value in biased)
    words = np.zeros((len(plaintexts) * slots, 8), dtype=np.uint8)
    words[:, : width // 8] = np.frombuffer(stored, dtype=np.uint8).reshape(-1, width // 8)
    values = words.view("<u8").reshape(-1)[:count] - np.uint64(1 << (width - 1))
    return values.view("<i8").astype(np.int64, copy=False)


def _bias(width: int, slots: int) -> mpz:
    """sum_i 2^(w - 1) 2^(w i)."""
    return ((mpz(1) << (width * slots)) - 1) // ((mpz(1) << width) - 1) << (width - 1)
