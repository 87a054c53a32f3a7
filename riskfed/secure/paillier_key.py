"""Paillier keys: phe's, with what an owner needs to encrypt fast.

A key is two primes p = 2 r p' + 1 and q = 2 s q' + 1 of equal length, p' and q' primes of nearly their length, r and
s primes of 128 bits: because the factors of p - 1 are known, an element can be proved to generate all of Z*_p. That
is what `ObfuscatorTable` needs.

Secret: p and q, with all that follows from them. Public: n = p q. All banks of a run hold the private key; the server
holds n.
"""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import Final, NoReturn

import gmpy2
from gmpy2 import mpz
from phe import PaillierPrivateKey, PaillierPublicKey

from riskfed.errors import LocalProtocolError, ProtectionError
from riskfed.secure.obfuscator import ObfuscatorTable
from riskfed.secure.primitives import frame

MINIMUM_KEY_BITS = 2048
"""NIST SP 800-57: 112 bits of security. Checked wherever a key is made, read or used."""

_COFACTOR_BITS: Final = 128
_PRIMALITY_ROUNDS: Final = 40
_MAGIC: Final = b"RFK1"


class PaillierKey(PaillierPrivateKey):  # type: ignore[misc]  # phe carries no types
    """A phe private key that also knows a generator of each prime's multiplicative group.

    Attributes:
        p, q, public_key: as in phe; p < q.
        cofactors: (r, s): small prime factors of p - 1 and q - 1.
        generators: (g, h): generators of Z*_p and Z*_q.
    """

    def __init__(self, p: int, q: int, cofactors: tuple[int, int], generators: tuple[int, int]) -> None:
        """Check everything that the private key's owner relies on.

        Raises:
            ProtectionError: the key is too short, or not of the form that the module describes.
        """
        require_key_bits((p * q).bit_length())
        if not p < q or p.bit_length() != q.bit_length():
            raise ProtectionError(
                "the Paillier key's primes are not of equal length in rising order; "
                "the bank that made it must make another"
            )
        for prime, cofactor, generator in zip((p, q), cofactors, generators, strict=True):
            if not _is_prime(prime) or not _is_generator(generator, prime, cofactor):
                raise ProtectionError(
                    "the Paillier key is not two proper primes with generators; the bank that made it must make another"
                )
        super().__init__(PaillierPublicKey(p * q), p, q)
        self.cofactors = cofactors
        self.generators = generators

    @cached_property
    def obfuscators(self) -> ObfuscatorTable:
        """Tables for encryption, made at first use."""
        return ObfuscatorTable((self.p, self.q), self.generators)

    def __repr__(self) -> str:
        return f"PaillierKey({self.public_key.n.bit_length()} bits, secrets not shown)"

    def __reduce__(self) -> NoReturn:
        raise LocalProtocolError(
            "a PaillierKey is not pickled or copied; send it sealed, as serialize_private() gives it"
        )


def generate_paillier_key(bits: int | None = None) -> PaillierKey:
    """Make a key from the operating system's randomness, in about a second at 2048 bits.

    Args:
        bits: length of n, even; MINIMUM_KEY_BITS if None.

    Raises:
        ProtectionError: fewer than MINIMUM_KEY_BITS, or odd.
    """
    bits = MINIMUM_KEY_BITS if bits is None else bits
    require_key_bits(bits)
    if bits % 2:
        raise ProtectionError(
            f"a Paillier key of {bits} bits was asked for; expected an even number, {MINIMUM_KEY_BITS} or more"
        )
    (p, r), (q, s) = sorted(_generate_prime(bits // 2) for _ in range(2))
    if p == q:
        return generate_paillier_key(bits)
    return PaillierKey(p, q, (r, s), (_find_generator(p, r), _find_generator(q, s)))


def serialize_private(key: PaillierKey) -> bytes:
    """The private key as bytes: to be sealed to the other banks, never written or sent in clear."""
    numbers = (key.p, key.q, *key.cofactors, *key.generators)
    return _MAGIC + b"private" + frame(*(_to_bytes(int(number)) for number in numbers))


def parse_private(data: bytes) -> PaillierKey:
    """Read and check what `serialize_private` wrote.

    Raises:
        ProtectionError: malformed, too short a key, or one without the promised form.
    """
    p, q, r, s, g, h = _parse(data, b"private", 6)
    return PaillierKey(p, q, (r, s), (g, h))


def serialize_public(key: PaillierPublicKey) -> bytes:
    """The public key as bytes: what the server needs to combine."""
    return _MAGIC + b"public" + frame(_to_bytes(key.n))


def parse_public(data: bytes) -> PaillierPublicKey:
    """Read what `serialize_public` wrote.

    Raises:
        ProtectionError: malformed, or too short a key.
    """
    (n,) = _parse(data, b"public", 1)
    require_key_bits(n.bit_length())
    return PaillierPublicKey(n)


def require_key_bits(bits: int) -> None:
    """Refuse a modulus of fewer than MINIMUM_KEY_BITS.

    Raises:
        ProtectionError: it is so.
    """
    if bits < MINIMUM_KEY_BITS:
        raise ProtectionError(f"the Paillier key has {bits} bits; expected at least {MINIMUM_KEY_BITS}")


def _generate_prime(bits: int) -> tuple[int, int]:
    """A prime p = 2 r p' + 1 of exactly `bits` bits with its two upper bits set, so that n has 2 * bits bits; and r."""
    factor = _random_prime(bits - 1 - _COFACTOR_BITS)
    low, high = (mpz(3) << (bits - 2)) // (2 * factor), (mpz(1) << bits) // (2 * factor)
    while True:
        cofactor = low + secrets.randbelow(int(high - low)) | 1
        prime = 2 * cofactor * factor + 1
        # The small prime is tested first: it is the cheaper test and rejects most candidates.
        likely = prime >> (bits - 2) == 3 and gmpy2.is_prime(cofactor, 1) and gmpy2.is_prime(prime, 1)
        if likely and _is_prime(cofactor) and _is_prime(prime):
            return int(prime), int(cofactor)


def _random_prime(bits: int) -> mpz:
    while True:
        candidate = mpz(secrets.randbits(bits) | 1 << (bits - 1) | 1)
        if _is_prime(candidate):
            return candidate


def _is_prime(number: int | mpz) -> bool:
    """Whether 40 Miller-Rabin rounds find no witness against it: wrong with probability below 4^-40 even if made to
    deceive."""
    return bool(number > 3 and gmpy2.is_prime(mpz(number), _PRIMALITY_ROUNDS))


def _find_generator(prime: int, cofactor: int) -> int:
    while True:
        candidate = 2 + secrets.randbelow(prime - 3)
        if _is_generator(candidate, prime, cofactor):
            return candidate


def _is_generator(candidate: int, prime: int, cofactor: int) -> bool:
    """Whether prime - 1 = 2 * cofactor * factor with prime factors and candidate^((prime-1)/f) is not 1 for each of
    them."""
    order = prime - 1
    if not 1 < candidate < prime or not _is_prime(cofactor) or order % (2 * cofactor):
        return False
    factor = order // (2 * cofactor)
    return _is_prime(factor) and all(gmpy2.powmod(candidate, order // f, prime) != 1 for f in (2, cofactor, factor))


def _to_bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _parse(data: bytes, kind: bytes, count: int) -> list[int]:
    fields: list[bytes] = []
    start = len(_MAGIC + kind) if data.startswith(_MAGIC + kind) else len(data)
    while start + 8 <= len(data) and len(fields) < count:
        end = start + 8 + int.from_bytes(data[start : start + 8], "big")
        fields.append(data[start + 8 : end])
        start = end
    if len(fields) != count or start != len(data):
        raise ProtectionError(
            f"a {kind.decode()} Paillier key is malformed ({len(data)} bytes); the bank that made it must send it again"
        )
    return [int.from_bytes(field, "big") for field in fields]
