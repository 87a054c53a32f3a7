"""Frames: the unit of every conversation between a bank and the switchboard, on whatever transport.

A frame is ``kind (1 byte) | step (4) | length (8) | body``, big-endian. A batch is one or more frames; only the last of a batch
waits for an answer. Decoding is strict: every byte must be accounted for.

What travels in plain, such as plans and releases, is compressed unless it is short: the highest bit of the kind says so, and
the body is a zlib stream (RFC 1950). What is protected is noise, which nothing makes shorter, and envelopes are left alone because
the length of a compressed text tells of its content.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from riskfed.errors import RemoteProtocolError

_HEADER = struct.Struct(">BIQ")
_PART = struct.Struct(">HQ")
MAXIMUM_BATCH_BYTES = 1 << 30
MAXIMUM_EXPANDED_BYTES = 1 << 26
"""Most that the compressed frames of one batch may expand to; what is longer travels as it is."""
_COMPRESSED = 0x80
_WORTH_COMPRESSING = 512
EVERYONE = "*"
"""Recipient of an exchanged payload that goes to every other bank."""


class Kind(enum.IntEnum):
    """What a frame is for; the arrows say who sends it, B a bank and S the switchboard."""

    PLAN = 1  # S -> B  the run's plan
    EXCHANGE = 2  # B -> S payloads by recipient, S -> B payloads by sender: sealed or signed, opaque to S
    PUBLIC = 3  # B -> S  public parameters of the protection; all banks say the same
    COMBINE = 4  # B -> S protected values, S -> B their protected sum
    DISCLOSE = 5  # B -> S the canary, once it has served
    PROGRESS = 6  # B -> S pooled figures in plain, no answer
    OWN_METRICS = 7  # B -> S a bank's own figures in plain, no answer; only where its policy allows
    RELEASE = 8  # B -> S the result
    FAILED = 9  # both    why this side cannot go on
    DONE = 10  # S -> B  acknowledged
    LOST = 11  # B -> S  why this bank cannot go on now, though another attempt may: its vault was restarted, for one


PLAIN = frozenset({Kind.PLAN, Kind.PROGRESS, Kind.OWN_METRICS, Kind.RELEASE, Kind.FAILED, Kind.LOST})
"""Kinds that are not protected; nothing in them is of a single bank but what it chose to show."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: what it is for, the step it belongs to, and its bytes."""

    kind: Kind
    step: int
    body: bytes = field(default=b"", repr=False)


def encode_batch(frames: Sequence[Frame]) -> bytes:
    """Join frames into a batch."""
    pieces: list[bytes] = []
    left = MAXIMUM_EXPANDED_BYTES
    for frame in frames:
        kind, body = int(frame.kind), frame.body
        if frame.kind in PLAIN and _WORTH_COMPRESSING <= len(body) <= left:
            kind, body, left = kind | _COMPRESSED, zlib.compress(body), left - len(body)
        pieces += (_HEADER.pack(kind, frame.step, len(body)), body)
    return b"".join(pieces)


def first_kind(batch: bytes) -> Kind | None:
    """Kind of a batch's first frame, which is not read any further; None of an empty batch, or one of unknown kind."""
    kind = batch[0] & ~_COMPRESSED if batch else 0
    return Kind(kind) if kind in Kind._value2member_map_ else None


def decode_batch(batch: bytes) -> list[Frame]:
    """Split a batch into its frames.

    Raises:
        RemoteProtocolError: empty, too long, cut short, of unknown kind, or compressed otherwise than `encode_batch` does.
    """
    if not batch or len(batch) > MAXIMUM_BATCH_BYTES:
        raise RemoteProtocolError(f"batch of {len(batch)} bytes; expected 1 to {MAXIMUM_BATCH_BYTES}")
    frames, at, left = [], 0, MAXIMUM_EXPANDED_BYTES
    while at < len(batch):
        if len(batch) - at < _HEADER.size:
            raise RemoteProtocolError("batch ends inside a frame's header")
        marked, step, length = _HEADER.unpack_from(batch, at)
        at += _HEADER.size
        if length > len(batch) - at:
            raise RemoteProtocolError("batch ends inside a frame's body")
        kind, body = marked & ~_COMPRESSED, batch[at : at + length]
        if kind not in Kind._value2member_map_ or (marked != kind and kind not in PLAIN):
            raise RemoteProtocolError(f"unknown frame kind {marked}")
        if marked != kind:
            body = _expanded(body, left)
            left -= len(body)
        frames.append(Frame(Kind(kind), step, body))
        at += length
    return frames


def _expanded(body: bytes, most: int) -> bytes:
    """The content of a zlib stream, of which no more than `most` bytes are ever made."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(body, most + 1)
    except zlib.error:
        raise RemoteProtocolError("a compressed frame is malformed") from None
    if len(content) > most:
        raise RemoteProtocolError(
            f"the compressed frames of a batch expand to more than {MAXIMUM_EXPANDED_BYTES} bytes"
        )
    if not stream.eof or stream.unused_data:
        raise RemoteProtocolError("a compressed frame is cut short, or goes on behind its end")
    return content


def encode_parts(parts: Mapping[str, bytes]) -> bytes:
    """Join named payloads, for EXCHANGE."""
    pieces: list[bytes] = []
    for name, payload in parts.items():
        label = name.encode()
        pieces += (_PART.pack(len(label), len(payload)), label, payload)
    return b"".join(pieces)


def decode_parts(body: bytes) -> dict[str, bytes]:
    """Split what `encode_parts` joined.

    Raises:
        RemoteProtocolError: cut short, a name that is not UTF-8, or one that comes twice.
    """
    parts: dict[str, bytes] = {}
    at = 0
    while at < len(body):
        if len(body) - at < _PART.size:
            raise RemoteProtocolError("payloads end inside a header")
        name_length, length = _PART.unpack_from(body, at)
        at += _PART.size
        if name_length + length > len(body) - at:
            raise RemoteProtocolError("payloads end inside a payload")
        try:
            name = body[at : at + name_length].decode()
        except UnicodeDecodeError:
            raise RemoteProtocolError("a payload's name is not UTF-8") from None
        if name in parts:
            raise RemoteProtocolError("two payloads have the same name")
        at += name_length
        parts[name] = body[at : at + length]
        at += length
    return parts
