"""Protection of a sum by masks that cancel: bank A adds a stream that bank B subtracts (Bonawitz et al. 2017, section
4.0.1).

    part of bank u = v_u + sum_{w after u} m_uw - sum_{w before u} m_uw (+ pad, if u is the first of the roster)
    mod 2^64

Secret: pair masks m_uw (known to u and w) and the pad (known to all banks, not to the server), each an AES-256-CTR
stream under a fresh HKDF key of run, attempt, roster, plan, step and slot layout.

Who learns what. The server sees single parts, each behind a mask that it does not know, and their sum, which is the
pooled values behind the pad: uniform to it. One bank's pad suffices, because only the full sum is free of pair masks,
and the pad is in every full sum exactly once; a sum that lacks a bank, the first or another, still has pair masks on
it. The banks remove the pad and see the pooled values. The server together with k banks learns the sum of the others'
values; it can read no single one of them while at least two banks are honest. An outsider learns what the server
learns.

Why no (key, nonce) repeats: keys are bound to the step, and `SessionKeys.use_step` gives a step out once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from riskfed.errors import RemoteProtocolError
from riskfed.secure.primitives import Keystream
from riskfed.secure.protection import HEADER_BYTES, Header, StepwiseProtection, header_of_sum

_WORD: Final = np.dtype("<u8")
_CHUNK: Final = Keystream.CHUNK // _WORD.itemsize


class MaskingProtection(StepwiseProtection):
    """A bank's side. See the module for what is secret and who learns what."""

    name: str = "masking"

    def _width(self, _bound: int) -> int:
        return 64

    def _encrypt(self, buffer: np.ndarray, header: Header) -> bytes:
        """Mask the slots where they lie, chunk by chunk, so that each stream stays in the cache; 8 bytes a slot."""
        own, keys = self._keys.own_name, self._keys
        label = self._label("pair mask", header)
        plus = [Keystream(keys.derive_pair(o, label, header.step)) for o in keys.others if o > own]
        minus = [Keystream(keys.derive_pair(o, label, header.step)) for o in keys.others if o < own]
        if own == keys.context.roster[0]:
            plus.append(self._pad(header))
        message = buffer.astype(_WORD, copy=False).view(np.uint8)
        message[:HEADER_BYTES] = np.frombuffer(header.to_bytes(), dtype=np.uint8)
        _apply(message[HEADER_BYTES:].view(_WORD), plus, minus)
        return message.tobytes()

    def _decrypt(self, combined: bytes, _shares: Mapping[str, bytes], header: Header) -> np.ndarray:
        words = _body(combined, header).copy()
        _apply(words, [], [self._pad(header)])
        return words.view("<i8").astype(np.int64, copy=False)

    def _pad(self, header: Header) -> Keystream:
        return Keystream(self._keys.derive(self._label("pad", header), header.step))

    @staticmethod
    def _label(purpose: str, header: Header) -> str:
        # The number of values is bound too: a step answered with another length would not be under the same stream.
        return f"masking, {purpose}, {header.count} values"


class MaskingCombiner:
    """The server's side: addition mod 2^64 of bytes that are noise to it."""

    def __init__(self) -> None:
        self._buffer = np.empty(0, dtype=np.uint8)

    def combine(self, parts: Sequence[bytes]) -> bytes:
        """Add the parts of one step.

        Raises:
            RemoteProtocolError: a part is malformed, or of another step, run, scheme or length than the first.
        """
        header = header_of_sum(parts, MaskingProtection.name)
        bodies = [_body(part, header) for part in parts]
        if len(self._buffer) != len(parts[0]):
            self._buffer = np.empty(len(parts[0]), dtype=np.uint8)  # kept, because new memory is slow
        self._buffer[:HEADER_BYTES] = np.frombuffer(header.to_bytes(), dtype=np.uint8)
        total = self._buffer[HEADER_BYTES:].view(_WORD)
        total[:] = bodies[0]
        for body in bodies[1:]:
            total += body
        return self._buffer.tobytes()


def _apply(words: np.ndarray, plus: Sequence[Keystream], minus: Sequence[Keystream]) -> None:
    for start in range(0, len(words), _CHUNK):
        chunk = words[start : start + _CHUNK]
        for stream in plus:
            chunk += stream.words(len(chunk))
        for stream in minus:
            chunk -= stream.words(len(chunk))


def _body(message: bytes, header: Header) -> np.ndarray:
    if header.width != 64 or len(message) != HEADER_BYTES + _WORD.itemsize * header.slots:
        raise RemoteProtocolError(
            f"a masked message has {len(message)} bytes and slots of {header.width} bits; expected "
            f"{HEADER_BYTES + _WORD.itemsize * header.slots} bytes and 64 bits"
        )
    return np.frombuffer(message, dtype=_WORD, offset=HEADER_BYTES)
