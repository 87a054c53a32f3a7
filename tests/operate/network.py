"""Hosts on one machine: network namespaces with an address each, on a bridge in a namespace of its own. Needs root and iproute2."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
_SECONDS = 20


def why_not() -> str:
    """Why no namespace can be made here; "" where one can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    if IP is None:
        return "network namespaces need iproute2"
    name = f"rf-{secrets.token_hex(4)}"
    tried = subprocess.run([IP, "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"network namespaces cannot be made here: {tried.stderr.strip()}"
    _ip("netns", "del", name)
    return ""


class Network:
    """Hosts that reach each other by their addresses, and nothing else. A context manager.

    Args:
        hosts: name -> IPv4 address of one /24.
    """

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self._hosts = dict(hosts)
        self._prefix = f"rf-{secrets.token_hex(4)}-"
        self._made: list[str] = []

    def __enter__(self) -> Self:
        try:
            hub = self._make("hub")
            _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
            _ip("-n", hub, "link", "set", "bridge", "up")
            for number, (host, address) in enumerate(self._hosts.items()):
                space, port = self._make(host), f"port{number}"
                _ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
                _ip("-n", hub, "link", "set", port, "master", "bridge", "up")
                _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
                _ip("-n", space, "link", "set", "eth0", "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for space in reversed(self._made):
            subprocess.run([str(IP), "netns", "del", space], capture_output=True, timeout=_SECONDS, check=False)
        self._made.clear()

    def on(self, host: str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` on a host, in one process."""
        return [str(IP), "netns", "exec", self._prefix + host, *command]

    def processes(self) -> list[int]:
        """Ids of all processes that run on the hosts."""
        return [int(pid) for space in self._made for pid in _ip("netns", "pids", space).split()]

    def listening(self, host: str) -> list[tuple[str, int]]:
        """Addresses and TCP ports that a host listens on."""
        code = (
            "import json, socket; rows = [l.split() for f in ('/proc/net/tcp', '/proc/net/tcp6') for l in open(f)][1:];"
            "print(json.dumps([r[1] for r in rows if len(r) > 3 and r[3] == '0A']))"
        )
        return [_endpoint(text) for text in json.loads(self.python(host, code))]

    def python(self, host: str, code: str, *arguments: str) -> str:
        """What a short program prints on a host."""
        command = self.on(host, [sys.executable, "-IS", "-c", code, *arguments])
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def answers(self, host: str, targets: Sequence[tuple[str, int]]) -> dict[str, Any]:
        """Which of the targets take a TCP connection from a host: "address:port" -> whether."""
        code = (
            "import json, socket, sys; found = {}\n"
            "for address, port in json.loads(sys.argv[1]):\n"
            "    try: socket.create_connection((address, port), timeout=2).close(); found[f'{address}:{port}'] = True\n"
            "    except OSError: found[f'{address}:{port}'] = False\n"
            "print(json.dumps(found))"
        )
        found: dict[str, Any] = json.loads(self.python(host, code, json.dumps(list(targets))))
        return found

    def _make(self, host: str) -> str:
        space = self._prefix + host
        _ip("netns", "add", space)
        self._made.append(space)
        return space


def _ip(*arguments: str) -> str:
    return subprocess.run([str(IP), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=True).stdout


def _endpoint(text: str) -> tuple[str, int]:
    """/proc/net/tcp's "0100007F:1F90" -> ("127.0.0.1", 8000); IPv6 keeps its digits, but for loopback and any."""
    address, port = text.split(":")
    if len(address) == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(address))), int(port, 16)
    known = {"0" * 32: "::", "0" * 24 + "01000000": "::1"}
    return known.get(address, address), int(port, 16)
