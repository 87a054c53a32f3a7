"""Batches through Flower messages and through session chunks come out as they went in; anything else is refused."""

from __future__ import annotations

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import RemoteProtocolError
from riskfed.flower import codec, session_wire
from riskfed.flower.codec import decode, encode
from riskfed.flower.session_wire import CHUNK_BYTES, read_batch, to_chunks


@given(batch=st.binary(max_size=2000), run=st.text(max_size=20), wait=st.floats(1, 1e6))
def test_flower_content_round_trip(batch: bytes, run: str, wait: float) -> None:
    assert decode(encode(batch, run=run, wait=wait)) == (batch, {"run": run, "wait": wait})


def _array(data: bytes, **changes: object) -> Array:
    return Array(**{"dtype": "uint8", "shape": (len(data),), "stype": "riskfed.batch", "data": data, **changes})


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"batch": ArrayRecord({"batch": _array(b"x")})}),
        RecordDict({"batch": ConfigRecord({"batch": b"x"}), "settings": ConfigRecord()}),
        RecordDict({"batch": ArrayRecord({"other": _array(b"x")}), "settings": ConfigRecord()}),
        RecordDict({"batch": ArrayRecord({"batch": _array(b"x", dtype="float32")}), "settings": ConfigRecord()}),
        RecordDict({"batch": ArrayRecord({"batch": _array(b"x", stype="numpy.ndarray")}), "settings": ConfigRecord()}),
        RecordDict({"batch": ArrayRecord({"batch": _array(b"x", shape=(2,))}), "settings": ConfigRecord()}),
        RecordDict({"batch": ArrayRecord({"batch": _array(b"x")}), "settings": ConfigRecord({"run": [1, 2]})}),
    ],
)
def test_other_flower_content_is_refused(content: RecordDict) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(content)


def test_a_batch_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAXIMUM_BATCH_BYTES", 10)
    assert decode(encode(b"0123456789"))[0] == b"0123456789"
    with pytest.raises(RemoteProtocolError, match="11 bytes"):
        decode(encode(b"0123456789a"))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_chunks_round_trip_and_leave_the_next_batch_alone(size: int) -> None:
    batch = bytes(range(256)) * (size // 256 + 1)
    batch = batch[:size]
    stream = iter([*to_chunks(batch), *to_chunks(b"next")])

    assert read_batch(stream) == batch
    assert read_batch(stream) == b"next"
    assert read_batch(stream) is None


@pytest.mark.parametrize("chunks", [[b""], [b"\x02x"], [b"\x01short", b"\x00"]])
def test_malformed_chunks_are_refused(chunks: list[bytes]) -> None:
    with pytest.raises(RemoteProtocolError, match="malformed"):
        read_batch(iter(chunks))


def test_a_stream_that_ends_inside_a_batch_is_noticed() -> None:
    with pytest.raises(RemoteProtocolError, match="inside a batch"):
        read_batch(iter([b"\x01" + bytes(CHUNK_BYTES)]))


def test_a_batch_is_refused_as_soon_as_it_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_wire, "MAXIMUM_BATCH_BYTES", 2 * CHUNK_BYTES)
    endless = iter(lambda: b"\x01" + bytes(CHUNK_BYTES), None)
    with pytest.raises(RemoteProtocolError, match="nothing larger is taken"):
        read_batch(endless)
