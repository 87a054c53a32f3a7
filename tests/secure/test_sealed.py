"""Envelopes open where and when they were meant to, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import LocalProtocolError, ProtectionError
from riskfed.secure import open_from, open_sealed, seal, seal_to_all
from tests.secure.banks import context_of, fixed_session

KEYS = fixed_session()


@given(st.binary(max_size=1000), st.text(max_size=10), st.integers(0, 2**63 - 1))
def test_an_envelope_opens_at_its_recipient(payload, label, step):
    sealed = seal(KEYS["alpha"], "beta", payload, label, step)
    assert len(sealed) == len(payload) + 48
    assert open_sealed(KEYS["beta"], "alpha", sealed, label, step) == payload
    assert open_from(KEYS["gamma"], "alpha", seal_to_all(KEYS["alpha"], payload, label, step), label, step) == payload


def test_an_envelope_does_not_open_elsewhere():
    sealed = seal(KEYS["alpha"], "beta", b"payload", "label", 3)
    elsewhere = [
        ("gamma", "alpha", "label", 3),
        ("beta", "gamma", "label", 3),
        ("alpha", "beta", "label", 3),
        ("beta", "alpha", "label2", 3),
        ("beta", "alpha", "label", 4),
    ]
    for reader, sender, label, step in elsewhere:
        with pytest.raises(ProtectionError, match=f"step {step} from {sender} does not open"):
            open_sealed(KEYS[reader], sender, sealed, label, step)
    other_attempt = fixed_session(context_of(attempt=1))
    with pytest.raises(ProtectionError, match="does not open"):
        open_sealed(other_attempt["beta"], "alpha", sealed, "label", 3)


def test_an_envelope_for_all_names_its_sender_label_and_step():
    sealed = seal_to_all(KEYS["alpha"], b"payload", "label", 3)
    for sender, label, step in [("gamma", "label", 3), ("alpha", "other", 3), ("alpha", "label", 2)]:
        with pytest.raises(ProtectionError, match="does not open"):
            open_from(KEYS["beta"], sender, sealed, label, step)


def test_every_changed_bit_is_found():
    sealed = seal(KEYS["alpha"], "beta", b"p", "label", 0)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtectionError):
            open_sealed(KEYS["beta"], "alpha", bytes(changed), "label", 0)


def test_nothing_is_sealed_to_a_stranger_or_to_oneself():
    for to in ("delta", "alpha", ""):
        with pytest.raises(LocalProtocolError, match="shares no key"):
            seal(KEYS["alpha"], to, b"payload", "label", 0)
