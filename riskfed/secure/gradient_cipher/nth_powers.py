"""Random n-th powers mod n^2 by who does not know the factors of n: what re-randomises an answer.

A product of ciphertexts carries the product of their n-th powers. The label holder drew those, so from a bare answer it could
test guesses of which rows were multiplied. Multiplying by an n-th power that is uniform on the whole group of n-th powers
leaves nothing to test.

    power = (r^n)^x (-1)^b (u^n)^c,   x uniform in [0, 2^(bits of n + 64)), b and c bits

with r drawn at random once, u drawn at random once among the numbers with Jacobi symbol (u/n) = -1. All randomness is the
feature holder's own: a base that the label holder chose would have to be trusted to generate the group.

Why this is uniform. x -> x^n is a bijection of Z*_n onto the n-th powers mod n^2, so it is enough that r^x (-1)^b u^c is uniform on
Z*_n. The key's primes are 2 r_i p_i + 1 with r_i and p_i primes of 128 bits and more (`riskfed.secure.paillier_key`), so Z*_n is
Z_2 x Z_2 times a cyclic group of odd order. r generates all of the odd part, unless it falls in a subgroup of prime index:
probability below 2^-125. Both primes are 3 mod 4, so -1 is a non-residue mod both of them, u mod one of them: -1 and u
generate Z_2 x Z_2, and (b, c) is uniform on it, hence on the cosets of the subgroup <r>. Within a coset r^x is uniform but for
ord(r) 2^-(bits + 64) < 2^-64, the distance of x mod ord(r) from uniform.

(The symbol of a ciphertext mod n is public: powers of a base with symbol +1 alone, as in Damgard, Jurik and Nielsen 2010, would
show the label holder the parity of how many rows with symbol -1 were multiplied.)

Half as long exponents, x uniform in [0, 2^(bits of n / 2)), cost half. Who does not know the factors of n cannot tell such powers
from uniform ones, if it cannot factor n (Goldreich and Rosen 2003, J. Cryptology 16(2); used so by Damgard, Jurik and Nielsen
2010, section 4.2). They are for ciphertexts that the key's owner does not see, or may open anyway; never for an answer to it.

Secret: the exponents. Look-ups in the tables depend on them, as in `riskfed.secure.obfuscator`.
"""

from __future__ import annotations

import secrets
from typing import Final

import gmpy2
import numpy as np
from gmpy2 import mpz

from riskfed.secure.obfuscator import FixedBase

_WINDOW: Final = 8  # digits are bytes
_EXCESS_BITS: Final = 64
_BATCH: Final = 512


class NthPowers:
    """Draws of uniform n-th powers: at 2048 bits half a second and 60 MB for the tables, 0.7 ms a draw, 0.35 ms one for outsiders.

    Args:
        n: a Paillier modulus whose primes are 3 mod 4.
    """

    def __init__(self, n: mpz) -> None:
        self._square = n * n
        base = gmpy2.powmod(_random_unit(n, (1, -1)), n, self._square)
        self._base = FixedBase(n, base, n.bit_length() + _EXCESS_BITS, _WINDOW)
        self._half_digits = -(-n.bit_length() // (2 * _WINDOW))
        twist = gmpy2.powmod(_random_unit(n, (-1,)), n, self._square)
        self._twists = [mpz(1), self._square - 1, twist, self._square - twist]

    def draw(self, count: int) -> list[mpz]:
        """`count` independent n-th powers in [1, n^2), uniform within 2^-64."""
        return self._draw(count, self._base.n_digits)

    def draw_for_outsiders(self, count: int) -> list[mpz]:
        """`count` independent n-th powers that look uniform to who does not know the factors of n, at half the price."""
        return self._draw(count, self._half_digits)

    def _draw(self, count: int, length: int) -> list[mpz]:
        """Powers with exponents of `length` digits; zeros above cost nothing."""
        powers: list[mpz] = []
        for start in range(0, count, _BATCH):
            size = min(_BATCH, count - start)
            digits = np.zeros((size, self._base.n_digits), dtype=np.uint8)
            digits[:, :length] = np.frombuffer(secrets.token_bytes(size * length), dtype=np.uint8).reshape(size, length)
            powers += self._base.powers(digits)
        return [self._twists[secrets.randbelow(len(self._twists))] * power % self._square for power in powers]

    def __repr__(self) -> str:
        return "NthPowers(secrets not shown)"


def _random_unit(n: mpz, symbols: tuple[int, ...]) -> mpz:
    """Uniform among the units mod n with one of these Jacobi symbols; the symbol of a number that is no unit is 0."""
    while True:
        candidate = mpz(secrets.randbelow(int(n)))
        if gmpy2.jacobi(candidate, n) in symbols:
            return candidate
