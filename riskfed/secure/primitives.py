"""The few primitives that everything in `riskfed.secure` is made of, each from the `cryptography` package.

SHA-256 and HKDF-SHA256 (RFC 5869), AES-256-GCM (SP 800-38D) for messages, AES-256-CTR (SP 800-38A) for long
pseudorandom streams.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
SEAL_OVERHEAD: Final = SALT_BYTES + 16
"""Bytes by which `encrypt` lengthens a payload: the salt and GCM's tag."""

_ZERO_NONCE: Final = bytes(12)
_ZERO_COUNTER: Final = bytes(16)
_ZEROS: Final = bytes(1 << 17)
_SLACK: Final = 16  # update_into may ask for room for one block more than it writes


def frame(*parts: bytes) -> bytes:
    """Join byte strings so that different tuples never give the same result: each part behind its length, 8 bytes
    big-endian."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def digest(*parts: bytes) -> bytes:
    """SHA-256 of `frame(*parts)`: 32 bytes."""
    return hashlib.sha256(frame(*parts)).digest()


def hkdf(secret: bytes, *, salt: bytes = b"", info: bytes, length: int = KEY_BYTES) -> bytes:
    """HKDF-SHA256 (RFC 5869): `length` bytes, at most 8160, from a secret. An empty salt stands for 32 zero bytes."""
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt or None, info=info).derive(secret)


def encrypt(secret: bytes, payload: bytes, bound: bytes) -> bytes:
    """Authenticated encryption of `payload`, bound to the public bytes `bound`.

    Every message has a key of its own, HKDF(secret, 32 random bytes from the operating system), so GCM's nonce can be
    zero: a pair (key, nonce) would repeat only if the random salt did, 2^-128 after 2^64 messages. Nothing has to be
    counted or stored, so a process that restarts from an older state is no danger either.

    Returns:
        salt (32) || ciphertext || tag (16).
    """
    salt = secrets.token_bytes(SALT_BYTES)
    return salt + AESGCM(hkdf(secret, salt=salt, info=b"riskfed message key")).encrypt(_ZERO_NONCE, payload, bound)


def decrypt(secret: bytes, message: bytes, bound: bytes) -> bytes:
    """Undo `encrypt`.

    Raises:
        cryptography.exceptions.InvalidTag: another secret, another `bound`, or the message was changed or cut.
    """
    key = hkdf(secret, salt=message[:SALT_BYTES], info=b"riskfed message key")
    return AESGCM(key).decrypt(_ZERO_NONCE, message[SALT_BYTES:], bound)


class Keystream:
    """AES-256-CTR keystream from counter 0. The caller gives a key that is used for this one stream only."""

    CHUNK: Final = len(_ZEROS)
    """Most bytes that `words` gives at once; small enough to stay in the processor's cache."""

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(algorithms.AES256(key), modes.CTR(_ZERO_COUNTER)).encryptor()
        self._scratch = np.empty(self.CHUNK + _SLACK, dtype=np.uint8)

    def words(self, count: int) -> np.ndarray:
        """Next `count` words as (count,) uint64, little-endian in the stream; a view that the next call overwrites.

        `count` is at most CHUNK / 8.
        """
        size = 8 * count
        self._encryptor.update_into(memoryview(_ZEROS)[:size], self._scratch.data)
        return self._scratch[:size].view("<u8")

    def read(self, size: int) -> bytes:
        """Next `size` bytes."""
        return self._encryptor.update(bytes(size))
