"""The parts of the gradient cipher: layout, shared sums, products by halves, n-th powers, the public message."""

import math

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from riskfed.errors import JobError, RemoteProtocolError
from riskfed.secure.gradient_cipher import CipherLayout, nth_powers
from riskfed.secure.gradient_cipher.halves import raise_to_power_of_two, split
from riskfed.secure.gradient_cipher.layout import LEAST_HIDING_BITS
from riskfed.secure.gradient_cipher.messages import read_public, write_public
from riskfed.secure.gradient_cipher.nth_powers import NthPowers
from riskfed.secure.gradient_cipher.shared_sums import add_up, plan

BOUNDS = st.integers(1, 2**63 - 1)


@settings(deadline=None)
@given(gradient=BOUNDS, hessian=BOUNDS, rows=st.integers(1, 4), key_bits=st.sampled_from([2048, 3072, 4096]))
def test_the_fields_fit_the_plaintext_and_hide_what_they_promise(gradient, hessian, rows, key_bits):
    """The layout's claims, in exact arithmetic, for any bounds."""
    layout = CipherLayout(key_bits, gradient, hessian, rows)
    low, high, stride, others = layout.lowest, layout.highest, layout.stride, layout.mask_bits
    assert layout.stride * layout.fields <= key_bits - 1
    assert (high - low) < 1 << stride
    assert layout.cells_per_ciphertext >= 1
    if rows == 1:
        assert others == 0
        assert layout.draw_mask() == 0
        return
    most = sum(2 * (high - low) << (stride * i) for i in range(rows - 1))  # with the bias added
    assert most / ((1 << others) - most) < 2.0**-LEAST_HIDING_BITS * 1.01
    assert others + stride == rows * stride


def test_a_layout_that_cannot_be_says_so():
    for arguments, message in (
        ((512, 2**40, 2**40, 4), "take fewer rows"),
        ((2048, 0, 5), "bounds"),
        ((2048, 2**63, 5), "bounds"),
        ((2048, 5, 5, 5), "1 to 4 rows"),
        ((10**6, 5, 5), "at most 8192 bits"),
    ):
        with pytest.raises(JobError, match=message):
            CipherLayout(*arguments)


class Counted(int):
    """Counts products of two terms; a term times 1 + n * exponent at the end is none."""

    products = 0

    def __mul__(self, other):
        Counted.products += isinstance(other, Counted)
        return Counted(int(self) * int(other))

    def __mod__(self, other):
        return Counted(int(self) % int(other))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.integers(1, 3),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_shared_sums_are_the_plain_ones_and_never_more_work(seed, n_rows, slots, n_bins):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, bins + 1, n_rows) for bins in n_bins]).astype(np.uint8)
    codes[-1] = codes[0]  # columns that say the same
    rows = np.flatnonzero(rng.random(n_rows) < 0.7)
    n = mpz(1009 * 2003)
    factors = np.array([Counted(v) for v in rng.integers(1, 1000, n_rows)], dtype=object)
    logarithms = np.array([mpz(int(v)) for v in rng.integers(0, 1000, n_rows)], dtype=object)
    found = {}
    Counted.products = 0
    for column in plan(codes, n_bins, slots):
        found |= add_up(column, rows, factors[rows], logarithms[rows], n)
    cells = plain = 0
    for feature, bins in enumerate(n_bins):
        for slot in range(slots):
            for code in range(bins + 1):
                chosen = rows[(rows % slots == slot) & (np.minimum(codes[feature][rows], bins) == code)]
                value = found[feature][slot * (bins + 1) + code]
                if not len(chosen):
                    assert value is None
                    continue
                plain += len(chosen) - 1
                cells += 1
                expected = math.prod(map(int, factors[chosen])) * (1 + int(n) * int(sum(logarithms[chosen])))
                assert int(value) == expected % int(n * n)
    assert sorted(found) == list(range(len(n_bins)))
    assert Counted.products <= plain


def test_discrete_columns_share_most_of_their_additions():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (8, 5000)).astype(np.uint8)
    factors = np.array([Counted(1)] * 5000, dtype=object)
    Counted.products = 0
    columns = plan(codes, [4] * 8, 2)
    for column in columns:
        add_up(column, np.arange(5000), factors, factors, mpz(15))
    assert Counted.products < 8 * 5000 * 0.4


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**500), max_size=8), st.integers(0, 40))
def test_products_by_halves_are_products(numbers, bits):
    n = mpz(2**127 - 1) * mpz(2**107 - 1)
    numbers = [number for number in (mpz(v) % (n * n) for v in numbers) if gmpy2.gcd(number, n) == 1]
    factors, logarithms = split(numbers, n)
    assert [a * (1 + b * n) % (n * n) for a, b in zip(factors, logarithms)] == numbers
    assert all(0 <= part < n for part in (*factors, *logarithms))
    for number in numbers:
        assert raise_to_power_of_two(number, bits, n) == gmpy2.powmod(number, 1 << bits, n * n)


def test_nth_powers_are_uniform_on_all_of_them(monkeypatch):
    """On a key small enough to count, with the base's odd part full as it is for a real key: both Jacobi symbols, each
    power as often as the others."""
    p, q = 7, 11
    n = p * q
    base = next(r for r in range(2, n) if pow(r, 30, n) == 1 and all(pow(r, 30 // f, n) != 1 for f in (3, 5)))
    twist = next(u for u in range(2, n) if gmpy2.jacobi(u, n) == -1)
    monkeypatch.setattr(nth_powers, "_random_unit", lambda n, symbols: mpz(twist if symbols == (-1,) else base))
    textbook = {pow(r, n, n * n) for r in range(1, n) if math.gcd(r, n) == 1}
    draws = [int(power) for power in NthPowers(mpz(n)).draw(30_000)]
    assert set(draws) == textbook
    assert chisquare(np.unique(draws, return_counts=True)[1]).pvalue > 1e-6


def test_nth_powers_of_a_real_key_encrypt_zero(short_key):
    n = mpz(short_key.public_key.n)
    draws = NthPowers(n).draw(600)
    assert len(set(draws)) == 600
    assert {short_key.raw_decrypt(int(power)) for power in draws} == {0}
    assert {int(gmpy2.jacobi(power % n, n)) for power in draws} == {1, -1}


def test_a_public_message_is_read_strictly(short_key):
    n = int(short_key.public_key.n)
    layout = CipherLayout(512, 2**12, 2**10, 3)
    message = write_public(n, layout)
    assert read_public(message) == (n, layout)
    even, not_blum = write_public(n - 1, layout), write_public(n + 2, layout)
    impossible = message[:10] + b"\x09" + message[11:]
    for changed in (b"", message[:-1], message + b"\0", b"X" + message[1:], even, not_blum, impossible, message[:20]):
        with pytest.raises(RemoteProtocolError, match="label holder"):
            read_public(changed)
    with pytest.raises(RemoteProtocolError, match="not a Paillier modulus of 512 bits"):
        read_public(write_public(n >> 3 << 2 | 1, layout))
