"""Protection of a sum by masks that cancel: bank A adds a stream that bank B subtracts (Bonawitz et al. 2017, section
4.0.1).

    part of bank u = v_u + sum_{w after u} m_uw - sum_{w before u} m_uw (+ pad, if u is the first of the roster)
    mod 2^T

v_u is all of the bank's values and its tag in one long integer of T bits, a multiple of 64 (`riskfed.secure.slots`).

Secret: pair masks m_uw (known to u and w) and the pad (known to all banks, not to the server), each an AES-256-CTR
stream of T bits under a fresh HKDF key of run, attempt, roster, plan, step and slot layout.

Who learns what. The server sees single parts, each behind a mask that it does not know, and their sum, which is the
pooled values behind the pad: uniform mod 2^T to it, whatever the slots' widths are, because a mask is drawn for the
integer as a whole and carries are part of its group. One bank's pad suffices, because only the full sum is free of pair
masks, and the pad is in every full sum exactly once; a sum that lacks a bank, the first or another, still has pair masks
on it. The banks remove the pad and see the pooled values. The server together with k banks learns the sum of the others'
values; it can read no single one of them while at least two banks are honest. An outsider learns what the server
learns.

Why no (key, nonce) repeats: keys are bound to the step, and `SessionKeys.use_step` gives a step out once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from riskfed.errors import RemoteProtocolError
from riskfed.secure.primitives import Keystream
from riskfed.secure.protection import HEADER_BYTES, Header, StepwiseProtection, header_of_sum
from riskfed.secure.slots import Widths, Words, add_words, read_slots, subtract_words, words_for, write_slots

_WORD: Final = np.dtype("<u8")
_CHUNK: Final = Keystream.CHUNK // _WORD.itemsize


class MaskingProtection(StepwiseProtection):
    """A bank's side. See the module for what is secret and who learns what."""

    name: str = "masking"

    def _items(self, widths: Widths) -> int:
        return words_for(widths)

    def _encrypt(self, slots: np.ndarray, widths: Widths, header: Header) -> bytes:
        own, keys = self._keys.own_name, self._keys
        label = _label("pair mask", widths)
        plus = [Keystream(keys.derive_pair(o, label, header.step)) for o in keys.others if o > own]
        minus = [Keystream(keys.derive_pair(o, label, header.step)) for o in keys.others if o < own]
        if own == keys.context.roster[0]:
            plus.append(self._pad(widths, header))
        message = np.empty(HEADER_BYTES + _WORD.itemsize * header.items, dtype=np.uint8)
        message[:HEADER_BYTES] = np.frombuffer(header.to_bytes(), dtype=np.uint8)
        words = message[HEADER_BYTES:].view(_WORD)
        write_slots(slots, widths, words)
        _apply(words, plus, minus)
        return message.tobytes()

    def _decrypt(self, combined: bytes, _shares: Mapping[str, bytes], widths: Widths, header: Header) -> np.ndarray:
        words = _body(combined, header).copy()
        _apply(words, [], [self._pad(widths, header)])
        return read_slots(words, widths)

    def _pad(self, widths: Widths, header: Header) -> Keystream:
        return Keystream(self._keys.derive(_label("pad", widths), header.step))


class MaskingCombiner:
    """The server's side: addition mod 2^T of long integers that are noise to it."""

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
            add_words(total, body, 0)
        return self._buffer.tobytes()


def _label(purpose: str, widths: Widths) -> str:
    # The layout is bound too: a step that banks laid out differently is not under the same stream.
    return f"masking, {purpose}, slots {hashlib.sha256(widths.tobytes()).hexdigest()}"


def _apply(words: Words, plus: Sequence[Keystream], minus: Sequence[Keystream]) -> None:
    """Add and subtract streams mod 2^T, chunk by chunk, so that each stays in the cache."""
    carries, borrows = [0] * len(plus), [0] * len(minus)
    for start in range(0, len(words), _CHUNK):
        chunk = words[start : start + _CHUNK]
        for i, stream in enumerate(plus):
            carries[i] = add_words(chunk, stream.words(len(chunk)), carries[i])
        for i, stream in enumerate(minus):
            borrows[i] = subtract_words(chunk, stream.words(len(chunk)), borrows[i])


def _body(message: bytes, header: Header) -> Words:
    if len(message) != HEADER_BYTES + _WORD.itemsize * header.items:
        raise RemoteProtocolError(
            f"a masked message has {len(message)} bytes; expected {HEADER_BYTES + _WORD.itemsize * header.items}"
        )
    return np.frombuffer(message, dtype=_WORD, offset=HEADER_BYTES)
