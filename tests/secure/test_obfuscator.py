"""Random n-th powers: the right subgroup, all of it, evenly."""

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from scipy.stats import chisquare

from riskfed.secure.obfuscator import ObfuscatorTable, _PrimeTable


@pytest.mark.parametrize("window", [1, 3, 10])
def test_draws_are_the_generators_powers_with_the_drawn_exponents(short_key, window, monkeypatch):
    """Fixed-base tables against modular exponentiation."""
    p, g = mpz(short_key.p), mpz(short_key.generators[0])
    exponents = [0, 1, 2**10, short_key.p - 2, short_key.p // 3]
    drawn = iter(exponents)
    monkeypatch.setattr("secrets.randbits", lambda bits: next(drawn))
    table = _PrimeTable(p, g, window)
    base = gmpy2.powmod(g, p, p * p)
    assert table.draw(len(exponents)) == [gmpy2.powmod(base, a, p * p) for a in exponents]


def test_exponents_above_the_order_are_drawn_again(short_key, monkeypatch):
    drawn = iter([short_key.p - 1, short_key.p, 2**256 - 1, 5])
    monkeypatch.setattr("secrets.randbits", lambda bits: next(drawn))
    table = _PrimeTable(mpz(short_key.p), mpz(short_key.generators[0]), 4)
    assert table.draw(1) == [gmpy2.powmod(short_key.generators[0], 5 * short_key.p, short_key.p**2)]


def test_draws_are_nth_powers(short_key):
    """x is an n-th power mod n^2 if and only if x^phi(n) = 1: it encrypts zero."""
    n, phi = short_key.public_key.n, (short_key.p - 1) * (short_key.q - 1)
    draws = short_key.obfuscators.draw(600)
    assert len(set(draws)) == 600
    assert all(0 < x < n * n and gmpy2.powmod(x, phi, n * n) == 1 for x in draws)


def test_draws_are_as_evenly_distributed_as_the_textbooks():
    """On a key small enough to count: every n-th power mod n^2 comes up, each as often as the others."""
    p, q = 7, 11  # orders 6 and 10, prime to n; 3 and 2 generate the two groups
    n = p * q
    textbook = {pow(r, n, n * n) for r in range(1, n) if r % p and r % q}
    assert len(textbook) == (p - 1) * (q - 1)
    draws = [int(x) for x in ObfuscatorTable((p, q), (3, 2), window=2).draw(60_000)]
    assert set(draws) == textbook
    counts = np.unique(draws, return_counts=True)[1]
    assert chisquare(counts).pvalue > 1e-6
