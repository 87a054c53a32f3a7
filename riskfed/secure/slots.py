"""Signed integers side by side in one long integer, each in as many bits as its bound needs.

    integer = sum_i v_i 2^(o_i)  mod 2^(64 words),   o_i = w_0 + ... + w_(i-1),   |v_i| < 2^(w_i - 1)

The long integer is additive: the sum of such integers is the integer of the sums, whatever the widths, as long as no
sum leaves its slot. Whoever adds needs to know neither widths nor values. A negative value borrows from the slot above
it; reading goes from the lowest slot upwards and gives each borrow back. A value whose bound is 0 takes no bit at all.

A long integer is (words,) uint64, lowest first. Its sums are mod 2^(64 words), a group: added to an integer that is
uniform there, as a stream cipher's words are, any other becomes uniform, carries and all.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from riskfed.errors import ProtectionError

MAXIMUM_BOUND: Final = 2**62
WORD_BITS: Final = 64

Words = NDArray[np.uint64]
Widths = NDArray[np.uint8]
Bound = int | NDArray[np.int64]
"""One bound of all values, or (n,) int64 with one for each; from 0 to 2^62."""

_ALL = np.uint64(2**64 - 1)


def slot_widths(bound: Bound, count: int) -> Widths:
    """(count,) uint8 bits of the slots of values that are bounded in absolute value: 0, or 2 to 64, with the sign.

    Raises:
        ProtectionError: a bound is not within 0 and 2^62, or there is another number of them than of values.
    """
    if isinstance(bound, int):
        if not 0 <= bound <= MAXIMUM_BOUND:
            raise ProtectionError(f"got the bound {bound}; expected 0 to 2^62, so that sums stay below 2^63")
        return np.full(count, bound.bit_length() + 1 if bound else 0, dtype=np.uint8)
    if bound.dtype != np.int64 or bound.shape != (count,):
        raise ProtectionError(f"got {bound.dtype} bounds of shape {bound.shape}; expected int64 ({count},)")
    widths = np.empty(count, dtype=np.uint8)
    if not _write_widths(bound, widths):
        raise ProtectionError("a bound is negative or above 2^62; expected 0 to 2^62, so that sums stay below 2^63")
    return widths


def all_within(values: NDArray[np.int64], bound: Bound) -> bool:
    """Whether no value is above its bound in absolute value."""
    if isinstance(bound, int):
        return not len(values) or (int(values.max()) <= bound and int(values.min()) >= -bound)
    return bool(_all_within(values, bound))


def words_for(widths: Widths) -> int:
    """Number of words that slots of these widths take."""
    return -(-int(widths.sum(dtype=np.int64)) // WORD_BITS)


def write_slots(values: NDArray[np.int64], widths: Widths, words: Words) -> None:
    """Overwrite (`words_for`(widths),) words with values, in two's complement.

    Args:
        values: (n,) int64 that fit their slots; 0 where the width is 0.
        widths: (n,) uint8.
        words: overwritten.
    """
    _write_slots(values, widths, words)


def read_slots(words: Words, widths: Widths) -> NDArray[np.int64]:
    """(n,) int64 values of a long integer or of a sum of them. Of noise it makes noise: the caller has to check."""
    values = np.empty(len(widths), dtype=np.int64)
    _read_slots(words, widths, values)
    return values


@njit(cache=True, nogil=True)
def add_words(total: Words, addend: Words, carry: int) -> int:
    """Add (m,) words and a carry to (m,) words in place; the carry out of the highest, 0 or 1."""
    over = np.uint64(carry)
    for i in range(total.shape[0]):
        part = total[i] + addend[i]
        above = np.uint64(part < addend[i])
        part += over
        over = above | np.uint64(part < over)
        total[i] = part
    return int(over)


@njit(cache=True, nogil=True)
def subtract_words(total: Words, subtrahend: Words, borrow: int) -> int:
    """Take (m,) words and a borrow off (m,) words in place; the borrow from above the highest, 0 or 1."""
    under = np.uint64(borrow)
    for i in range(total.shape[0]):
        part = total[i] - subtrahend[i]
        below = np.uint64(part > total[i])
        rest = part - under
        under = below | np.uint64(rest > part)
        total[i] = rest
    return int(under)


@njit(cache=True, nogil=True)
def _write_widths(bounds: NDArray[np.int64], widths: Widths) -> bool:
    for i in range(bounds.shape[0]):
        rest, width = bounds[i], 0
        if rest < 0 or rest > MAXIMUM_BOUND:
            return False
        for step in (32, 16, 8, 4, 2, 1):
            if rest >> step:
                rest >>= step
                width += step
        widths[i] = width + 2 if bounds[i] else 0
    return True


@njit(cache=True, nogil=True)
def _all_within(values: NDArray[np.int64], bounds: NDArray[np.int64]) -> bool:
    within = True
    for i in range(values.shape[0]):
        within &= -bounds[i] <= values[i] <= bounds[i]
    return within


@njit(cache=True, nogil=True)
def _write_slots(values: NDArray[np.int64], widths: Widths, words: Words) -> None:
    word, used, at, borrow = np.uint64(0), np.uint64(0), 0, np.int64(0)
    for i in range(values.shape[0]):
        width = np.uint64(widths[i])
        if width == 0:
            continue
        value = values[i] - borrow
        borrow = np.int64(value < 0)
        bits = np.uint64(value) & (_ALL >> (np.uint64(64) - width))
        word |= bits << used
        used += width
        if used >= 64:
            words[at] = word
            at += 1
            used -= np.uint64(64)
            word = bits >> (width - used) if used else np.uint64(0)
    if used:
        words[at] = word | (_ALL << used if borrow else np.uint64(0))


@njit(cache=True, nogil=True)
def _read_slots(words: Words, widths: Widths, values: NDArray[np.int64]) -> None:
    at, used, borrow = 0, np.uint64(0), np.int64(0)
    for i in range(values.shape[0]):
        width = np.uint64(widths[i])
        values[i] = 0
        if width == 0:
            continue
        bits = words[at] >> used
        if used + width > 64:
            bits |= words[at + 1] << (np.uint64(64) - used)
        unused = np.uint64(64) - width
        signed = np.int64(bits << unused) >> np.int64(unused)
        values[i] = signed + borrow
        borrow = np.int64(signed < 0)
        used += width
        if used >= 64:
            at += 1
            used -= np.uint64(64)
