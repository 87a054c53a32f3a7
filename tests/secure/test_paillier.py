"""Paillier: at home with phe, and opened by all banks together only."""

import hashlib

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from riskfed.errors import LocalProtocolError, ProtectionError, RemoteProtocolError
from riskfed.secure import PaillierCombiner, PaillierProtection, generate_paillier_key, open_from, seal_to_all
from riskfed.secure.canary import chi_square
from riskfed.secure.integrity import append_tags, tagged_widths
from riskfed.secure.packing import pack, unpack
from riskfed.secure.paillier import decrypt_raw
from riskfed.secure.protection import HEADER_BYTES
from riskfed.secure.slots import slot_widths
from tests.secure.banks import ROSTER, SHORT_KEY_BITS, fixed_session, random_values, session

pytestmark = pytest.mark.usefixtures("short_keys")
SIZE = 2 * SHORT_KEY_BITS // 8
BOUND = 2**62
WIDTHS = tagged_widths(slot_widths(BOUND, 40))
SLOTS = (SHORT_KEY_BITS - 1) // 64


def ciphertexts(message: bytes) -> list[int]:
    return [int.from_bytes(message[i : i + SIZE], "big") for i in range(HEADER_BYTES, len(message), SIZE)]


def message_of(header: bytes, numbers: list[int]) -> bytes:
    return header[:HEADER_BYTES] + b"".join(int(number).to_bytes(SIZE, "big") for number in numbers)


@pytest.fixture
def parties(short_key):
    return {name: PaillierProtection(keys, short_key) for name, keys in fixed_session().items()}


@pytest.fixture
def combiner(short_key):
    return PaillierCombiner(short_key.public_key)


def protected(parties, length: int = 40, step: int = 0, seed: int = 0):
    values = random_values(seed, ROSTER, length, BOUND)
    return values, {name: bank.protect(values[name], step, BOUND) for name, bank in parties.items()}


def test_phe_opens_the_combined_ciphertexts(parties, combiner, short_key):
    values, uploads = protected(parties)
    residues = [mpz(short_key.raw_decrypt(c)) for c in ciphertexts(combiner.combine(list(uploads.values())))]
    n = mpz(short_key.public_key.n)
    total = unpack(residues, n, WIDTHS)
    assert total[:40].tolist() == np.sum(list(values.values()), axis=0).tolist()


def test_what_phe_encrypted_can_be_added(parties, combiner, short_key):
    """Alpha adds phe's encryptions of 1 and of -1 to two of its ciphertexts: the first slots of both change."""
    values, uploads = protected(parties)
    public = short_key.public_key
    numbers = ciphertexts(uploads["alpha"])
    numbers[0] = numbers[0] * public.raw_encrypt(1) % public.nsquare
    numbers[1] = numbers[1] * public.raw_encrypt(public.n - 1) % public.nsquare
    uploads["alpha"] = message_of(uploads["alpha"], numbers)
    opened = decrypt_raw(short_key, [mpz(c) for c in ciphertexts(combiner.combine(list(uploads.values())))])
    expected = np.sum(list(values.values()), axis=0)
    expected[[0, SLOTS]] += [1, -1]
    assert unpack(opened, mpz(public.n), WIDTHS)[:40].tolist() == expected.tolist()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**510), min_size=0, max_size=8))
def test_raw_decryption_agrees_with_phes_encryption(short_key, plaintexts):
    numbers = [mpz(short_key.public_key.raw_encrypt(m)) for m in plaintexts]
    assert decrypt_raw(short_key, numbers) == plaintexts


def test_a_single_upload_opened_with_the_key_shows_nothing(short_key):
    """One bank's plaintexts, of zeros: uniform by the masks. The chance of a wrong alarm is one in a million."""
    for name, keys in session().items():
        upload = PaillierProtection(keys, short_key).protect(np.zeros(2000, np.int64), 0, BOUND)
        residues = decrypt_raw(short_key, [mpz(c) for c in ciphertexts(upload)])
        lower = b"".join(int(m).to_bytes(SIZE // 2, "big")[8:] for m in residues)
        assert chi2.sf(chi_square(np.frombuffer(lower, np.uint8)), 255) > 1e-6, name
        fractions = np.array([float(m / mpz(short_key.public_key.n)) for m in residues])
        assert abs(fractions.mean() - 0.5) < 6 / np.sqrt(12 * len(fractions))


def test_masks_cancel_in_the_full_sum_only(parties, combiner, short_key):
    values, uploads = protected(parties)
    n = mpz(short_key.public_key.n)
    opened = {
        names: decrypt_raw(short_key, [mpz(c) for c in ciphertexts(combiner.combine([uploads[x] for x in names]))])
        for names in [ROSTER, ("alpha", "beta"), ("beta", "gamma"), ("alpha",)]
    }
    keys = fixed_session()
    packed = zip(*(pack(append_tags(values[x], keys[x], 0), WIDTHS, SHORT_KEY_BITS) for x in ROSTER), strict=True)
    assert opened[ROSTER] == [sum(column) % n for column in packed]
    for names, residues in opened.items():
        if names != ROSTER:
            with pytest.raises(ProtectionError, match="not a packed sum"):
                unpack(residues, n, WIDTHS)


def test_the_same_values_never_give_the_same_ciphertexts(short_key):
    """Even with the same masks, which a repeated step would have: encryption is random by itself."""
    uploads = [PaillierProtection(fixed_session()["alpha"], short_key).protect(np.arange(9), 0, 10) for _ in range(5)]
    seen = [c for upload in uploads for c in ciphertexts(upload)]
    assert len(set(seen)) == len(seen)


def test_a_bank_opens_its_slice_only(parties, combiner, short_key):
    _, uploads = protected(parties, length=100)
    combined = combiner.combine(list(uploads.values()))
    expected = decrypt_raw(short_key, [mpz(c) for c in ciphertexts(combined)])
    keys = fixed_session()
    opened = []
    for name in ROSTER:
        payload = open_from(keys["beta"], name, parties[name].share(combined, 0), "paillier share", 0)
        assert payload[:32] == hashlib.sha256(combined).digest()
        part = [int.from_bytes(payload[i : i + SIZE // 2], "big") for i in range(32, len(payload), SIZE // 2)]
        assert len(part) in (len(expected) // 3, len(expected) // 3 + 1)
        opened += part
    assert opened == expected


def tampered_share(keys, share: bytes, change) -> bytes:
    return seal_to_all(keys, change(open_from(keys, keys.own_name, share, "paillier share", 0)), "paillier share", 0)


def test_missing_foreign_and_corrupt_shares_are_named(short_key, combiner):
    keys = fixed_session()
    changes = [
        (lambda s: {n: x for n, x in s.items() if n != "gamma"}, "share of gamma in opening step 0 is missing"),
        (lambda s: s | {"gamma": b""}, "share of gamma in opening step 0 is missing"),
        (lambda s: s | {"gamma": s["gamma"][:-1]}, "step 0 from gamma does not open"),
        (lambda s: s | {"gamma": s["beta"]}, "step 0 from gamma does not open"),
        (lambda s: s | {"beta": s["beta"][:-1] + bytes([s["beta"][-1] ^ 1])}, "step 0 from beta does not open"),
        (lambda s: s | {"gamma": tampered_share(keys["gamma"], s["gamma"], lambda p: p[:-1])}, "share of gamma .* has"),
        (
            lambda s: s | {"gamma": tampered_share(keys["gamma"], s["gamma"], lambda p: bytes(32) + p[32:])},
            "gamma was given another sum",
        ),
        (
            lambda s: s | {"beta": tampered_share(keys["beta"], s["beta"], lambda p: p[:-1] + bytes([p[-1] ^ 1]))},
            "packed sum|not that of what",
        ),
    ]
    for change, message in changes:
        parties = {name: PaillierProtection(k, short_key) for name, k in fixed_session().items()}
        _, uploads = protected(parties)
        combined = combiner.combine(list(uploads.values()))
        shares = {name: bank.share(combined, 0) for name, bank in parties.items()}
        with pytest.raises(ProtectionError, match=message):
            parties["alpha"].reveal(combined, change(shares), 0)


def test_banks_that_were_given_different_sums_find_out(parties, combiner, short_key):
    _, uploads = protected(parties)
    combined = combiner.combine(list(uploads.values()))
    numbers = ciphertexts(combined)
    zero = short_key.public_key.raw_encrypt(0)
    other = message_of(combined, [numbers[0] * zero % short_key.public_key.nsquare, *numbers[1:]])
    shares = {name: bank.share(other if name == "beta" else combined, 0) for name, bank in parties.items()}
    with pytest.raises(ProtectionError, match="beta was given another sum of step 0 than alpha"):
        parties["alpha"].reveal(combined, shares, 0)
    with pytest.raises(ProtectionError, match="beta opened its share of another sum"):
        parties["beta"].reveal(combined, shares, 0)


def test_a_share_is_given_once(parties, combiner):
    """Otherwise the server could have several sums opened in one step."""
    _, uploads = protected(parties)
    combined = combiner.combine(list(uploads.values()))
    parties["alpha"].share(combined, 0)
    with pytest.raises(LocalProtocolError, match="gave its share of step 0 already"):
        parties["alpha"].share(combined, 0)


FORGERIES = {
    "doubled": lambda c, key: [x * x % key.nsquare for x in c],
    "negated": lambda c, key: [pow(x, -1, key.nsquare) for x in c],
    "one added to a value": lambda c, key: [c[0] * (1 + key.n) % key.nsquare, *c[1:]],
    "one added to a tag": lambda c, key: [*c[:-1], c[-1] * (1 + key.n) % key.nsquare],
    "two ciphertexts swapped": lambda c, key: [c[1], c[0], *c[2:]],
    "slots shifted": lambda c, key: [pow(c[0], 2**64, key.nsquare), *c[1:]],
    "all zero": lambda c, key: [1 for _ in c],
    "one repeated": lambda c, key: [c[0] for _ in c],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_server_can_compute_under_encryption_is_found(parties, combiner, short_key, forgery):
    """The server can compute any linear function of the plaintexts; only the plain sum passes."""
    values = {name: np.arange(1, 41) for name in ROSTER}
    uploads = [bank.protect(values[name], 0, BOUND) for name, bank in parties.items()]
    combined = combiner.combine(uploads)
    wrong = message_of(combined, FORGERIES[forgery](ciphertexts(combined), short_key.public_key))
    shares = {name: bank.share(wrong, 0) for name, bank in parties.items()}
    with pytest.raises(ProtectionError, match="packed sum|not that of what"):
        parties["alpha"].reveal(wrong, shares, 0)


def test_numbers_that_are_no_ciphertexts_are_refused(parties, combiner, short_key):
    _, uploads = protected(parties)
    numbers = ciphertexts(uploads["beta"])
    n = short_key.public_key.n
    for wrong in (0, n * n, 2 ** (8 * SIZE) - 1):
        uploads["beta"] = message_of(uploads["beta"], [wrong, *numbers[1:]])
        with pytest.raises(RemoteProtocolError, match=r"outside of \(0, n\^2\)"):
            combiner.combine(list(uploads.values()))
    for wrong in (n, int(short_key.p), 5 * int(short_key.q)):
        uploads["beta"] = message_of(uploads["beta"], [*numbers[:-1], wrong])
        with pytest.raises(RemoteProtocolError, match="shares a factor"):
            combiner.combine(list(uploads.values()))


def test_a_sum_under_another_key_is_refused(short_key, parties):
    other = generate_paillier_key(SHORT_KEY_BITS)
    uploads = [PaillierProtection(k, other).protect(np.arange(40), 0, BOUND) for k in fixed_session().values()]
    combined = PaillierCombiner(other.public_key).combine(uploads)
    protected(parties)
    with pytest.raises((ProtectionError, RemoteProtocolError)):
        shares = {name: bank.share(combined, 0) for name, bank in parties.items()}
        parties["alpha"].reveal(combined, shares, 0)


def test_narrow_bounds_take_fewer_ciphertexts(short_key):
    sizes = [
        len(PaillierProtection(fixed_session()["alpha"], short_key).protect(np.zeros(500, np.int64), 0, bound))
        for bound in (0, 2**7, 2**38, 2**46, 2**54, 2**62)
    ]
    assert sizes == sorted(set(sizes))
    assert sizes[0] == HEADER_BYTES + SIZE  # the tag alone
    assert sizes[1] == HEADER_BYTES + SIZE * (
        -(-(500 - 25) // 56) + 1
    )  # 56 slots of 9 bits; 7 of 40 bits leave room for 25


@pytest.mark.slow
def test_keys_of_the_real_length(monkeypatch):
    monkeypatch.setattr("riskfed.secure.paillier_key.MINIMUM_KEY_BITS", 2048)
    key = generate_paillier_key()
    parties = {name: PaillierProtection(keys, key) for name, keys in session().items()}
    values = random_values(0, ROSTER, 1000, BOUND)
    combined = PaillierCombiner(key.public_key).combine([b.protect(values[n], 0, BOUND) for n, b in parties.items()])
    shares = {name: bank.share(combined, 0) for name, bank in parties.items()}
    expected = np.sum(list(values.values()), axis=0).tolist()
    assert all(bank.reveal(combined, shares, 0).tolist() == expected for bank in parties.values())
