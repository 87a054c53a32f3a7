"""The gradient cipher from end to end: the label holder opens exactly the feature holder's sums, and nothing else."""

import pickle

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, LocalProtocolError, ProtectionError, RemoteProtocolError
from riskfed.secure import generate_paillier_key
from riskfed.secure.gradient_cipher import CipherLayout, GradientOwner, GradientSummer
from riskfed.secure.gradient_cipher.messages import CELLS, ROWS, read_ciphertexts, write_ciphertexts
from tests.secure.banks import SHORT_KEY_BITS

pytestmark = pytest.mark.usefixtures("short_keys")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sides(key, layout: CipherLayout) -> tuple[GradientOwner, GradientSummer]:
    owner = GradientOwner(key, layout)
    return owner, GradientSummer(owner.public, least_key_bits=SHORT_KEY_BITS)


def plain_sums(nodes, codes, n_bins, g, h) -> list[list[int]]:
    """What the answer must hold, by masks and numpy's sums."""
    return [
        [int(v[rows][codes[feature][rows] == code].sum()) for v in (g, h)]
        for rows in nodes
        for feature, bins in enumerate(n_bins)
        for code in range(bins)
    ]


def problem(n_rows=90, n_bins=(5, 1, 3), scale=200, seed=0):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(-scale, scale + 1, n_rows), rng.integers(0, scale + 1, n_rows)
    codes = np.stack([rng.integers(0, bins + 1, n_rows) for bins in n_bins]).astype(np.uint8)
    codes[codes == np.array(n_bins, np.uint8)[:, None]] = 255
    nodes = [np.arange(n_rows), rng.permutation(n_rows)[: n_rows // 3].astype(np.int32), np.empty(0, np.int64)]
    return nodes, codes, n_bins, g, h


def layout_for(g, h, rows_per_ciphertext=2) -> CipherLayout:
    bounds = max(1, int(np.abs(g).sum())), max(1, int(h.sum()))
    return CipherLayout(SHORT_KEY_BITS, *bounds, rows_per_ciphertext)


@QUICK
@given(data=st.data(), rows=st.integers(1, 3), n_rows=st.integers(1, 60))
def test_the_answer_holds_the_plain_sums(short_key, data, rows, n_rows):
    n_bins = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    seed = data.draw(st.integers(0, 2**32 - 1))
    nodes, codes, n_bins, g, h = problem(n_rows, tuple(n_bins), data.draw(st.sampled_from([0, 1, 1000])), seed)
    owner, summer = sides(short_key, layout_for(g, h, rows))
    summer.take(owner.encrypt(g, h), n_rows)
    expected = plain_sums(nodes, codes, n_bins, g, h)
    assert owner.decrypt(summer.answer(nodes, codes, n_bins), len(expected)).tolist() == expected


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize("mask", ["lowest", "highest"])
@pytest.mark.parametrize("signs", [(1, 1), (-1, -1), (1, -1)])
def test_sums_at_the_bounds_open_under_the_extreme_masks(short_key, rows, mask, signs, monkeypatch):
    """Each row of each ciphertext in turn carries all that the bounds allow; every field's neighbours do too."""
    layout = CipherLayout(SHORT_KEY_BITS, 15, 15, rows)
    owner, summer = sides(short_key, layout)
    monkeypatch.setattr("secrets.randbelow", lambda limit: {"lowest": 0, "highest": limit - 1}[mask])
    n_rows = 3 * rows
    for full in range(rows):
        g, h = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
        g[full], h[full] = signs[0] * 15, 15
        codes = (np.arange(2 * n_rows).reshape(2, n_rows) % 3).astype(np.uint8)
        nodes = [np.arange(n_rows)]
        summer.take(owner.encrypt(g, h), n_rows)
        expected = plain_sums(nodes, codes, (3, 3), g, h)
        assert owner.decrypt(summer.answer(nodes, codes, (3, 3)), 6).tolist() == expected


def test_a_key_of_the_real_length_gives_the_known_answer(monkeypatch):
    monkeypatch.setattr("riskfed.secure.paillier_key.MINIMUM_KEY_BITS", 2048)
    layout = CipherLayout(2048, 2**62, 2**60, 2)
    assert (layout.value_bits, layout.stride, layout.cells_per_ciphertext) == (125, 186, 5)
    owner = GradientOwner(generate_paillier_key(), layout)
    summer = GradientSummer(owner.public)
    g, h = np.array([2**61, 5 - 2**62, 2**61 - 3, 3, -5]), np.array([2**59, 7, 2**58, 0, 11])
    summer.take(owner.encrypt(g, h), 5)
    answer = summer.answer(
        [np.arange(5), np.array([4, 1])], np.array([[0, 1, 0, 2, 255], [1, 0, 1, 1, 1]], np.uint8), (3, 2)
    )
    known = [[2**62 - 3, 3 * 2**58], [5 - 2**62, 7], [3, 0], [5 - 2**62, 7], [2**62 - 5, 3 * 2**58 + 11]]
    known += [[0, 0], [5 - 2**62, 7], [0, 0], [5 - 2**62, 7], [-5, 11]]
    assert owner.decrypt(answer, 10).tolist() == known


def test_phe_opens_what_is_encrypted(short_key):
    _, _, _, g, h = problem(7)
    layout = layout_for(g, h, 3)
    ciphertexts = read_ciphertexts(ROWS, GradientOwner(short_key, layout).encrypt(g, h), 3, mpz(short_key.public_key.n))
    bits, n = layout.hessian_bits, short_key.public_key.n
    values = [int(a) * 2**bits + int(b) for a, b in zip(g, h)]
    for i, ciphertext in enumerate(ciphertexts):
        expected = sum(v << (layout.stride * s) for s, v in enumerate(values[3 * i : 3 * i + 3]))
        assert short_key.raw_decrypt(int(ciphertext)) == expected % n


@pytest.mark.parametrize("rows", [2, 3])
def test_other_rows_are_masked_and_answers_share_nothing(short_key, rows):
    """Two answers to one question: equal in the cells' fields, unrelated everywhere else."""
    nodes, codes, n_bins, g, h = problem()
    layout = layout_for(g, h, rows)
    owner, summer = sides(short_key, layout)
    summer.take(owner.encrypt(g, h), len(g))
    n_cells = 3 * sum(n_bins)
    numbers = [
        read_ciphertexts(
            CELLS, summer.answer(nodes, codes, n_bins), layout.n_answers(n_cells), mpz(short_key.public_key.n)
        )
        for _ in range(12)
    ]
    assert len({int(c) for answer in numbers for c in answer}) == 12 * len(numbers[0])
    plaintexts = [[short_key.raw_decrypt(int(c)) for c in answer] for answer in numbers]
    others, masks = layout.mask_bits, []
    for place in range(layout.cells_per_ciphertext + 1):
        start = place * rows * layout.stride
        for column in zip(*plaintexts):
            masks += [m >> start & ((1 << others) - 1) for m in column]
            if place < layout.cells_per_ciphertext:
                assert len({m >> (start + others) & ((1 << layout.stride) - 1) for m in column}) == 1
    assert len(set(masks)) == len(masks) > 300
    top = np.array([mask >> (others - 3) for mask in masks])
    assert others >= layout.value_bits + 61
    assert np.bincount(top, minlength=8).min() > len(masks) / 8 * 0.5


def test_an_empty_cell_looks_like_any_other(short_key):
    """Nothing was multiplied for it, and still its ciphertext is a fresh one, not 1 + n times something."""
    layout = CipherLayout(SHORT_KEY_BITS, 2**20, 2**20, 1)
    owner, summer = sides(short_key, layout)
    summer.take(owner.encrypt(np.array([3]), np.array([4])), 1)
    n = mpz(short_key.public_key.n)
    answers = [summer.answer([np.empty(0, np.int64)], np.zeros((1, 1), np.uint8), (2,)) for _ in range(2)]
    first, second = (read_ciphertexts(CELLS, answer, 1, n)[0] for answer in answers)
    assert first % n not in (1, second % n)
    assert owner.decrypt(answers[0], 2).tolist() == [[0, 0], [0, 0]]


def test_changed_bins_are_summed_anew(short_key):
    """Even in the same array: the plan of sums is kept for equal bins only."""
    nodes, codes, n_bins, g, h = problem()
    owner, summer = sides(short_key, layout_for(g, h))
    summer.take(owner.encrypt(g, h), len(g))
    for _ in range(2):
        expected = plain_sums(nodes, codes, n_bins, g, h)
        assert owner.decrypt(summer.answer(nodes, codes, n_bins), len(expected)).tolist() == expected
        codes[0] = codes[0, ::-1]


def test_numbers_that_are_no_ciphertexts_are_refused_on_both_sides(short_key):
    """A multiple of p would tell the label holder, through any mask, whether the row was summed."""
    nodes, codes, n_bins, g, h = problem(9)
    layout = layout_for(g, h)
    owner, summer = sides(short_key, layout)
    rows = owner.encrypt(g, h)
    summer.take(rows, 9)
    n_cells = 3 * sum(n_bins)
    answer = summer.answer(nodes, codes, n_bins)
    n = short_key.public_key.n
    for wrong in (0, n * n, n * n + 1, n, int(short_key.p), 3 * int(short_key.q)):
        for kind, message, count in ((ROWS, rows, 5), (CELLS, answer, layout.n_answers(n_cells))):
            numbers = read_ciphertexts(kind, message, count, mpz(n))
            changed = write_ciphertexts(kind, [*numbers[:-1], mpz(wrong)], SHORT_KEY_BITS)
            with pytest.raises(RemoteProtocolError, match="is not a ciphertext"):
                summer.take(changed, 9) if kind == ROWS else owner.decrypt(changed, n_cells)


def test_messages_of_another_length_count_or_kind_are_refused(short_key):
    nodes, codes, n_bins, g, h = problem(9)
    owner, summer = sides(short_key, layout_for(g, h))
    rows = owner.encrypt(g, h)
    for changed, count in ((rows[:-1], 9), (rows + b"\0", 9), (rows, 11), (b"", 9), (b"X" + rows[1:], 9)):
        with pytest.raises(RemoteProtocolError, match="label holder's rows"):
            summer.take(changed, count)
    with pytest.raises(LocalProtocolError, match="0 encrypted rows"):
        summer.answer(nodes, codes, n_bins)
    summer.take(rows, 9)
    answer = summer.answer(nodes, codes, n_bins)
    for changed, count in ((answer[:-1], 27), (answer, 99), (rows, 27)):
        with pytest.raises(RemoteProtocolError, match="feature holder's answer"):
            owner.decrypt(changed, count)
    for wrong in ([np.array([9])], [np.array([-1])]):
        with pytest.raises(LocalProtocolError, match="outside of the 9"):
            summer.answer(wrong, codes, n_bins)


def test_an_answer_that_no_rows_can_have_blames_the_feature_holder(short_key):
    g, h = np.array([3, -2]), np.array([4, 1])
    layout = CipherLayout(SHORT_KEY_BITS, 5, 5, 2)
    owner = GradientOwner(short_key, layout)
    n = short_key.public_key.n
    for plaintext in (n - 1, 1 << (layout.stride * layout.fields), 1 << (2 * layout.stride - 1)):
        changed = write_ciphertexts(CELLS, [mpz(short_key.public_key.raw_encrypt(plaintext))], SHORT_KEY_BITS)
        with pytest.raises(ProtectionError, match="feature holder's answer"):
            owner.decrypt(changed, 1)
    other = GradientOwner(short_key, CipherLayout(SHORT_KEY_BITS, 500, 500, 2))
    summer = GradientSummer(other.public, least_key_bits=SHORT_KEY_BITS)
    summer.take(owner.encrypt(g, h), 2)
    with pytest.raises(ProtectionError, match="feature holder's answer"):
        owner.decrypt(summer.answer([np.arange(2)], np.zeros((1, 2), np.uint8), (1,)), 1)


def test_short_keys_and_foreign_layouts_are_refused(short_key, monkeypatch):
    layout = CipherLayout(SHORT_KEY_BITS, 5, 5)
    owner = GradientOwner(short_key, layout)
    with pytest.raises(ProtectionError, match="512 bits; this party's policy asks for 2048"):
        GradientSummer(owner.public)
    with pytest.raises(ConfigurationError, match="key of 1024 bits; the key has 512"):
        GradientOwner(short_key, CipherLayout(1024, 5, 5))
    monkeypatch.setattr("riskfed.secure.paillier_key.MINIMUM_KEY_BITS", 2048)
    with pytest.raises(ProtectionError, match="at least 2048"):
        GradientSummer(owner.public, least_key_bits=SHORT_KEY_BITS)
    with pytest.raises(ProtectionError, match="at least 2048"):
        GradientOwner(short_key, layout)


def test_gradients_beyond_the_bounds_are_not_encrypted(short_key):
    owner = GradientOwner(short_key, CipherLayout(SHORT_KEY_BITS, 5, 5))
    for g, h in (([3, 3], [1, 1]), ([-3, -3], [1, 1]), ([1, 1], [3, 3]), ([1, 1], [-1, 1])):
        with pytest.raises(LocalProtocolError, match="bounds"):
            owner.encrypt(np.array(g), np.array(h))
    owner.encrypt(np.array([5, -5]), np.array([5, 0]))
    with pytest.raises(LocalProtocolError, match="one of each row"):
        owner.encrypt(np.array([1, 2]), np.array([1]))


def test_the_key_is_neither_shown_nor_pickled(short_key):
    owner = GradientOwner(short_key, CipherLayout(SHORT_KEY_BITS, 5, 5))
    assert str(short_key.p) not in repr(owner)
    with pytest.raises(LocalProtocolError, match="not pickled"):
        pickle.dumps(owner)
    assert int(short_key.p).to_bytes(32, "big") not in owner.public
