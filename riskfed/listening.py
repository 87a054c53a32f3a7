"""The socket that a server listens on."""

from __future__ import annotations

import socket

from riskfed.errors import ConfigurationError


def listen_on(host: str, port: int) -> socket.socket:
    """Listen on a TCP port; 0 takes a free one.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
        # Connections inherit it: without it, asyncio lets a small answer wait 40 ms for the client's acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host} port {port} ({error.strerror}); choose another") from None


def authority_of(listening: socket.socket) -> str:
    """Address and port as they stand in a URL."""
    address, port = listening.getsockname()[:2]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
