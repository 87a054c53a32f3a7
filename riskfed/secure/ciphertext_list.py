"""Lists of Paillier ciphertexts: made of plaintexts, and as bytes: big-endian, each twice as long as the modulus."""

from __future__ import annotations

from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz

from riskfed.errors import RemoteProtocolError


def modulus_bytes(key_bits: int) -> int:
    """Bytes of a number below n."""
    return (key_bits + 7) // 8


def ciphertext_bytes(key_bits: int) -> int:
    """Bytes of a ciphertext."""
    return 2 * modulus_bytes(key_bits)


def encrypted(plaintexts: Sequence[int], powers: Sequence[mpz], n: mpz) -> list[mpz]:
    """Ciphertexts of signed plaintexts, each with an n-th power of its own: (1 + n m) r^n mod n^2 (Paillier 1999)."""
    square = n * n
    return [(1 + n * m) * power % square for m, power in zip(plaintexts, powers, strict=True)]


def join_ciphertexts(ciphertexts: Sequence[mpz], key_bits: int) -> bytes:
    """One after the other."""
    size = ciphertext_bytes(key_bits)
    return b"".join(c.to_bytes(size, "big") for c in ciphertexts)


def split_ciphertexts(data: bytes | memoryview, n: mpz, what: str) -> list[mpz]:
    """Undo `join_ciphertexts`, and let nothing pass that is not a unit mod n^2.

    A number that shares a factor with n would survive every product: the owner of the factors could see by it, through masks
    and n-th powers, whether it was multiplied in.

    Args:
        data: a whole number of ciphertexts; the caller has checked how many.
        n: the key's modulus.
        what: names them in an error.

    Raises:
        RemoteProtocolError: a number is not a ciphertext.
    """
    size = ciphertext_bytes(n.bit_length())
    ciphertexts = [mpz.from_bytes(bytes(data[i : i + size]), "big") for i in range(0, len(data), size)]
    square = n * n
    # A product shares a factor with n if and only if one of its factors does: one gcd is enough.
    product = mpz(1)
    for ciphertext in ciphertexts:
        product = product * (ciphertext % n) % n
    if not all(0 < c < square for c in ciphertexts) or gmpy2.gcd(product, n) != 1:
        raise RemoteProtocolError(f"{what}: a number is not a ciphertext of the run's key; its operator must act")
    return ciphertexts
