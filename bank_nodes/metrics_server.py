"""Serves metrics files over HTTP for a Prometheus that scrapes the bank's host; a process of its own, which holds nothing else.

``python -m bank_nodes.metrics_server --listen 127.0.0.1:9464 riskfed.prom riskfed-node.prom``. `riskfed node run` starts it where
``[metrics] listen`` is set. GET /metrics gives all the files, one after the other; any other path 404.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import structlog

from riskfed.log_output import configure_logging

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE: Final = 10.0

diary = structlog.get_logger("metrics")


class MetricsServer(ThreadingHTTPServer):
    """Listens at once; `serve_forever` serves.

    Args:
        address: (host, port); port 0 takes a free one.
        files: served in this order; one that is absent is left out.

    Raises:
        OSError: the address cannot be listened on.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], files: Sequence[Path]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.files = tuple(files)
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    server_version, sys_version = "riskfed", ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer with the files as they are now."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = b"".join(_content(path) for path in self.server.files)
        self.send_response(200)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of every scrape."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 stopped as asked, 2 the address cannot be listened on.
    """
    parser = argparse.ArgumentParser(prog="python -m bank_nodes.metrics_server", description="Serve metrics files.")
    parser.add_argument("--listen", required=True, help="host:port")
    parser.add_argument("files", type=Path, nargs="+")
    given = parser.parse_args(arguments)
    configure_logging()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    host, _, port = given.listen.rpartition(":")
    try:
        with MetricsServer((host.strip("[]"), int(port)), given.files) as server:
            server.serve_forever()
    except OSError as error:
        diary.error("metrics cannot be served; correct metrics.listen", listen=given.listen, reason=error.strerror)
        return 2
    return 0


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _end(*_: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
