"""Many small signed integers in one big one, so that a Paillier plaintext carries dozens of values.

    plaintext = sum_i v_i 2^(o_i),  |v_i| < 2^(w_i - 1)

is one signed integer, and it stays additive: the sum of plaintexts is the plaintext of the sums. Slots are those of
`riskfed.secure.slots`, as many to a plaintext as fit, in order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gmpy2 import mpz

from riskfed.errors import ProtectionError
from riskfed.secure.slots import WORD_BITS, Widths, read_slots, words_for, write_slots


def plaintext_slices(widths: Widths, modulus_bits: int) -> list[slice]:
    """Which slots lie in which plaintext, so that every packed integer is in (-n/2, n/2) for every n of `modulus_bits` bits.

    The integer is below 2^(bits - 1) in absolute value, for slots of so many bits in all, and n/2 is at least
    2^(modulus_bits - 2), so modulus_bits - 1 bits will do.
    """
    ends = np.cumsum(widths, dtype=np.int64)
    slices: list[slice] = []
    begin, before = 0, 0
    while before < (ends[-1] if len(ends) else 0):
        end = int(np.searchsorted(ends, before + modulus_bits - 1, side="right"))
        slices.append(slice(begin, end))
        begin, before = end, int(ends[end - 1])
    return slices


def pack(values: np.ndarray, widths: Widths, modulus_bits: int) -> list[mpz]:
    """Pack values into signed integers.

    Args:
        values: (n,) int64 that fit their slots.
        widths: (n,) uint8 bits of the slots.
        modulus_bits: length of the plaintexts' modulus, 65 at least.

    Returns:
        One integer for each of `plaintext_slices`.
    """
    return [_join(values[part], widths[part]) for part in plaintext_slices(widths, modulus_bits)]


def unpack(plaintexts: Sequence[mpz], modulus: mpz, widths: Widths) -> np.ndarray:
    """Undo `pack`, on residues.

    Args:
        plaintexts: residues in [0, modulus) of packed integers or of sums of them.
        modulus: the plaintexts' modulus.
        widths: as packed.

    Returns:
        (n,) int64.

    Raises:
        ProtectionError: too few plaintexts, or one is not a packed integer, as when masks did not cancel.
    """
    slices = plaintext_slices(widths, modulus.bit_length())
    if len(plaintexts) != len(slices):
        raise ProtectionError(f"got {len(plaintexts)} plaintexts; expected {len(slices)} for {len(widths)} values")
    values = np.zeros(len(widths), dtype=np.int64)
    for part, plaintext in zip(slices, plaintexts, strict=True):
        values[part] = _split(plaintext if 2 * plaintext < modulus else plaintext - modulus, widths[part])
    return values


def _join(values: np.ndarray, widths: Widths) -> mpz:
    words = np.empty(words_for(widths), dtype=np.uint64)
    write_slots(values, widths, words)
    integer = mpz.from_bytes(words.astype("<u8", copy=False).tobytes(), "little")
    # Words are mod 2^(64 words), so a negative integer stands there as its complement.
    return integer - (mpz(1) << WORD_BITS * len(words)) if words[-1] >> np.uint64(WORD_BITS - 1) else integer


def _split(integer: mpz, widths: Widths) -> np.ndarray:
    bits, words = int(widths.sum(dtype=np.int64)), words_for(widths)
    # |integer| <= 2^(bits - 1) - 1 for every packed one.
    if abs(integer).bit_length() >= bits:
        raise ProtectionError(
            "a plaintext is not a packed sum: a bank's part is missing or foreign, or was changed on its way"
        )
    stored = (integer % (mpz(1) << WORD_BITS * words)).to_bytes(8 * words, "little")
    return read_slots(np.frombuffer(stored, dtype="<u8").astype(np.uint64, copy=False), widths)
