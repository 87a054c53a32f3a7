"""How courier and vault talk over the vault's UNIX socket: one request, one answer, as often as needed.

A message is ``run length (1 byte) | batch length (8, big-endian) | run | batch``. A request names the run that it belongs to, so that a
run may span several connections (message transport starts a new courier for every step). The answer repeats the run.
"""

from __future__ import annotations

import socket
import struct

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.frames import MAXIMUM_BATCH_BYTES

_HEADER = struct.Struct(">BQ")


def send_message(connection: socket.socket, run: str, batch: bytes) -> None:
    """Send one message; blocks until all of it is handed to the system."""
    label = run.encode()
    connection.sendall(_HEADER.pack(len(label), len(batch)) + label)
    if batch:  # after an empty one, the last of a run, the reader may be gone
        connection.sendall(batch)


def receive_message(connection: socket.socket) -> tuple[str, bytes] | None:
    """Receive one message: (run, batch), or None where the other side closed between messages.

    Raises:
        RemoteProtocolError: closed inside a message, too long, or a run that is not UTF-8.
    """
    header = _receive(connection, _HEADER.size, may_end=True)
    if header is None:
        return None
    run_length, length = _HEADER.unpack(header)
    if length > MAXIMUM_BATCH_BYTES:
        raise RemoteProtocolError(f"message announces {length} bytes, at most {MAXIMUM_BATCH_BYTES} are taken")
    body = _receive(connection, run_length + length)
    assert body is not None
    try:
        return bytes(body[:run_length]).decode(), bytes(body[run_length:])
    except UnicodeDecodeError:
        raise RemoteProtocolError("the run's name is not UTF-8") from None


def _receive(connection: socket.socket, size: int, *, may_end: bool = False) -> memoryview | None:
    buffer = memoryview(bytearray(size))
    got = 0
    while got < size:
        count = connection.recv_into(buffer[got:])
        if count == 0:
            if may_end and got == 0:
                return None
            raise RemoteProtocolError(f"the connection closed after {got} of {size} bytes")
        got += count
    return buffer
