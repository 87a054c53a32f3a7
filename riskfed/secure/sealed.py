"""Envelopes between banks, which the server forwards and cannot open.

AES-256-GCM under keys from `SessionKeys`. Run, attempt, roster and plan (through the context's digest), sender,
recipient, label and step are associated data: an envelope opens only where and when it was meant to. Why no pair
(key, nonce) repeats is said at `riskfed.secure.primitives.encrypt`. An envelope proves that it comes from the named
sender only if it is pairwise: one for all is sealed under the group key, so any bank of the roster could have written
it, though nobody else.

A (sender, recipient, label, step) stands for one message; a program that sends two must number them.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag

from riskfed.errors import ProtectionError
from riskfed.secure.keys import SessionKeys
from riskfed.secure.primitives import decrypt, encrypt, frame

_TO_ALL: Final = b""  # no bank has an empty name


def seal(keys: SessionKeys, to: str, payload: bytes, label: str, step: int) -> bytes:
    """Encrypt `payload` so that only bank `to` can read it: 48 bytes longer.

    Raises:
        LocalProtocolError: `to` is the own bank, or not in the roster.
    """
    return encrypt(
        keys.derive_pair(to, "envelope", step), payload, _bound(keys, keys.own_name, to.encode(), label, step)
    )


def open_sealed(keys: SessionKeys, sender: str, sealed: bytes, label: str, step: int) -> bytes:
    """Decrypt what `sender` sealed to this bank under the same label and step.

    Raises:
        ProtectionError: it is another message, for another bank, label, step, run or roster, or it was changed.
        LocalProtocolError: `sender` is the own bank, or not in the roster.
    """
    key = keys.derive_pair(sender, "envelope", step)
    return _open(
        key, sealed, _bound(keys, sender, keys.own_name.encode(), label, step), sender=sender, label=label, step=step
    )


def seal_to_all(keys: SessionKeys, payload: bytes, label: str, step: int) -> bytes:
    """Encrypt `payload` so that all banks of the roster can read it: 48 bytes longer."""
    return encrypt(keys.derive("envelope", step), payload, _bound(keys, keys.own_name, _TO_ALL, label, step))


def open_from(keys: SessionKeys, sender: str, sealed: bytes, label: str, step: int) -> bytes:
    """Decrypt what `sender` sealed to all banks under the same label and step.

    Raises:
        ProtectionError: it is another message, of another bank, label, step, run or roster, or it was changed.
    """
    key = keys.derive("envelope", step)
    return _open(key, sealed, _bound(keys, sender, _TO_ALL, label, step), sender=sender, label=label, step=step)


def _bound(keys: SessionKeys, sender: str, recipient: bytes, label: str, step: int) -> bytes:
    return frame(
        b"riskfed envelope v1", keys.context.digest, sender.encode(), recipient, label.encode(), step.to_bytes(8, "big")
    )


def _open(key: bytes, sealed: bytes, bound: bytes, *, sender: str, label: str, step: int) -> bytes:
    try:
        return decrypt(key, sealed, bound)
    except InvalidTag:
        raise ProtectionError(
            f"the envelope {label!r} of step {step} from {sender} does not open: "
            "it was changed on its way, or is another message"
        ) from None
