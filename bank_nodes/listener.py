"""The vault's UNIX socket: who may connect is a matter of file permissions, so no network and no password are involved.

Whoever may connect need not be friendly: a node runs what the operator's SuperLink sends. So nothing that a connection does can take
the vault's memory, threads or disk beyond the limits below, or keep another connection out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Final, Protocol, Self

import structlog

from riskfed.errors import ConfigurationError, RemoteProtocolError
from riskfed.protocols.frames import Kind, first_kind
from riskfed.protocols.socket_frames import receive_message, send_message

MOST_CONNECTIONS: Final = 32
"""A courier needs one. At one more, the one that has been silent for longest is closed, and one that carries a run last of all."""
MESSAGE_SECONDS: Final = 120.0
"""For a message to come in whole, and for an answer to be taken; more than the minute for which a machine may be paused."""
LARGE_MESSAGE_BYTES: Final = 1 << 20
"""Of larger messages, one is in memory at a time; the others wait at the other end."""
_REFUSALS_AT_ONCE: Final = 200
_REFUSALS_PER_SECOND: Final = 10.0
"""Every refusal is written to the vault's log: a flood of them must not fill the disk."""
_REFUSALS: Final = frozenset((Kind.FAILED, Kind.LOST))
_BACKLOG: Final = 64
_PAUSE_SECONDS: Final = 0.1
_SHORT_OF: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED))
_OWNER_ONLY: Final = 0o600
_OWNER_AND_GROUP: Final = 0o660

diary = structlog.get_logger("vault")


class Service(Protocol):
    """What a `Listener` serves."""

    def handle(self, label: str, batch: bytes, carrier: Hashable = None) -> bytes:
        """Answer one request; `carrier` stands for the connection."""

    def disconnect(self, carrier: Hashable) -> None:
        """The connection is closed."""


class _Line:
    """One connection. It is also what the service knows the connection by."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.busy = False
        self.carries_run = False
        self.last_heard = time.monotonic()

    def hang_up(self) -> None:
        """Ends the thread that reads from the connection."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _Pace:
    """Lets a number of events through at once and then so many a second, by making them wait."""

    def __init__(self, at_once: int, per_second: float) -> None:
        self._step = 1 / per_second
        self._credit = at_once * self._step
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - self._credit) + self._step
            pause = self._next - now
        if pause > 0:
            time.sleep(pause)


class Listener:
    """Listens on a UNIX socket, a thread for each connection. A context manager: the socket's file is gone afterwards.

    Args:
        path: of the socket. A socket file that a killed vault has left behind is replaced.
        service: answers requests; called from several threads.
        group: group that may connect too; None: only the vault's own user.

    Raises:
        ConfigurationError: another process listens there, or the path cannot be used.
    """

    def __init__(self, path: Path, service: Service, *, group: str | None = None) -> None:
        self._path = path
        self._service = service
        self._group = group
        self._lines: list[_Line] = []
        self._lock = threading.Lock()
        self._large = threading.Lock()
        self._refusals = _Pace(_REFUSALS_AT_ONCE, _REFUSALS_PER_SECOND)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(self._path)
            # The umask counts from the first instant: at no time can another user connect.
            before = os.umask(0o777 & ~_OWNER_ONLY)
            try:
                self._socket.bind(os.fspath(self._path))
            finally:
                os.umask(before)
            if self._group is not None:
                shutil.chown(self._path, group=self._group)
                self._path.chmod(_OWNER_AND_GROUP)
            self._socket.listen(_BACKLOG)
        except ConfigurationError:
            self._socket.close()
            raise
        except (OSError, LookupError) as error:
            self._socket.close()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigurationError(f"cannot listen on {self._path}: {reason}; correct section vault") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def serve(self) -> None:
        """Serve until the main thread is interrupted."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if error.errno not in _SHORT_OF:
                    raise
                diary.warning("no connection can be accepted now", reason=error.strerror)
                time.sleep(_PAUSE_SECONDS)
                continue
            if (line := self._admit(connection)) is not None:
                threading.Thread(target=self._converse, args=(line,), daemon=True).start()

    def _admit(self, connection: socket.socket) -> _Line | None:
        """A line for the connection; None, and the connection closed, where all others are at work."""
        line = _Line(connection)
        with self._lock:
            if len(self._lines) >= MOST_CONNECTIONS:
                idle = [other for other in self._lines if not other.busy]
                if not idle:
                    connection.close()
                    return None
                silent = min(idle, key=lambda other: (other.carries_run, other.last_heard))
                self._lines.remove(silent)
                silent.hang_up()
            self._lines.append(line)
        return line

    def _converse(self, line: _Line) -> None:
        try:
            with line.connection:
                while self._serve_one(line):
                    pass
        except (RemoteProtocolError, OSError) as error:
            # Without its framing a connection has no meaning any more; others, and the vault, are not concerned.
            diary.warning("a connection broke off", reason=str(error))
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._lines.remove(line)
            self._service.disconnect(line)

    def _serve_one(self, line: _Line) -> bool:
        """Take a request and answer it; False where the other side has hung up."""
        with contextlib.ExitStack() as held:

            def announced(size: int) -> None:
                if size > LARGE_MESSAGE_BYTES:
                    held.enter_context(self._large)

            request = receive_message(line.connection, patience=MESSAGE_SECONDS, announced=announced)
            if request is None:
                return False
            label, batch = request
            line.busy = True
            answer = self._service.handle(label, batch, line)
        refused = first_kind(answer) in _REFUSALS
        line.carries_run = bool(answer) and not refused
        if refused:
            self._refusals.wait()
        line.connection.settimeout(MESSAGE_SECONDS)
        send_message(line.connection, label, answer)
        line.last_heard, line.busy = time.monotonic(), False
        return True


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody listens on.

    Raises:
        ConfigurationError: somebody does, or it is not a socket.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError(f"{path} exists and is not a socket; correct vault.socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise ConfigurationError(
                    f"another process listens on {path}; stop it, or give this bank a socket of its own"
                )
