"""Products mod n^2 at about half the price, from numbers of n's length.

GMP's products and remainders cost more than twice as much at twice the length. So

* a ciphertext is kept as c = A (1 + L n) mod n^2 with A, L in [0, n): then a product of many is (product of A) * (1 + n sum of L),
  and each factor is half as long (as in `riskfed.secure.obfuscator`, there mod p^2).
* to square again and again, c = a + b n: c^2 = (a^2 mod n) + n (a^2 div n + 2 a b mod n).
"""

from __future__ import annotations

from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz


def split(ciphertexts: Sequence[mpz], n: mpz) -> tuple[list[mpz], list[mpz]]:
    """A and L of every ciphertext, c = A (1 + L n) mod n^2.

    The inverses of A cost three products each and one inversion in all (Montgomery 1987, section 10.3.1).

    Raises:
        ZeroDivisionError: a number shares a factor with n.
    """
    parts = [gmpy2.f_divmod(ciphertext, n) for ciphertext in ciphertexts]
    products = [mpz(1)]
    for _, remainder in parts:
        products.append(products[-1] * remainder % n)
    inverse = gmpy2.invert(products.pop(), n)
    logarithms = []
    for quotient, remainder in reversed(parts):
        logarithms.append(products.pop() * inverse % n * quotient % n)
        inverse = inverse * remainder % n
    return [remainder for _, remainder in parts], logarithms[::-1]


def raise_to_power_of_two(number: mpz, bits: int, n: mpz) -> mpz:
    """number^(2^bits) mod n^2. (powmod would tabulate powers first, a quarter more work for a few hundred bits.)"""
    high, low = gmpy2.f_divmod(number, n)
    for _ in range(bits):
        double = low * high << 1
        quotient, low = gmpy2.f_divmod(low * low, n)
        high = (quotient + double) % n
    return low + n * high
