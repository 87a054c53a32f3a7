"""A proxy on loopback whose connections can be cut or silenced, as a network does it."""

from __future__ import annotations

import contextlib
import socket
import threading

HOST = "127.0.0.2"
"""Another address of this machine's loopback, where clients are sent instead of `SERVER`."""
SERVER = "127.0.0.1"


class Proxy:
    """Passes connections to ``HOST:port`` on to ``SERVER:port``. A context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server((HOST, port))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._passing = threading.Event()
        self._passing.set()
        self._refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._passing.set()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections, and refuse new ones until `mend`."""
        self._refusing = True
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def silence(self) -> None:
        """Pass nothing on until `mend`; nobody is told."""
        self._passing.clear()

    def mend(self) -> None:
        """Pass everything on again."""
        self._refusing = False
        self._passing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection((SERVER, self._port), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._passing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
