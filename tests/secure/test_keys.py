"""Identities, contexts and session keys."""

import copy
import hashlib
import hmac
import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from riskfed.errors import ConfigurationError, LocalProtocolError, PlanError
from riskfed.secure import Context, Identity, fingerprint
from tests.secure.banks import context_of, fixed_session, session


def length_prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_an_identity_survives_pem(passphrase):
    identity = Identity.generate()
    again = Identity.from_pem(identity.to_pem(passphrase), passphrase)
    assert again.public == identity.public
    assert again.sign(b"message") == identity.sign(b"message")


def test_pem_under_a_passphrase_does_not_open_without_it():
    pem = Identity.generate().to_pem("right")
    for passphrase in (None, "wrong"):
        with pytest.raises(ConfigurationError, match="passphrase"):
            Identity.from_pem(pem, passphrase)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_pem_is_refused(pem):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Identity.from_pem(pem)


def test_a_key_of_another_kind_is_refused():
    pem = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ConfigurationError, match="expected Ed25519"):
        Identity.from_pem(pem)


def test_fingerprint_is_the_start_of_the_sha256_of_the_raw_key():
    public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8032, section 7.1, test 1
    assert fingerprint(public) == "21fe-31df-a154-a261-626b-f854-046f-d227"


@pytest.mark.parametrize("public", ["", "AAAA", "not base64!", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo"])
def test_a_malformed_public_key_is_refused(public):
    with pytest.raises(ConfigurationError, match="32 bytes in base64"):
        fingerprint(public)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run": ""}, "no name"),
        ({"attempt": -1}, "attempt"),
        ({"roster": ("alpha",)}, "names 1 banks"),
        ({"roster": tuple(f"{i:03}" for i in range(256))}, "names 256 banks"),
        ({"roster": ("beta", "alpha", "gamma")}, "sorted"),
        ({"roster": ("alpha", "alpha", "beta")}, "sorted"),
        ({"roster": ("", "alpha", "beta")}, "empty"),
        ({"plan_digest": b"short"}, "5 bytes"),
    ],
)
def test_an_impossible_context_is_refused(fields, message):
    good = {"run": "run", "attempt": 0, "roster": ("alpha", "beta", "gamma"), "plan_digest": bytes(32)}
    with pytest.raises(PlanError, match=message):
        Context(**(good | fields))


def test_the_digest_of_a_context_is_sha256_of_all_fields_with_their_lengths():
    context = context_of()
    names = length_prefixed(b"alpha", b"beta", b"gamma")
    parts = (b"riskfed context v1", b"run", bytes(4), names, hashlib.sha256(b"plan").digest())
    assert context.digest == hashlib.sha256(length_prefixed(*parts)).digest()


def test_contexts_that_differ_in_any_field_have_different_digests():
    contexts = [
        context_of(),
        context_of(run="run2"),
        context_of(attempt=1),
        context_of(plan=b"other"),
        context_of(roster=("alpha", "beta", "gammadelta")),
        context_of(roster=("alpha", "betagamma", "delta")),
        context_of(roster=("alpha", "beta", "delta", "gamma")),
    ]
    assert len({context.digest for context in contexts}) == len(contexts)


def test_derived_keys_are_the_known_ones():
    """Written down when the format was fixed: a change here breaks agreement between banks of different versions."""
    keys = fixed_session()["alpha"]
    info = length_prefixed(b"riskfed key v1", b"group", keys.context.digest, b"label", (5).to_bytes(8, "big"))
    extracted = hmac.digest(bytes(32), keys.group_key, "sha256")
    assert keys.derive("label", 5) == hmac.digest(extracted, info + b"\x01", "sha256")
    assert keys.derive("label", 5).hex() == "85eead586b20f29fb189a38fd5b2dcc2175ec12d7ad61b820111401e96a337c2"
    assert (
        keys.derive_pair("beta", "label", 5).hex() == "7ddc55d08a1f0f525885bc008df676cfe69f0c0485da820428bf1d7b70741778"
    )


def test_both_ends_of_a_pair_derive_the_same_key_and_no_other_bank_does():
    keys = session()
    assert keys["alpha"].derive_pair("beta", "x", 1) == keys["beta"].derive_pair("alpha", "x", 1)
    derived = {
        keys[a].derive_pair(b, label, step)
        for a, b in [("alpha", "beta"), ("alpha", "gamma"), ("beta", "gamma")]
        for label in ("x", "y")
        for step in (1, 2)
    }
    derived |= {keys["alpha"].derive(label, step) for label in ("x", "y") for step in (1, 2)}
    assert len(derived) == 3 * 4 + 4


def test_no_key_is_shared_with_a_bank_outside_the_roster():
    with pytest.raises(LocalProtocolError, match="shares no key with delta"):
        session()["alpha"].derive_pair("delta", "x", 0)


def test_a_step_is_used_once_and_steps_only_rise():
    keys = session()["alpha"]
    keys.use_step(0)
    keys.use_step(7)
    for step in (7, 6, 0, -1):
        with pytest.raises(LocalProtocolError, match="in rising order"):
            keys.use_step(step)


def test_secrets_are_neither_shown_nor_pickled_nor_copied():
    keys, identity = session()["alpha"], Identity.generate()
    shown = repr(keys) + str(keys) + f"{keys}" + repr(identity)
    for secret in (keys.group_key, *keys.pair_keys.values()):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    for holder in (keys, identity):
        with pytest.raises(LocalProtocolError, match="not pickled"):
            pickle.dumps(holder)
        with pytest.raises(LocalProtocolError, match="not pickled"):
            copy.deepcopy(holder)
