"""The shipped nginx configuration, running for real before a stub or a SuperLink."""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from riskfed.stack.keys import ServerFiles, write_server_files
from riskfed.stack.processes import free_port, port_open

DEPLOY = Path(__file__).parents[2] / "deploy"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
MAIN = """\
user {user};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    include {site};
}}
"""


def configuration(folder: Path, port: int, upstream: int, superlink: ServerFiles, fleet: ServerFiles) -> Path:
    """The shipped site with ports and certificates of this test, and nothing else changed."""
    text = (DEPLOY / "nginx" / "riskfed-fleet.conf").read_text()
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "server 127.0.0.1:8000": f"server 127.0.0.1:{upstream}",
        "/etc/riskfed/tls/fleet.pem": str(fleet.certificate),
        "/etc/riskfed/tls/fleet.key": str(fleet.private_key),
        "/etc/riskfed/tls/superlink-ca.pem": str(superlink.authority),
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    site, main = folder / "site.conf", folder / "nginx.conf"
    site.write_text(text)
    main.write_text(MAIN.format(site=site, user=getpass.getuser()))
    return main


@contextmanager
def nginx(folder: Path, upstream: int, superlink: ServerFiles) -> Iterator[tuple[int, ServerFiles]]:
    """Run it; gives its port and its certificate's files."""
    assert NGINX is not None
    folder.mkdir(parents=True, exist_ok=True)
    fleet, port = write_server_files(folder / "fleet"), free_port()
    main = configuration(folder, port, upstream, superlink, fleet)
    command = [NGINX, "-p", str(folder), "-c", str(main), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not port_open(port):
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port, fleet
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


class Upstream(ThreadingHTTPServer):
    """Stands for the SuperLink, with TLS; notes what reaches it."""

    daemon_threads = True

    def __init__(self, files: ServerFiles) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, dict[str, str], int]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.private_key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert isinstance(self.server, Upstream)
        self.server.seen.append((self.command, self.path, dict(self.headers), len(body)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        return


for method in ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"):
    setattr(_Handler, f"do_{method}", _Handler._answer)


def exchange(
    port: int, request: bytes, *, trust: Path, tls: ssl.TLSVersion | None = None, protocols: list[str] | None = None
) -> tuple[bytes, str | None]:
    """Send bytes as they are over TLS; the answer up to its end or 10 s, and the protocol that was agreed on."""
    context = ssl.create_default_context(cafile=str(trust))
    if tls is not None:
        context.maximum_version = tls
    if protocols is not None:
        context.set_alpn_protocols(protocols)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.sendall(request)
        answer = b""
        try:
            while chunk := stream.recv(65536):
                answer += chunk
        except TimeoutError:
            pass
        return answer, stream.selected_alpn_protocol()
