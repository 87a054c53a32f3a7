import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import RemoteProtocolError
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
