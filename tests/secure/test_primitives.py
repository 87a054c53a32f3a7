"""Known answers of the primitives, from the documents that define them."""

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from riskfed.secure.keys import Identity
from riskfed.secure.primitives import SEAL_OVERHEAD, Keystream, decrypt, encrypt, frame, hkdf


def test_hkdf_gives_the_answers_of_rfc_5869_appendix_a():
    secret, salt, info = b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA))
    assert hkdf(secret, salt=salt, info=info, length=42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert hkdf(secret, info=b"", length=42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@given(st.binary(min_size=1), st.binary(), st.binary(), st.integers(1, 100))
def test_hkdf_is_two_rounds_of_hmac(secret, salt, info, length):
    key = hmac.digest(salt or bytes(32), secret, "sha256")
    stream, block, counter = b"", b"", 0
    while len(stream) < length:
        counter += 1
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        stream += block
    assert hkdf(secret, salt=salt, info=info, length=length) == stream[:length]


def test_x25519_gives_the_answers_of_rfc_7748_section_5_2():
    scalar = point = (9).to_bytes(32, "little")
    for iteration in range(1000):
        shared = X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
        scalar, point = shared, scalar
        if iteration == 0:
            assert shared.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert scalar.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_identity_gives_the_signature_of_rfc_8032_section_7_1():
    key = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert Identity(key).sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_keystream_gives_the_known_answer_of_aes_256_with_zero_key_and_zero_block():
    assert Keystream(bytes(32)).read(16).hex() == "dc95c078a2408989ad48a21492842087"


def test_words_and_bytes_of_a_keystream_are_the_same_stream():
    key = hashlib.sha256(b"stream").digest()
    stream = Keystream(key)
    words = np.concatenate([stream.words(count).copy() for count in (1, 4096, 7, Keystream.CHUNK // 8)])
    assert words.astype("<u8").tobytes() == Keystream(key).read(8 * len(words))


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.binary(max_size=20), max_size=5))
def test_frame_tells_different_tuples_apart(one, other):
    assert (frame(*one) == frame(*other)) == (one == other)


def test_the_same_payload_is_never_encrypted_to_the_same_bytes():
    messages = {encrypt(bytes(32), b"payload", b"bound") for _ in range(100)}
    assert len(messages) == len({message[:32] for message in messages}) == 100
    assert {len(message) for message in messages} == {len(b"payload") + SEAL_OVERHEAD}
    assert {decrypt(bytes(32), message, b"bound") for message in messages} == {b"payload"}


@pytest.mark.parametrize("length", [0, 1, 31, 32, 47, 48])
def test_cut_messages_do_not_open(length):
    with pytest.raises(InvalidTag):
        decrypt(bytes(32), encrypt(bytes(32), b"payload", b"")[:length], b"")
