"""Checks that protection is really on, before the first byte derived from a record leaves a bank.

At the start of a run each bank protects made-up values, the canary, exactly as it will protect real ones, and looks
at the bytes before they leave: none of the canary may be readable in them, and size and statistics must be those of
the scheme. The server repeats the part that needs no key. The revealed sum must be the sum of the canaries, which
every bank can compute.

This finds a protection that was switched off, replaced or broken by a defect or a wrong configuration. It is no proof
of secrecy.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import numpy as np

from riskfed.errors import ProtectionError
from riskfed.secure.integrity import tagged_widths
from riskfed.secure.keys import SessionKeys
from riskfed.secure.packing import plaintext_slices
from riskfed.secure.primitives import Keystream
from riskfed.secure.protection import HEADER_BYTES, Header
from riskfed.secure.slots import slot_widths, words_for

CANARY_BITS: Final = 47
CANARY_BOUND: Final = 2**55 - 1
"""Room for 255 canaries in slots of 7 bytes: at the edges of bytes they would be seen, were they not protected."""
MINIMUM_BODY_BYTES: Final = 4096
"""Below this a histogram of bytes says little."""
CHI_SQUARE_LIMIT: Final = 415.0
"""Uniform bytes exceed it with probability below 1e-9: chi-square with 255 degrees of freedom."""

_RUN: Final = 4
_MOST_RUNS: Final = 64
_LEAST_TELLING: Final = 1 << 32  # smaller numbers are mostly zero bytes, which headers hold too
_SKIPPED_BYTES: Final = 8  # the first bytes of a ciphertext are not uniform, because it is below n^2


def canary_values(keys: SessionKeys, bank: str, length: int) -> np.ndarray:
    """The canary of `bank`: pseudorandom, known to every bank of the run, unknown to the server.

    Returns:
        (length,) int64, uniform in [-2^47, 2^47).
    """
    stream = Keystream(keys.derive(f"canary of {bank}", 0)).read(8 * length)
    words = np.frombuffer(stream, dtype="<u8").astype(np.uint64)
    return (words >> np.uint64(63 - CANARY_BITS)).astype(np.int64) - (1 << CANARY_BITS)


def check_canary_sum(keys: SessionKeys, pooled: np.ndarray) -> None:
    """Compare the revealed sum with the sum of all banks' canaries.

    Raises:
        ProtectionError: they differ.
    """
    expected = np.sum([canary_values(keys, bank, len(pooled)) for bank in keys.context.roster], axis=0)
    if not np.array_equal(pooled, expected):
        raise ProtectionError(
            "the revealed canary is not the sum of the banks' canaries; protection does not work as agreed"
        )


def plaintext_on_wire(values: np.ndarray, wire: bytes) -> bool:
    """Whether values can be read in bytes that should hide them.

    Looks, at any offset, for one value as an 8-byte integer or float of either byte order, if it is 2^32 or more in
    absolute value; and for runs of four neighbours as integers of 8 or 4 bytes, high and low halves apart, floats of
    8 or 4 bytes, slots of 5 to 8 bytes with or without a bias, decimal text with any one-character separator. Also
    inside base64 and hexadecimal text.

    Args:
        values: (n,) int64.
        wire: what is to leave the bank.
    """
    values = np.asarray(values, dtype=np.int64)
    return any(_has_single(values, data) or _has_run(values, data) for data in _readings(wire))


def check_upload(name: str, key_bits: int, count: int, wire: bytes, *, modulus: int | None = None) -> None:
    """Check size and statistics of a protected message; needs no key, so that the server can do it too.

    Args:
        name: the scheme agreed on.
        key_bits: length of the Paillier modulus; not used by masking.
        count: number of values, protected with the bound CANARY_BOUND, enough for a body of MINIMUM_BODY_BYTES.
        wire: the message.
        modulus: the Paillier modulus, to find ciphertexts without obfuscation.

    Raises:
        RemoteProtocolError: the message has no header.
        ProtectionError: says what is missing.
    """
    header = Header.of(wire)
    if (header.scheme, header.count) != (name, count):
        raise ProtectionError(
            f"got {header.count} values under {header.scheme}; the banks agreed on {count} under {name}"
        )
    widths = tagged_widths(slot_widths(CANARY_BOUND, count))
    item, items = 8, words_for(widths)
    if name == "paillier":
        item, items = 2 * -(-key_bits // 8), len(plaintext_slices(widths, key_bits))
    if len(wire) != HEADER_BYTES + items * item:
        raise ProtectionError(
            f"the upload has {len(wire)} bytes; {name} of {count} values takes {HEADER_BYTES + items * item}"
        )
    if items * item < MINIMUM_BODY_BYTES:
        raise ProtectionError(
            f"a canary of {count} values is too short to judge; expected a body of at least {MINIMUM_BODY_BYTES} bytes"
        )
    body = np.frombuffer(wire, dtype=np.uint8, offset=HEADER_BYTES).reshape(items, item)
    if name == "paillier":
        _check_ciphertexts(body, key_bits, modulus)
        body = body[:, _SKIPPED_BYTES:]
    if chi_square(body) > CHI_SQUARE_LIMIT:
        raise ProtectionError("the bytes of the upload are not evenly distributed: it is not encrypted")


def chi_square(data: np.ndarray) -> float:
    """Pearson's statistic of uint8 data against the uniform distribution of bytes, 255 degrees of freedom."""
    counts = np.bincount(data.reshape(-1), minlength=256)
    expected = data.size / 256
    return float(((counts - expected) ** 2).sum() / expected)


def _check_ciphertexts(body: np.ndarray, key_bits: int, modulus: int | None) -> None:
    ciphertexts = [int.from_bytes(row.tobytes(), "big") for row in body]
    # Without obfuscation (1 + n)^m = 1 + n m, from which anyone reads m.
    if modulus is not None and any(c % modulus == 1 for c in ciphertexts):
        raise ProtectionError("a ciphertext lacks its random factor: anyone could read it")
    # A uniform residue mod n^2 is 66 bits shorter than twice the key with probability 2^-64.
    if any(c.bit_length() < 2 * key_bits - 66 for c in ciphertexts):
        raise ProtectionError(
            "a ciphertext is far shorter than the square of the key: it was not encrypted with the agreed key"
        )
    if len(set(ciphertexts)) != len(ciphertexts):
        raise ProtectionError("two ciphertexts are equal: encryption is not randomised")


def _readings(wire: bytes) -> Iterator[bytes]:
    """The bytes themselves, and what they encode if they are hexadecimal or base64 text."""
    yield wire
    with suppress(binascii.Error, ValueError):
        yield base64.b16decode(wire, casefold=True)
    with suppress(binascii.Error, ValueError):
        yield base64.b64decode(wire, validate=True)


def _has_single(values: np.ndarray, data: bytes) -> bool:
    telling = values[np.abs(values.astype(np.float64)) >= _LEAST_TELLING]
    needles = np.unique(np.concatenate([telling.view(np.uint64), telling.astype(np.float64).view(np.uint64)]))
    needles = np.unique(np.concatenate([needles, needles.byteswap()]))
    if not needles.size:
        return False
    for offset in range(min(8, max(0, len(data) - 7))):
        words = np.frombuffer(data, dtype=np.uint64, offset=offset, count=(len(data) - offset) // 8)
        if np.isin(words, needles).any():
            return True
    return False


def _has_run(values: np.ndarray, data: bytes) -> bool:
    starts = np.unique(np.linspace(0, max(0, len(values) - _RUN), _MOST_RUNS).astype(int))
    runs = [values[s : s + _RUN] for s in starts if len(values) >= _RUN]
    # A run of equal values says nothing: zeros are found in every header.
    return any(needle in data for run in runs if len(np.unique(run)) > 1 for needle in _encodings(run))


def _encodings(run: np.ndarray) -> Iterator[bytes]:
    low, high = (run & 0xFFFFFFFF).astype(np.uint32), (run >> 32).astype(np.int32)
    for array in (
        run,
        run.astype(np.float64),
        run.astype(np.float32),
        low,
        high,
        np.stack([high, low.view(np.int32)], axis=1),
    ):
        if len(np.unique(array)) > 1:
            yield array.astype(array.dtype.newbyteorder("<")).tobytes()
            yield array.astype(array.dtype.newbyteorder(">")).tobytes()
    for separator in (b" ", b",", b";", b"\n", b"\t"):
        yield separator.join(b"%d" % value for value in run.tolist())
    yield b", ".join(b"%d" % value for value in run.tolist())
    for size in (5, 6, 7, 8):
        yield from _packed(run.tolist(), size)


def _packed(run: list[int], size: int) -> Iterator[bytes]:
    """A run as slots of one big integer, without the first slot, which only tells whether the second lends it a one."""
    width = 8 * size
    if any(abs(value) >= 1 << (width - 1) for value in run):
        return
    for bias in (0, 1 << (width - 1)):
        total = sum((value + bias) << (width * i) for i, value in enumerate(run)) % (1 << (width * len(run)))
        little = total.to_bytes(size * len(run), "little")[size:]
        yield little
        yield little[::-1]
