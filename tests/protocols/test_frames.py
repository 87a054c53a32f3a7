import contextlib
import json
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import RemoteProtocolError
from riskfed.protocols import frames as wire
from riskfed.protocols.frames import Frame, Kind, decode_batch, decode_parts, encode_batch, encode_parts

frames = st.builds(Frame, st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=50))


@given(st.lists(frames, min_size=1, max_size=5))
def test_batches_come_back_as_they_were(batch):
    assert decode_batch(encode_batch(batch)) == batch


@given(st.dictionaries(st.text(max_size=10), st.binary(max_size=50), max_size=5))
def test_parts_come_back_as_they_were(parts):
    assert decode_parts(encode_parts(parts)) == parts


@given(st.lists(frames, min_size=1, max_size=3), st.data())
def test_a_cut_batch_is_refused(batch, data):
    encoded = encode_batch(batch)
    last = len(encode_batch(batch[:-1])) if len(batch) > 1 else 0
    cut = data.draw(st.integers(last + 1, len(encoded) - 1))
    with pytest.raises(RemoteProtocolError, match="ends inside"):
        decode_batch(encoded[:cut])


@given(st.binary(max_size=200))
def test_wild_bytes_are_refused_or_read_whole(noise):
    for decode, encode in ((decode_batch, encode_batch), (decode_parts, encode_parts)):
        with contextlib.suppress(RemoteProtocolError):
            assert encode(decode(noise)) == noise


def test_two_parts_of_one_name_are_refused():
    with pytest.raises(RemoteProtocolError, match="same name"):
        decode_parts(encode_parts({"a": b"1"}) + encode_parts({"a": b"2"}))


TEXT = json.dumps({"weights": list(range(3000))}).encode()


def framed(kind: int, body: bytes) -> bytes:
    return struct.pack(">BIQ", kind, 7, len(body)) + body


@pytest.mark.parametrize("kind", Kind)
def test_what_is_plain_is_compressed_and_what_is_sealed_or_protected_is_not(kind):
    batch = [Frame(kind, 3, TEXT), Frame(kind, 3, b"short")]
    encoded = encode_batch(batch)
    assert decode_batch(encoded) == batch
    sealed = kind in (Kind.EXCHANGE, Kind.PUBLIC, Kind.COMBINE, Kind.DISCLOSE, Kind.DONE)
    assert (len(encoded) > len(TEXT)) == sealed
    assert sealed or len(encoded) < len(TEXT) / 2


def test_what_would_expand_too_far_travels_as_it_is(monkeypatch):
    monkeypatch.setattr(wire, "MAXIMUM_EXPANDED_BYTES", 2 * len(TEXT))
    batch = [Frame(Kind.RELEASE, 1, TEXT)] * 3
    encoded = encode_batch(batch)
    assert decode_batch(encoded) == batch
    assert len(TEXT) < len(encoded) < 2 * len(TEXT)


def test_a_bomb_is_refused_and_not_expanded():
    """64 MiB and one byte of zeros are 64 kB on the wire, in one frame or in two."""
    bomb = zlib.compress(bytes(wire.MAXIMUM_EXPANDED_BYTES + 1), 9)
    half = zlib.compress(bytes(wire.MAXIMUM_EXPANDED_BYTES // 2 + 1), 9)
    for batch in (framed(0x80 | Kind.PLAN, bomb), framed(0x80 | Kind.PLAN, half) * 2):
        tracemalloc.start()
        with pytest.raises(RemoteProtocolError, match="expand to more than"):
            decode_batch(batch)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3 * wire.MAXIMUM_EXPANDED_BYTES


def test_malformed_streams_are_refused():
    good = zlib.compress(TEXT)
    for kind, body, message in [
        (Kind.RELEASE, good[:-1], "cut short"),
        (Kind.RELEASE, good + b"x", "behind its end"),
        (Kind.RELEASE, TEXT, "malformed"),
        (Kind.RELEASE, b"", "cut short"),
        (Kind.RELEASE, good[:-4] + bytes(4), "malformed"),
        (Kind.COMBINE, good, "unknown frame kind"),
        (100, good, "unknown frame kind"),
    ]:
        with pytest.raises(RemoteProtocolError, match=message):
            decode_batch(framed(0x80 | kind, body))
    assert decode_batch(framed(0x80 | Kind.RELEASE, good)) == [Frame(Kind.RELEASE, 7, TEXT)]
