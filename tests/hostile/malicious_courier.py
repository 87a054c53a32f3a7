"""What hostile code would do at a bank in the courier's place: it has the courier's user, the vault's socket, and time.

A program of its own with the standard library alone. It gets its target as JSON on standard input and prints a report as JSON: for each
attack, what it won (an empty list is a defeat), and all bytes that the vault sent it.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import pickle
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PLAN, EXCHANGE, COMBINE = 1, 2, 4
REFUSALS = (b"\x09", b"\x0b")  # FAILED, LOST
_SECONDS = 20.0
_PTRACE_ATTACH, _PTRACE_DETACH = 16, 17


class Attacker:
    """Everything that is tried. `target` has: socket, pid, files, folder, code, plan, private."""

    def __init__(self, target: dict[str, Any]) -> None:
        self.target = target
        self.socket_path = target["socket"]
        self.proc = Path("/proc") / str(target["pid"])
        self.received = bytearray()

    def read_files(self) -> Iterator[str]:
        """Identity, records, log, models, checkpoints, the file of the node."""
        for path in map(Path, self.target["files"]):
            with contextlib.suppress(OSError):
                yield f"read {len(path.read_bytes())} bytes of {path.name}"
            with contextlib.suppress(OSError):
                yield f"listed {path.name}: {os.listdir(path)}"

    def change_files(self) -> Iterator[str]:
        """Overwrite, delete, rename, open up, or put a link in the place of what the vault relies on."""
        mine = Path("/tmp") / f"mine-{os.getpid()}"
        tries: list[tuple[str, Callable[[Path], object]]] = [
            ("wrote to", lambda path: path.open("r+b")),
            ("appended to", lambda path: path.open("ab")),
            ("made readable", lambda path: path.chmod(0o666)),
            ("renamed", lambda path: path.rename(f"{path}.gone")),
            ("replaced", lambda path: mine.symlink_to("/etc/passwd") or mine.rename(path)),
            ("deleted", lambda path: path.unlink()),
            ("put a file beside", lambda path: path.with_name("x").write_bytes(b"x")),
        ]
        for path in [*map(Path, self.target["files"]), Path(self.socket_path)]:
            for name, attempt in tries:
                try:
                    attempt(path)
                    yield f"{name} {path.name}"
                except OSError:
                    mine.unlink(missing_ok=True)

    def read_process(self) -> Iterator[str]:
        """The vault's memory, environment and open files."""
        for name in (
            "mem",
            "environ",
            "maps",
            "auxv",
            "stack",
            "syscall",
            "io",
            "pagemap",
            "cwd",
            "root",
            "fd/0",
            "fd/5",
        ):
            with contextlib.suppress(OSError), (self.proc / name).open("rb") as file:
                yield f"opened /proc/.../{name} ({len(file.read(16))} bytes)"
        for name in ("fd", "fdinfo", "map_files"):
            with contextlib.suppress(OSError):
                yield f"listed /proc/.../{name}: {len(os.listdir(self.proc / name))}"

    def take_over_process(self) -> Iterator[str]:
        """ptrace, reading another process's memory, its descriptors, and signals."""
        system, pid = ctypes.CDLL(None, use_errno=True), self.target["pid"]
        if system.ptrace(_PTRACE_ATTACH, pid, None, None) == 0:
            system.ptrace(_PTRACE_DETACH, pid, None, None)
            yield "ptrace"
        space = ctypes.create_string_buffer(16)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(space), 16)
        if system.process_vm_readv(pid, vector, 1, vector, 1, 0) > 0:
            yield "process_vm_readv"
        for number in (signal.SIGUSR1, signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(OSError):
                os.kill(pid, number)
                yield f"sent {number.name}"

    def import_keys(self) -> Iterator[str]:
        """The bank's own code, if it can be had, on the bank's own files."""
        sys.path[:0] = self.target["code"]
        try:
            from bank_nodes.keystore import load_identity
        except Exception:
            return  # the courier's user cannot even run the bank's code
        for path in map(Path, self.target["files"]):
            with contextlib.suppress(Exception):
                load_identity(path, None)
                yield f"loaded a key from {path.name}"

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.socket_path)  # without a limit: waits while the vault has others to accept
        connection.settimeout(_SECONDS)
        return connection

    def ask(self, label: bytes, batch: bytes) -> bytes:
        """One well-formed request; the answer's batch."""
        with self.connect() as connection:
            connection.sendall(struct.pack(">BQ", len(label), len(batch)) + label + batch)
            head = self._take(connection, 9)
            own, length = struct.unpack(">BQ", head)
            return self._take(connection, own + length)[own:]

    def _take(self, connection: socket.socket, size: int) -> bytes:
        got = b""
        while len(got) < size:
            piece = connection.recv(size - len(got))
            if not piece:
                raise ConnectionError("hung up")
            got += piece
        self.received += got
        return got

    def listens(self) -> bool:
        """The vault still answers others: a connection that does nothing wrong gets its refusal."""
        try:
            return self.ask(b"ping/1", frame(EXCHANGE, 0, b""))[:1] in REFUSALS
        except OSError:
            return False

    def wild_bytes(self) -> Iterator[str]:
        """Streams that are no messages, whole and half, hung up on at every point."""
        noise = os.urandom(4096)
        valid = struct.pack(">BQ", 6, 13) + b"junk/1" + frame(COMBINE, 0, b"")
        streams = [noise, noise[:1], b"\0" * 90, b"\xff" * 4096, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00"]
        streams += [valid[:i] for i in range(len(valid))] + [valid * 20]
        streams += [struct.pack(">BQ", 255, 1 << 40), struct.pack(">BQ", 4, 0) + b"\xff\xfe\x0a\x1b"]
        for stream in streams:
            with contextlib.suppress(OSError), self.connect() as connection:
                connection.sendall(stream)
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    self.received += piece
        if not self.listens():
            yield "silenced the vault by wild bytes"

    def announce_much(self) -> Iterator[str]:
        """Announce the largest message on many connections, send little of it, and see what the vault sets aside."""
        before = self.resident()
        held = [self.connect() for _ in range(20)]
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(struct.pack(">BQ", 6, 1 << 30) + b"junk/1" + bytes(1000))
        time.sleep(0.5)
        grown = self.resident() - before
        if grown > 64 << 20:
            yield f"made the vault take {grown >> 20} MiB for 20 announcements"
        if not self.listens():
            yield "silenced the vault by announcements"
        for connection in held:
            connection.close()

    def crowd(self) -> Iterator[str]:
        """Hundreds of connections, each of which sends a byte now and then."""
        before, held = self.threads(), []
        for _ in range(300):
            with contextlib.suppress(OSError):
                held.append(self.connect())
                held[-1].sendall(b"\x05")
        for _ in range(3):
            for connection in held:
                with contextlib.suppress(OSError):
                    connection.sendall(b"\0")
            if not self.listens():
                yield "kept others out by a crowd of connections"
        if (grown := self.threads() - before) > 64:
            yield f"made the vault start {grown} threads"
        for connection in held:
            connection.close()

    def resident(self) -> int:
        """Bytes of the vault in memory; this much every user may read."""
        return int((self.proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        return int((self.proc / "stat").read_text().rpartition(")")[2].split()[17])

    def forge_plans(self) -> Iterator[str]:
        """Plans for code, paths, strangers, other schemas and less protection: none may open."""
        for name, label, body in forged_plans(self.target["plan"]):
            with contextlib.suppress(ConnectionError):
                answer = self.ask(label, frame(PLAN, 0, body))
                if answer[:1] not in REFUSALS:
                    yield f"opened a run with {name}"

    def meddle(self) -> Iterator[str]:
        """Frames for runs that are not the attacker's, and for none."""
        for label in (b"x/1", b"../../x/1", b"", b"a" * 255):
            for kind in range(13):
                for body in (b"", os.urandom(300)):
                    with contextlib.suppress(ConnectionError):
                        answer = self.ask(label, frame(kind, 0, body))
                        if answer and answer[:1] not in REFUSALS:
                            yield f"got {answer[:20].hex()} for a frame of kind {kind} on {label!r}"

    def play_the_server(self) -> Iterator[str]:
        """A plan that is right, then the server's part played badly: what comes must be public, and end."""
        plan = {**self.target["plan"], "run": "played"}
        answer = self.ask(b"played/1", frame(PLAN, 0, json.dumps(plan).encode()))
        if answer[:1] in REFUSALS:
            return
        if len(answer) > 1000:
            yield f"got {len(answer)} bytes for a plan"
        answer = self.ask(b"played/1", frame(COMBINE, 0, os.urandom(500)))
        if answer[:1] not in REFUSALS:
            yield "went on with a run after a wrong answer"


def frame(kind: int, step: int, body: bytes) -> bytes:
    return struct.pack(">BIQ", kind, step, len(body)) + body


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("id",)


def forged_plans(plan: dict[str, Any]) -> Iterator[tuple[str, bytes, bytes]]:
    """(what is wrong, label, body)"""
    run, job, roster = "forged", plan["job"], plan["roster"]
    changes: dict[str, dict[str, Any]] = {
        "another kind of job": {"job": {"kind": "os.system", "command": "id"}},
        "a program's path": {"job": {**job, "kind": "../../tmp/program.py"}},
        "a parameter that is code": {"job": {**job, "objective": "__import__('os').system('id')"}},
        "no end": {"job": {**job, "n_estimators": 10**12}},
        "two banks": {"roster": roster[:2]},
        "one bank": {"roster": roster[:1]},
        "the bank and its double": {"roster": [roster[0], roster[0], roster[0]]},
        "strangers": {"roster": sorted([roster[0], "zebra", "zulu"])},
        "others only": {"roster": ["x", "y", "z"]},
        "no protection": {"protection": "none"},
        "a short key": {"protection": "paillier", "key_bits": 64},
        "another schema": {"schema_fingerprint": "0" * 64},
        "a field more": {"program": base64.b64encode(b"print(1)").decode()},
        "an attempt below 1": {"attempt": 0},
    }
    for name, change in changes.items():
        yield name, b"forged/1", json.dumps({**plan, "run": run, **change}).encode()
    for path in ("../../x", "..", ".", "current", "/etc/passwd", "a/b", "x\0y", "\n", "." * 64, "é"):
        yield f"run {path!r}", path.encode() + b"/1", json.dumps({**plan, "run": path}).encode()
    yield "another label", b"other/1", json.dumps({**plan, "run": run}).encode()
    for name, body in {
        "a pickle": pickle.dumps(_Bomb()),
        "deep nesting": b'{"job":' * 20_000,
        "a deep list": b"[" * 500_000,
        "a long number": b'{"attempt":' + b"9" * 10_000 + b"}",
        "no number": b'{"attempt": NaN}',
        "nothing": b"",
        "a megabyte": b" " * (1 << 20) + b"{}",
    }.items():
        yield name, b"forged/1", body


def attack(target: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Run the named attacks; what each won, and what the vault has said meanwhile."""
    attacker, won = Attacker(target), {}
    for name in names:
        if name in MACHINE and os.geteuid() in (0, attacker.proc.stat().st_uid):
            won[name] = ["not tried: the attacker must be another user than the vault"]
            continue
        try:
            won[name] = list(getattr(attacker, name)())
        except Exception as error:
            won[name] = [f"the attack itself failed: {type(error).__name__}: {error}"]
    return {"user": os.geteuid(), "won": won, "received": base64.b64encode(attacker.received).decode()}


MACHINE = ["read_files", "change_files", "read_process", "take_over_process", "import_keys"]
SOCKET = ["wild_bytes", "announce_much", "crowd", "forge_plans", "meddle", "play_the_server"]

if __name__ == "__main__":
    order = json.load(sys.stdin)
    print(json.dumps(attack(order["target"], order["attacks"])))
