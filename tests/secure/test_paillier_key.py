"""Paillier keys: their form, their transport, and the refusal of weak ones."""

import copy
import pickle

import gmpy2
import pytest
from phe import PaillierPrivateKey, PaillierPublicKey, generate_paillier_keypair

from riskfed.errors import LocalProtocolError, ProtectionError
from riskfed.secure import (
    PaillierCombiner,
    PaillierKey,
    PaillierProtection,
    combiner_for,
    generate_paillier_key,
    paillier_key,
    parse_private,
    parse_public,
    serialize_private,
    serialize_public,
)
from tests.secure.banks import SHORT_KEY_BITS, session

pytestmark = pytest.mark.usefixtures("short_keys")


def other_fields(key: PaillierKey) -> dict[str, object]:
    return {"p": key.p, "q": key.q, "cofactors": key.cofactors, "generators": key.generators}


@pytest.mark.parametrize("bits", [512, 514, 768])
def test_a_key_has_the_length_that_was_asked_for_and_primes_of_the_promised_form(bits):
    key = generate_paillier_key(bits)
    assert key.public_key.n.bit_length() == bits
    for prime, cofactor, generator in zip((key.p, key.q), key.cofactors, key.generators, strict=True):
        factor = (prime - 1) // (2 * cofactor)
        assert 2 * cofactor * factor + 1 == prime
        assert all(gmpy2.is_prime(number) for number in (prime, cofactor, factor))
        assert all(pow(generator, (prime - 1) // f, prime) != 1 for f in (2, cofactor, factor))
        assert factor.bit_length() >= bits // 2 - 131


def test_the_default_key_has_2048_bits(monkeypatch):
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 2048)
    assert generate_paillier_key().public_key.n.bit_length() == 2048


def test_a_key_is_a_phe_key(short_key):
    assert isinstance(short_key, PaillierPrivateKey)
    number = short_key.public_key.encrypt(3.25)
    assert short_key.decrypt(number + 1) == 4.25


def test_keys_survive_transport(short_key):
    again = parse_private(serialize_private(short_key))
    assert other_fields(again) == other_fields(short_key)
    assert parse_public(serialize_public(short_key.public_key)) == short_key.public_key


def test_cut_or_lengthened_or_swapped_bytes_are_refused(short_key):
    private, public = serialize_private(short_key), serialize_public(short_key.public_key)
    for data in (b"", private[:-1], private + b"\0", public, private[:50]):
        with pytest.raises(ProtectionError, match="private Paillier key is malformed"):
            parse_private(data)
    for data in (b"", public[:-1], public + b"\0", private):
        with pytest.raises(ProtectionError, match="public Paillier key is malformed"):
            parse_public(data)


def test_short_keys_are_refused_everywhere(short_key, monkeypatch):
    private, public = serialize_private(short_key), serialize_public(short_key.public_key)
    keys = session()["alpha"]
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 2048)
    weak = "has 512 bits; expected at least 2048"
    for use in (
        lambda: parse_private(private),
        lambda: parse_public(public),
        lambda: combiner_for("paillier", public),
        lambda: PaillierCombiner(short_key.public_key),
        lambda: PaillierProtection(keys, short_key),
        lambda: generate_paillier_key(SHORT_KEY_BITS),
    ):
        with pytest.raises(ProtectionError, match=weak):
            use()


def test_an_odd_length_is_refused():
    with pytest.raises(ProtectionError, match="even"):
        generate_paillier_key(513)


def test_keys_that_are_not_of_the_promised_form_are_refused(short_key):
    """Such as a bank could send that wants the others' randomness to come from a small subgroup."""
    p, q = short_key.p, short_key.q
    square_of_generator = pow(short_key.generators[0], 2, p)
    foreign = generate_paillier_keypair(n_length=SHORT_KEY_BITS)[1]
    composite = p + 2
    while gmpy2.is_prime(composite):
        composite += 2
    wrong = [
        {"generators": (1, short_key.generators[1])},
        {"generators": (p - 1, short_key.generators[1])},
        {"generators": (square_of_generator, short_key.generators[1])},
        {"generators": (0, short_key.generators[1])},
        {"cofactors": (1, short_key.cofactors[1])},
        {"cofactors": short_key.cofactors[::-1]},
        {"p": q, "q": p},
        {"p": composite},
        {"p": int(foreign.p), "q": int(foreign.q)},
        {"q": p},
    ]
    for fields in wrong:
        with pytest.raises(ProtectionError, match="must make another"):
            PaillierKey(**(other_fields(short_key) | fields))


def test_the_private_key_is_neither_shown_nor_pickled_nor_copied(short_key):
    shown = repr(short_key) + repr(short_key.obfuscators) + str(short_key)
    for number in (short_key.p, short_key.q, *short_key.cofactors, *short_key.generators):
        assert str(number) not in shown
        assert f"{number:x}" not in shown
    for copier in (pickle.dumps, copy.deepcopy):
        with pytest.raises(LocalProtocolError, match="not pickled"):
            copier(short_key)


def test_a_public_key_of_phe_can_be_sent():
    public = generate_paillier_keypair(n_length=SHORT_KEY_BITS)[0]
    assert parse_public(serialize_public(public)) == PaillierPublicKey(public.n)
