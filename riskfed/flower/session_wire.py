"""What travels on a session's stream: batches, cut into chunks that each say whether another follows.

A session is one bidirectional gRPC stream for each bank. The server speaks first; every batch that it sends is answered by one
batch. A chunk is ``more (1 byte: 1 another follows, 0 the last) | bytes``; all but the last are full. Chunks keep gRPC's own limit on
a message low, so that a peer cannot make the other side set aside memory for more than it has sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.frames import MAXIMUM_BATCH_BYTES

SERVICE = "riskfed.Session"
RELAY = "Relay"
NODE_KEY, TICKET_KEY = "riskfed-node", "riskfed-ticket"
CHUNK_BYTES = 1 << 20
_MORE, _LAST = b"\x01", b"\x00"

_LIMIT = CHUNK_BYTES + 64
OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", _LIMIT),
    ("grpc.max_send_message_length", _LIMIT),
    # A round can take minutes at a large bank. Pings keep firewalls from dropping the silent stream, and notice a dead peer.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
]
"""gRPC options of both ends."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What one node needs to dial the session.

    Attributes:
        endpoint: "host:port".
        ticket: good for one stream of this node; secret until then.
        certificate: PEM of the only certificate that the node may accept.
    """

    endpoint: str
    ticket: str = field(repr=False)
    certificate: str = field(repr=False)


def to_chunks(batch: bytes) -> Iterator[bytes]:
    """Cut a batch into chunks; an empty batch is one empty chunk."""
    view, start = memoryview(batch), 0
    while len(batch) - start > CHUNK_BYTES:
        yield b"".join((_MORE, view[start : start + CHUNK_BYTES]))
        start += CHUNK_BYTES
    yield b"".join((_LAST, view[start:]))


def read_batch(chunks: Iterator[bytes]) -> bytes | None:
    """Join the chunks of the next batch; None where the stream ended between batches.

    Raises:
        RemoteProtocolError: malformed, longer than a batch may be, or ended inside a batch.
    """
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        if chunk[:1] != _LAST and (chunk[:1] != _MORE or len(chunk) != CHUNK_BYTES + 1):
            raise RemoteProtocolError("a chunk of the session is malformed")
        size += len(chunk) - 1
        if size > MAXIMUM_BATCH_BYTES:
            raise RemoteProtocolError(
                f"a batch of more than {MAXIMUM_BATCH_BYTES} bytes was sent; nothing larger is taken"
            )
        pieces.append(chunk[1:])
        if chunk[:1] == _LAST:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if pieces:
        raise RemoteProtocolError("the session ended inside a batch")
    return None
