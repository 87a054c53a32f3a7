"""The parts of encrypted vectors: layout, products of powers, messages."""

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, JobError, ProtectionError, RemoteProtocolError
from riskfed.secure.encrypted_vectors import VectorEncryptor, VectorKey, VectorLayout, products
from riskfed.secure.encrypted_vectors.products import product_of_powers, weighted_products
from riskfed.secure.gradient_cipher.halves import split
from riskfed.secure.gradient_cipher.nth_powers import NthPowers
from tests.secure.banks import SHORT_KEY_BITS

pytestmark = pytest.mark.usefixtures("short_keys")
N = mpz(2**127 - 1) * mpz(2**107 - 1)


@settings(deadline=None)
@given(
    value=st.integers(1, 2**70),
    weight=st.integers(1, 2**62 - 1),
    rows=st.integers(1, 2**24),
    k=st.integers(1, 8),
    key_bits=st.sampled_from([2048, 3072, 4096]),
)
def test_the_fields_fit_the_plaintext_and_hide_what_they_promise(value, weight, rows, k, key_bits):
    """The layout's claims, in exact arithmetic, for any bounds; what does not fit is said to be so."""
    largest = (2 if k > 1 else 1) * value * weight * rows
    if (2 * k - 1) * ((2 * largest).bit_length() + 64) > key_bits - 1:
        with pytest.raises(JobError, match="take fewer rows"):
            VectorLayout(key_bits, value, weight, rows, k)
        return
    layout = VectorLayout(key_bits, value, weight, rows, k)
    assert layout.stride * layout.fields <= key_bits - 1
    assert layout.reach == largest
    assert 2 * largest + layout.most_mask == (1 << layout.stride) - 1
    assert 2 * largest / (layout.most_mask + 1) < 2.0**-63.9
    own = [layout.field_of(i) for i in range(layout.sums_per_ciphertext)]
    assert own == [k * (i + 1) - 1 for i in range(len(own))]
    assert own[-1] + k == layout.fields


def test_a_layout_that_cannot_be_says_so():
    for arguments, message in (
        ((512, 2**40, 2**40, 100), "take fewer rows"),
        ((2048, 0, 5, 5), "positive bounds"),
        ((2048, 5, 0, 5), "positive bounds"),
        ((2048, 5, 2**62, 5), "at most 62 bits"),
        ((2048, 5, 5, 0), "1 to 16777216 rows"),
        ((2048, 5, 5, 5, 9), "1 to 8 rows"),
        ((10**6, 5, 5, 5), "at most 8192 bits"),
    ):
        with pytest.raises(JobError, match=message):
            VectorLayout(*arguments)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2**400), st.integers(-(2**90), 2**90)), max_size=6))
def test_a_product_of_powers_is_one(pairs):
    powers = [(mpz(base), exponent) for base, exponent in pairs if gmpy2.gcd(base, N) == 1]
    expected = mpz(1)
    for base, exponent in powers:
        expected = expected * gmpy2.powmod(base, exponent, N * N) % (N * N)
    assert product_of_powers(powers, N) == expected


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 200),
    slots=st.integers(1, 4),
    bits=st.sampled_from([1, 3, 20, 61]),
    distinct=st.sampled_from([1, 4, 10**6]),
)
def test_weighted_products_are_the_plain_ones(seed, rows, slots, bits, distinct):
    """Each row's factor counts with its weight, in its slot; whatever the columns are made of."""
    rng = np.random.default_rng(seed)
    bases = [mpz(int(base)) for base in rng.integers(2, 2**40, -(-rows // slots))]
    most = 2**bits
    weights = np.stack([rng.choice(rng.integers(-most, most + 1, min(distinct, rows)), rows) for _ in range(3)], axis=1)
    halves = tuple(np.array(half, dtype=object) for half in split(bases, N))
    found = weighted_products(halves, weights, slots, N)
    for column, parts in zip(weights.T.tolist(), found, strict=True):
        for slot in range(slots):
            exponents = [(base, column[r]) for r, base in zip(range(slot, rows, slots), bases)]
            expected = product_of_powers(exponents, N)
            assert product_of_powers([(base, weight) for base, weight, s in parts if s == slot], N) == expected


def test_few_values_share_multiplications_and_zeros_cost_nothing(monkeypatch):
    """Rows summed in all, over columns: fewer than rows times columns where values are few, none where weights are zero."""
    counted = []

    def add_up(column, rows, *rest):
        counted.append(len(np.unique(column.classes[rows])) if column.parts else len(rows))
        return original(column, rows, *rest)

    original = products.add_up
    monkeypatch.setattr(products, "add_up", add_up)
    rng = np.random.default_rng(0)
    halves = tuple(np.array(half, dtype=object) for half in split([mpz(v) for v in range(2, 2002)], N))
    cells = (rng.integers(0, 20, 2000)[:, None] == np.arange(20)).astype(np.int64)
    weighted_products(halves, cells, 1, N)
    assert sum(counted) == 2000
    counted.clear()
    weighted_products(halves, np.zeros((2000, 5), np.int64), 1, N)
    assert counted == []
    weighted_products(halves, rng.integers(0, 3, (2000, 6)) * 1000 + 1, 1, N)
    assert len(counted) < 6
    counted.clear()
    weighted_products(halves, rng.integers(-(2**24), 2**24, (2000, 1)), 1, N)
    assert len(counted) < 8, "digits, not one power a row"


def test_nth_powers_for_outsiders_encrypt_zero_and_are_all_different(short_key):
    n = mpz(short_key.public_key.n)
    draws = NthPowers(n).draw_for_outsiders(400)
    assert len(set(draws)) == 400
    assert {short_key.raw_decrypt(int(power)) for power in draws} == {0}
    assert {int(gmpy2.jacobi(power % n, n)) for power in draws} == {1, -1}


@pytest.fixture(scope="module")
def layout():
    return VectorLayout(SHORT_KEY_BITS, 1000, 500, 40, 2)


def test_short_keys_and_foreign_layouts_are_refused(short_key, layout, monkeypatch):
    holder = VectorKey(short_key, layout)
    other = VectorLayout(SHORT_KEY_BITS, 1000, 500, 39, 2)
    assert other.stride == layout.stride
    with pytest.raises(RemoteProtocolError, match="another layout"):
        VectorEncryptor(holder.public, other, least_key_bits=SHORT_KEY_BITS)
    with pytest.raises(RemoteProtocolError, match="another layout"):
        VectorEncryptor(VectorKey(short_key, other).public, layout, least_key_bits=SHORT_KEY_BITS).read(b"", 1)
    with pytest.raises(ProtectionError, match="512 bits; this party's policy asks for 2048"):
        VectorEncryptor(holder.public, layout)
    with pytest.raises(ConfigurationError, match="key of 1024 bits; the key has 512"):
        VectorKey(short_key, VectorLayout(1024, 5, 5, 5))
    encryptor = VectorEncryptor(holder.public, layout, least_key_bits=SHORT_KEY_BITS)
    theirs = VectorKey(short_key, other)
    with pytest.raises(RemoteProtocolError, match="another layout"):
        encryptor.read(theirs.encrypt(np.arange(4)), 4)
    with pytest.raises(RemoteProtocolError, match="another layout"):
        theirs.open(encryptor.read(holder.encrypt(np.arange(4)), 4).weighted_sums(np.ones((4, 1), int)).question)
    monkeypatch.setattr("riskfed.secure.paillier_key.MINIMUM_KEY_BITS", 2048)
    with pytest.raises(ProtectionError, match="at least 2048"):
        VectorEncryptor(holder.public, layout, least_key_bits=SHORT_KEY_BITS)
    with pytest.raises(ProtectionError, match="at least 2048"):
        VectorKey(short_key, layout)


def test_a_public_key_is_read_strictly(short_key, layout):
    public, n = VectorKey(short_key, layout).public, int(short_key.public_key.n)
    head = public[: -SHORT_KEY_BITS // 8]
    wrong = [n - 1, n + 2, n >> 3 << 2 | 1]
    moduli = [head + number.to_bytes(SHORT_KEY_BITS // 8, "big") for number in wrong]
    for changed in (b"", public[:-1], public + b"\0", b"X" + public[1:], *moduli):
        with pytest.raises(RemoteProtocolError, match="the vectors' public key"):
            VectorEncryptor(changed, layout, least_key_bits=SHORT_KEY_BITS)


def test_numbers_that_are_no_ciphertexts_are_refused_on_both_sides(short_key, layout):
    """A multiple of p would tell the key holder, through any mask, whether the row had a weight."""
    holder = VectorKey(short_key, layout)
    encryptor = VectorEncryptor(holder.public, layout, least_key_bits=SHORT_KEY_BITS)
    vector = encryptor.encrypt(np.arange(9))
    question = encryptor.read(vector, 9).weighted_sums(np.ones((9, 3), int)).question
    n, size = int(short_key.public_key.n), SHORT_KEY_BITS // 4
    for wrong in (0, n * n, n * n + 1, n, int(short_key.p), 3 * int(short_key.q)):
        for message, take in ((vector, lambda data: encryptor.read(data, 9)), (question, holder.open)):
            with pytest.raises(RemoteProtocolError, match="not a ciphertext"):
                take(message[:-size] + wrong.to_bytes(size, "big"))
    for message, take in ((vector, lambda data: encryptor.read(data, 9)), (question, holder.open)):
        for changed in (b"", message[:-1], message + b"\0", b"X" + message[1:], message[:18], message[:-size]):
            with pytest.raises(RemoteProtocolError, match="malformed"):
                take(changed)
    with pytest.raises(RemoteProtocolError, match="malformed"):
        encryptor.read(vector, 11)
    with pytest.raises(RemoteProtocolError, match="another number of rows"):
        encryptor.read(vector, 10)
    with pytest.raises(RemoteProtocolError, match="malformed"):
        encryptor.read(question, 9)
