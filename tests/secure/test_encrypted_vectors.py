"""Encrypted vectors from end to end: the summer learns its sums, exactly, and the key holder and the encryptor nothing."""

import pickle
from functools import cache

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from riskfed.errors import LocalProtocolError, ProtectionError, RemoteProtocolError
from riskfed.secure import generate_paillier_key, paillier_key
from riskfed.secure.encrypted_vectors import VectorEncryptor, VectorKey, VectorLayout
from riskfed.secure.encrypted_vectors.messages import QUESTION, VECTOR, read_ciphertexts
from tests.secure.banks import SHORT_KEY_BITS

pytestmark = pytest.mark.usefixtures("short_keys")
QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUE, WEIGHT, ROWS = 1000, 500, 40


@pytest.fixture(scope="module")
def parties():
    """rows_per_ciphertext, bits -> key, holder, and an encryptor that is another party; each made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier_key, "MINIMUM_KEY_BITS", SHORT_KEY_BITS)

        @cache
        def key(bits):
            return generate_paillier_key(bits)

        @cache
        def make(rows_per_ciphertext=2, bits=0, value_bound=VALUE, weight_bound=WEIGHT):
            bits = bits or (1024 if rows_per_ciphertext > 3 else SHORT_KEY_BITS)
            layout = VectorLayout(bits, value_bound, weight_bound, ROWS, rows_per_ciphertext)
            holder = VectorKey(key(bits), layout)
            return key(bits), holder, VectorEncryptor(holder.public, layout, least_key_bits=SHORT_KEY_BITS)

        yield make


def numbers(encryptor, message, count, kind=VECTOR):
    """Ciphertexts of a message of `count` rows or sums."""
    layout = encryptor._side.layout
    n_ciphertexts = layout.n_questions(count) if kind == QUESTION else layout.n_ciphertexts(count)
    return read_ciphertexts(kind, message, count, n_ciphertexts, layout, encryptor._side.n)


def draw_weights(data, rows, columns):
    """Columns of few values, of many, of mostly zeros, and of zeros alone."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    kinds = data.draw(st.lists(st.sampled_from(["few", "many", "sparse", "zero"]), min_size=columns, max_size=columns))
    made = {
        "few": lambda: rng.choice(rng.integers(-WEIGHT, WEIGHT + 1, 3), rows),
        "many": lambda: rng.integers(-WEIGHT, WEIGHT + 1, rows),
        "sparse": lambda: rng.integers(-WEIGHT, WEIGHT + 1, rows) * (rng.random(rows) < 0.2),
        "zero": lambda: np.zeros(rows, np.int64),
    }
    return np.stack([made[kind]() for kind in kinds], axis=1)


@QUICK
@given(data=st.data(), k=st.integers(1, 6), rows=st.integers(1, ROWS), columns=st.integers(1, 7), own=st.booleans())
def test_the_sums_are_the_plain_ones(parties, data, k, rows, columns, own):
    """Encrypted by the key holder or not, added to, sent on, summed."""
    _, holder, encryptor = parties(k)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values, added = rng.integers(-VALUE // 2, VALUE // 2 + 1, (2, rows))
    weights = draw_weights(data, rows, columns)
    received = encryptor.read((holder if own else encryptor).encrypt(values), rows, bound=VALUE // 2)
    sent_on = encryptor.read(received.plus(added).to_bytes(), rows)
    for vector, expected in ((received, values), (sent_on, values + added)):
        sums = vector.weighted_sums(weights)
        assert sums.reveal(holder.open(sums.question)) == (weights.T @ expected).tolist()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("mask", ["lowest", "highest"])
def test_sums_at_the_bounds_open_under_the_extreme_masks(parties, k, mask, monkeypatch):
    _, holder, encryptor = parties(k)
    for sign in (1, -1):
        vector = encryptor.read(encryptor.encrypt(np.full(ROWS, sign * VALUE)), ROWS)
        with monkeypatch.context() as patch:
            patch.setattr("secrets.randbelow", lambda limit: {"lowest": 0, "highest": limit - 1}[mask])
            sums = vector.weighted_sums(np.full((ROWS, 4), WEIGHT) * [1, -1, 1, 1])
        most = sign * ROWS * VALUE * WEIGHT
        assert sums.reveal(holder.open(sums.question)) == [most, -most, most, most]


@QUICK
@given(data=st.data(), degree=st.integers(1, 3), rows=st.integers(1, 12))
def test_polynomials_of_each_rows_own_coefficients(parties, data, degree, rows):
    _, holder, encryptor = parties(1, value_bound=10**9)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values, coefficients = rng.integers(-50, 51, rows), rng.integers(-2000, 2001, (rows, degree))
    plain = rng.integers(-(10**6), 10**6, rows)
    powers = encryptor.read_powers(encryptor.encrypt_powers(values, degree), rows, degree, bound=50)
    vector = powers.polynomial(coefficients, plain)
    expected = sum(coefficients[:, k] * values ** (k + 1) for k in range(degree)) + plain
    weights = draw_weights(data, rows, 3)
    for one in (vector, encryptor.read(vector.to_bytes(), rows, bound=vector.bound)):
        sums = one.weighted_sums(weights)
        assert sums.reveal(holder.open(sums.question)) == (weights.T @ expected).tolist()


def test_a_key_of_the_real_length_gives_the_known_answer(monkeypatch):
    monkeypatch.setattr("riskfed.secure.paillier_key.MINIMUM_KEY_BITS", 2048)
    layout = VectorLayout(2048, 2**26, 2**25, 2048)
    assert (layout.stride, layout.sums_per_ciphertext, layout.fields) == (129, 3, 15)
    holder = VectorKey(generate_paillier_key(), layout)
    encryptor = VectorEncryptor(holder.public, layout)
    vector = encryptor.read(encryptor.encrypt(np.array([2**26, -(2**26), 1, 0, -7])), 5)
    sums = vector.weighted_sums(np.array([[2**25, 1], [-(2**25), 1], [3, 0], [5, 9], [-1, 2]]))
    assert sums.reveal(holder.open(sums.question)) == [2**52 + 10, -14]


def test_phe_opens_what_is_encrypted(parties):
    key, holder, encryptor = parties(3)
    values = np.array([5, -7, VALUE, -VALUE, 0])
    stride = encryptor._side.layout.stride
    expected = [5 + (-7 << stride) + (VALUE << 2 * stride), -VALUE]
    for message in (holder.encrypt(values), encryptor.encrypt(values)):
        opened = [key.raw_decrypt(int(c)) for c in numbers(encryptor, message, 5)]
        assert opened == [value % key.public_key.n for value in expected]


@pytest.mark.parametrize("k", [1, 2])
def test_the_key_holder_sees_the_same_whatever_the_data(parties, k):
    """Every field that it opens, for the largest and the smallest sums that there can be: uniform, and alike."""
    key, _, encryptor = parties(k)
    layout, seen = encryptor._side.layout, []
    for sign in (1, -1):
        vector = encryptor.read(encryptor.encrypt(np.full(ROWS, sign * VALUE)), ROWS)
        question = vector.weighted_sums(np.full((ROWS, 240), WEIGHT)).question
        plaintexts = [key.raw_decrypt(int(c)) for c in numbers(encryptor, question, 240, QUESTION)]
        tops = [[m >> (layout.stride * i + layout.stride - 2) & 3 for m in plaintexts] for i in range(layout.fields)]
        assert all(chisquare(np.bincount(top, minlength=4)).pvalue > 1e-7 for top in tops)
        seen.append(np.bincount(np.ravel(tops), minlength=4))
    assert chi2_contingency(seen).pvalue > 1e-7


def test_other_rows_fields_are_not_handed_out(parties, monkeypatch):
    """Vectors that differ only in rows without weight, in the same ciphertexts: opened alike, under the same masks."""
    key, holder, encryptor = parties(2)
    weights = np.array([[3, 1], [0, 0], [-2, 5], [0, 0]])
    opened, plaintexts = [], []
    for others in (VALUE, -VALUE):
        vector = encryptor.read(encryptor.encrypt(np.array([7, others, 11, others])), 4)
        with monkeypatch.context() as patch:
            patch.setattr("secrets.randbelow", lambda limit: limit // 3)
            sums = vector.weighted_sums(weights)
        opened.append(holder.open(sums.question))
        plaintexts += [key.raw_decrypt(int(c)) for c in numbers(encryptor, sums.question, 2, QUESTION)]
        assert sums.reveal(opened[-1]) == [-1, 62]
    assert opened[0] == opened[1]
    assert len(set(plaintexts)) == len(plaintexts)


def test_what_leaves_is_rerandomised(parties):
    """Divided by what came in it is no 1 + n m; and its symbol mod n says nothing."""
    _, holder, encryptor = parties(1)
    n = encryptor._side.n
    sent = encryptor.encrypt(np.zeros(ROWS, np.int64))
    vector = encryptor.read(sent, ROWS, bound=0)
    returned = [numbers(encryptor, vector.plus(np.arange(ROWS)).to_bytes(), ROWS) for _ in range(4)]
    ratios = [
        a * gmpy2.invert(b, n) % n for message in returned for a, b in zip(message, numbers(encryptor, sent, ROWS))
    ]
    assert mpz(1) not in ratios
    assert len(set(ratios)) == 4 * ROWS
    assert 40 < sum(gmpy2.jacobi(ratio, n) == 1 for ratio in ratios) < 120
    nothing = vector.weighted_sums(np.zeros((ROWS, 40), np.int64))
    questions = numbers(encryptor, nothing.question, 40, QUESTION)
    assert len({c % n for c in questions} | {mpz(1)}) == len(questions) + 1
    assert nothing.reveal(holder.open(nothing.question)) == [0] * 40


def test_values_beyond_the_bounds_are_refused(parties):
    _, holder, encryptor = parties(2)
    for values in (np.array([VALUE + 1]), np.array([-VALUE - 1]), np.zeros(ROWS + 1, np.int64), np.zeros(0, np.int64)):
        for party in (holder, encryptor):
            with pytest.raises(LocalProtocolError, match="to be encrypted"):
                party.encrypt(values)
    data = encryptor.encrypt(np.arange(5))
    vector = encryptor.read(data, 5, bound=4)
    with pytest.raises(LocalProtocolError, match="read\\(..., bound=\\)"):
        encryptor.read(data, 5).plus(np.array([0, 0, 1, 0, 0]))
    with pytest.raises(LocalProtocolError, match="value_bound"):
        vector.plus(np.full(5, VALUE - 4)).plus(np.array([0, 0, -1, 0, 0]))
    for wrong in (np.zeros(4, np.int64), np.zeros(5), np.zeros((5, 1), np.int64), np.zeros(5, bool)):
        with pytest.raises(LocalProtocolError, match="plain values"):
            vector.plus(wrong)
    for weight in (WEIGHT + 1, -WEIGHT - 1, -(2**63)):
        with pytest.raises(LocalProtocolError, match="weight bound"):
            vector.weighted_sums(np.array([[weight]] * 5))
    for wrong in (np.zeros(5, np.int64), np.zeros((4, 1), np.int64), np.zeros((5, 0), np.int64), np.zeros((5, 1))):
        with pytest.raises(LocalProtocolError, match="weights of shape"):
            vector.weighted_sums(wrong)
    for rows, bound in ((0, None), (ROWS + 1, None), (5, VALUE + 1), (5, -1)):
        with pytest.raises(LocalProtocolError, match="was to be read"):
            encryptor.read(data, rows, bound=bound)


def test_polynomials_beyond_the_bounds_are_refused(parties):
    _, _, encryptor = parties(1)
    data = encryptor.encrypt_powers(np.array([3, -10]), 3)
    powers = encryptor.read_powers(data, 2, 3)
    assert powers.bound == 10
    with pytest.raises(LocalProtocolError, match="polynomial"):
        powers.polynomial(np.array([[1, 0, 1], [0, 0, 0]]), np.zeros(2, np.int64))
    with pytest.raises(LocalProtocolError, match="2 coefficients"):
        powers.polynomial(np.zeros((2, 2), np.int64), np.zeros(2, np.int64))
    with pytest.raises(LocalProtocolError, match="within its value bound"):
        encryptor.encrypt_powers(np.array([11]), 3)
    with pytest.raises(LocalProtocolError, match="expected 1 row"):
        parties(2)[2].encrypt_powers(np.array([1]), 3)
    with pytest.raises(RemoteProtocolError, match="encrypted powers"):
        encryptor.read_powers(data, 2, 2)


def test_an_answer_to_another_question_is_refused(parties):
    key, holder, encryptor = parties(2)
    vector = encryptor.read(encryptor.encrypt(np.arange(6)), 6)
    first, second = (vector.weighted_sums(np.full((6, 3), weight)) for weight in (1, 2))
    with pytest.raises(ProtectionError, match="larger than any rows can have"):
        first.reveal(holder.open(second.question))
    for changed in (
        b"",
        holder.open(first.question)[:-1],
        holder.open(vector.weighted_sums(np.ones((6, 2), int)).question),
    ):
        with pytest.raises(RemoteProtocolError, match="the opened sums"):
            first.reveal(changed)
    too_long = mpz(key.public_key.raw_encrypt(key.public_key.n - 1)).to_bytes(SHORT_KEY_BITS // 4, "big")
    with pytest.raises(ProtectionError, match="no masked sums can be"):
        holder.open(first.question[: -len(too_long)] + too_long)


def test_one_key_serves_several_layouts(parties):
    key, _, encryptor = parties(2)
    layout = VectorLayout(SHORT_KEY_BITS, 3, 7, 5, 1)
    holder = VectorKey(key, layout)
    other = encryptor.with_layout(holder.public, layout)
    sums = other.read(other.encrypt(np.array([1, 2, -3])), 3).weighted_sums(np.array([[7], [0], [1]]))
    assert sums.reveal(holder.open(sums.question)) == [4]
    with pytest.raises(LocalProtocolError, match="allows 1 to 5, of at most 2 bits"):
        other.encrypt(np.array([4]))
    with pytest.raises(RemoteProtocolError, match="another key"):
        encryptor.with_layout(VectorKey(generate_paillier_key(SHORT_KEY_BITS), layout).public, layout)


def test_the_key_is_neither_shown_nor_pickled(parties):
    key, holder, encryptor = parties(2)
    vector = encryptor.read(encryptor.encrypt(np.arange(6)), 6, bound=5)
    shown = repr(holder) + repr(encryptor) + repr(vector) + repr(vector.weighted_sums(np.ones((6, 1), int)))
    assert len(shown) < 1000
    assert str(key.p) not in shown
    with pytest.raises(LocalProtocolError, match="not pickled"):
        pickle.dumps(holder)
