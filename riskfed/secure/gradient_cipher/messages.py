"""What goes over the wire between label holder and feature holder, inside sealed envelopes.

    public key   magic, "P", key_bits (4), rows_per_ciphertext (1), gradient_bound (8), hessian_bound (8), n
    rows         magic, "R", count (4), ciphertexts          from the label holder, once a tree
    cells        magic, "C", count (4), ciphertexts          from the feature holder, once a level

Numbers are big-endian; n has ceil(key_bits / 8) bytes, a ciphertext twice as many.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from gmpy2 import mpz

from riskfed.errors import JobError, RemoteProtocolError
from riskfed.secure.ciphertext_list import ciphertext_bytes, join_ciphertexts, modulus_bytes, split_ciphertexts
from riskfed.secure.gradient_cipher.layout import CipherLayout

ROWS: Final = b"R"
CELLS: Final = b"C"

_MAGIC: Final = b"RFGC1"
_PUBLIC: Final = struct.Struct(">5scIBQQ")
_HEADER: Final = struct.Struct(">5scI")
_SENDERS: Final = {ROWS: "the label holder's rows", CELLS: "the feature holder's answer"}


def write_public(n: int, layout: CipherLayout) -> bytes:
    """The public key and the layout."""
    fields = (layout.key_bits, layout.rows_per_ciphertext, layout.gradient_bound, layout.hessian_bound)
    return _PUBLIC.pack(_MAGIC, b"P", *fields) + n.to_bytes(modulus_bytes(layout.key_bits), "big")


def read_public(message: bytes) -> tuple[int, CipherLayout]:
    """Undo `write_public`: n, of the length that the layout says, and the layout.

    Raises:
        RemoteProtocolError: malformed, or n cannot be the product of two primes that are 3 mod 4.
    """
    if len(message) < _PUBLIC.size or message[:6] != _MAGIC + b"P":
        raise RemoteProtocolError(
            f"the label holder's public key is malformed ({len(message)} bytes); its operator must act"
        )
    _, _, key_bits, rows, gradient_bound, hessian_bound = _PUBLIC.unpack_from(message)
    try:
        layout = CipherLayout(key_bits, gradient_bound, hessian_bound, rows)
    except JobError as error:
        raise RemoteProtocolError(f"the label holder's cipher layout is impossible: {error}") from None
    n = int.from_bytes(message[_PUBLIC.size :], "big")
    if len(message) != _PUBLIC.size + modulus_bytes(key_bits) or n.bit_length() != key_bits or n % 4 != 1:
        raise RemoteProtocolError(
            f"the label holder's public key is not a Paillier modulus of {key_bits} bits; its operator must act"
        )
    return n, layout


def write_ciphertexts(kind: bytes, ciphertexts: Sequence[mpz], key_bits: int) -> bytes:
    """Ciphertexts of rows or of cells."""
    return _HEADER.pack(_MAGIC, kind, len(ciphertexts)) + join_ciphertexts(ciphertexts, key_bits)


def read_ciphertexts(kind: bytes, message: bytes | memoryview, count: int, n: mpz) -> list[mpz]:
    """Undo `write_ciphertexts`, and let nothing pass that is not a unit mod n^2.

    Raises:
        RemoteProtocolError: malformed, another number of ciphertexts than `count`, or one that is none.
    """
    length = _HEADER.size + count * ciphertext_bytes(n.bit_length())
    if len(message) != length or message[: _HEADER.size] != _HEADER.pack(_MAGIC, kind, count):
        raise RemoteProtocolError(
            f"{_SENDERS[kind]}: {len(message)} bytes are not {count} ciphertexts ({length} bytes expected); "
            "its operator must act"
        )
    return split_ciphertexts(message[_HEADER.size :], n, _SENDERS[kind])
