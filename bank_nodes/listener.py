"""The vault's UNIX socket: who may connect is a matter of file permissions, so no network and no password are involved."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Final, Protocol, Self

import structlog

from riskfed.errors import ConfigurationError, RemoteProtocolError
from riskfed.protocols.socket_frames import receive_message, send_message

_BACKLOG: Final = 8
_OWNER_ONLY: Final = 0o600
_OWNER_AND_GROUP: Final = 0o660

diary = structlog.get_logger("vault")


class Service(Protocol):
    """What a `Listener` serves."""

    def handle(self, label: str, batch: bytes, carrier: Hashable = None) -> bytes:
        """Answer one request; `carrier` stands for the connection."""

    def disconnect(self, carrier: Hashable) -> None:
        """The connection is closed."""


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
            connection, _ = self._socket.accept()
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        carrier = object()
        try:
            with connection:
                while (request := receive_message(connection)) is not None:
                    label, batch = request
                    send_message(connection, label, self._service.handle(label, batch, carrier))
        except (RemoteProtocolError, OSError) as error:
            # Without its framing a connection has no meaning any more; others, and the vault, are not concerned.
            diary.warning("a connection broke off", reason=str(error))
        finally:
            self._service.disconnect(carrier)


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
