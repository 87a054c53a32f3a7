"""How courier and vault talk over the vault's UNIX socket: one request, one answer, as often as needed.

A message is ``run length (1 byte) | batch length (8, big-endian) | run | batch``. A request names the run that it belongs to, so that a
run may span several connections (message transport starts a new courier for every step). The answer repeats the run.

The other side is not trusted: memory is set aside for what has come in, never for what was only announced.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from riskfed.errors import LocalProtocolError, RemoteProtocolError
from riskfed.protocols.frames import MAXIMUM_BATCH_BYTES

_HEADER = struct.Struct(">BQ")
_LONGEST_LABEL = 255
_FIRST_BUFFER = 1 << 16
_SHORTEST_WAIT = 1e-3
"""Seconds; a timeout of 0 would mean a socket that does not wait at all."""


def send_message(connection: socket.socket, run: str, batch: bytes) -> None:
    """Send one message; blocks until all of it is handed to the system, at most as long as the connection's timeout.

    Raises:
        LocalProtocolError: the run's name is longer than 255 bytes.
    """
    label = run.encode()
    if len(label) > _LONGEST_LABEL:
        raise LocalProtocolError(f"the run's name has {len(label)} bytes, at most {_LONGEST_LABEL} can be sent")
    connection.sendall(_HEADER.pack(len(label), len(batch)) + label)
    if batch:  # after an empty one, the last of a run, the reader may be gone
        connection.sendall(batch)


def receive_message(
    connection: socket.socket, *, patience: float | None = None, announced: Callable[[int], object] = lambda _: None
) -> tuple[str, bytes] | None:
    """Receive one message: (run, batch), or None where the other side closed between messages.

    Args:
        connection: with a timeout of its own, unless `patience` is given.
        patience: seconds that a message may take from its first byte to its last; for that byte it waits without limit.
        announced: told the batch's length before the batch is taken in; may wait, or raise to break off.

    Raises:
        RemoteProtocolError: closed inside a message, too slow, too long, or a run that is not plain text.
    """
    clock = _Clock(connection, patience)
    header = _receive(connection, _HEADER.size, clock, may_end=True)
    if header is None:
        return None
    run_length, length = _HEADER.unpack(header)
    if length > MAXIMUM_BATCH_BYTES:
        raise RemoteProtocolError(f"message announces {length} bytes, at most {MAXIMUM_BATCH_BYTES} are taken")
    announced(length)
    clock.start()
    body = _receive(connection, run_length + length, clock)
    assert body is not None
    with memoryview(body) as view:
        return _plain(bytes(view[:run_length])), bytes(view[run_length:])


class _Clock:
    """Sets the connection's timeout to what is left for a message; leaves it alone where there is no limit."""

    def __init__(self, connection: socket.socket, patience: float | None) -> None:
        self._connection = connection
        self._patience = patience
        self._end: float | None = None
        if patience is not None:
            connection.settimeout(None)

    def start(self) -> None:
        if self._patience is not None:
            self._end = time.monotonic() + self._patience

    def tick(self) -> None:
        if self._end is not None:
            self._connection.settimeout(max(self._end - time.monotonic(), _SHORTEST_WAIT))

    @property
    def expired(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


def _receive(connection: socket.socket, size: int, clock: _Clock, *, may_end: bool = False) -> bytearray | None:
    buffer = bytearray(min(size, _FIRST_BUFFER))
    got = 0
    while got < size:
        if got == len(buffer):
            buffer.extend(bytes(min(got, size - got)))  # at most doubles what has come in
        if clock.expired:
            raise _too_slow(got, size)
        clock.tick()
        try:
            with memoryview(buffer) as view:
                count = connection.recv_into(view[got:])
        except TimeoutError:
            if clock.expired:
                raise _too_slow(got, size) from None
            raise
        if count == 0:
            if may_end and got == 0:
                return None
            raise RemoteProtocolError(f"the connection closed after {got} of {size} bytes")
        if got == 0 and may_end:
            clock.start()
        got += count
    return buffer


def _too_slow(got: int, size: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"a message stopped after {got} of {size} bytes, and its time is over")


def _plain(label: bytes) -> str:
    """A run's label; it will stand in logs, so it may hold nothing that forges a line there."""
    try:
        text = label.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("the run's name is not UTF-8") from None
    if not text.isprintable():
        raise RemoteProtocolError("the run's name holds characters that cannot be printed")
    return text
