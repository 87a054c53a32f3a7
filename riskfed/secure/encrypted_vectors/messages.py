"""What goes over the wire about encrypted vectors, inside sealed envelopes.

    public key   "K", key_bits         n                                      from the key holder, once a run
    vector       "V", rows             ciphertexts, k rows in each            from who encrypts to who sums
    powers       "P", rows             ciphertexts, `degree` of each row      the same
    question     "Q", sums             ciphertexts, m sums in each            from who sums to the key holder
    opened       "O", sums             masked sums, ceil(stride / 8) bytes    and back

Each starts with magic (5), kind (1), the layout's digest (8) and the number of the second column (4). Big-endian throughout.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from gmpy2 import mpz

from riskfed.errors import RemoteProtocolError
from riskfed.secure.ciphertext_list import ciphertext_bytes, join_ciphertexts, modulus_bytes, split_ciphertexts
from riskfed.secure.encrypted_vectors.layout import VectorLayout

VECTOR: Final = b"V"
POWERS: Final = b"P"
QUESTION: Final = b"Q"

_PUBLIC: Final = b"K"
_OPENED: Final = b"O"
_MAGIC: Final = b"RFEV1"
_HEADER: Final = struct.Struct(">5sc8sI")
_NAMES: Final = {
    _PUBLIC: "the vectors' public key",
    VECTOR: "an encrypted vector",
    POWERS: "encrypted powers",
    QUESTION: "a question of masked sums",
    _OPENED: "the opened sums",
}


def write_public(n: int, layout: VectorLayout) -> bytes:
    """The public key, bound to the layout."""
    return _header(_PUBLIC, layout, layout.key_bits) + n.to_bytes(modulus_bytes(layout.key_bits), "big")


def read_public(message: bytes, layout: VectorLayout) -> int:
    """Undo `write_public`.

    Raises:
        RemoteProtocolError: malformed, of another layout, or n cannot be the product of two primes that are 3 mod 4.
    """
    n = int.from_bytes(_body(_PUBLIC, message, layout, layout.key_bits, modulus_bytes(layout.key_bits)), "big")
    if n.bit_length() != layout.key_bits or n % 4 != 1:
        raise RemoteProtocolError(
            f"{_NAMES[_PUBLIC]} is not a Paillier modulus of {layout.key_bits} bits; the key holder's operator must act"
        )
    return n


def write_ciphertexts(kind: bytes, ciphertexts: Sequence[mpz], number: int, layout: VectorLayout) -> bytes:
    """A vector, powers, or a question, of so many rows or sums."""
    return _header(kind, layout, number) + join_ciphertexts(ciphertexts, layout.key_bits)


def read_ciphertexts(
    kind: bytes, message: bytes | memoryview, number: int, count: int, layout: VectorLayout, n: mpz
) -> list[mpz]:
    """Undo `write_ciphertexts` for `number` rows or sums in `count` ciphertexts.

    Raises:
        RemoteProtocolError: malformed, of another layout, of other numbers, or holds what is no ciphertext.
    """
    body = _body(kind, message, layout, number, count * ciphertext_bytes(layout.key_bits))
    return split_ciphertexts(body, n, _NAMES[kind])


def number_of_sums(message: bytes | memoryview) -> int:
    """What the head of a question claims; `read_ciphertexts` holds it against the length.

    Raises:
        RemoteProtocolError: too short for a head.
    """
    if len(message) < _HEADER.size:
        raise RemoteProtocolError(f"{_NAMES[QUESTION]}: malformed ({len(message)} bytes); its operator must act")
    return int(_HEADER.unpack_from(message)[3])


def write_opened(fields: Sequence[mpz], layout: VectorLayout) -> bytes:
    """Masked sums."""
    size = _field_bytes(layout)
    return _header(_OPENED, layout, len(fields)) + b"".join(field.to_bytes(size, "big") for field in fields)


def read_opened(message: bytes | memoryview, sums: int, layout: VectorLayout) -> list[int]:
    """Undo `write_opened`.

    Raises:
        RemoteProtocolError: malformed, of another layout or number.
    """
    size = _field_bytes(layout)
    body = _body(_OPENED, message, layout, sums, sums * size)
    return [int.from_bytes(body[i : i + size], "big") for i in range(0, len(body), size)]


def _field_bytes(layout: VectorLayout) -> int:
    return (layout.stride + 7) // 8


def _header(kind: bytes, layout: VectorLayout, number: int) -> bytes:
    return _HEADER.pack(_MAGIC, kind, layout.digest, number)


def _body(kind: bytes, message: bytes | memoryview, layout: VectorLayout, number: int, length: int) -> bytes:
    """What follows the header, which must be the expected one."""
    if len(message) != _HEADER.size + length or bytes(message[:6]) != _MAGIC + kind:
        raise RemoteProtocolError(
            f"{_NAMES[kind]}: malformed ({len(message)} bytes; expected {_HEADER.size + length}); its operator must act"
        )
    if message[: _HEADER.size] != _header(kind, layout, number):
        raise RemoteProtocolError(
            f"{_NAMES[kind]}: made for another layout or another number of rows or sums than {number}; both parties' "
            "operators must compare their versions and settings"
        )
    return bytes(message[_HEADER.size :])
