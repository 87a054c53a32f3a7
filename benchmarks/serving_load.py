"""A load generator for scoring services, in a process of its own, so that the server and not the client is what saturates.

    python -m benchmarks.serving_load < load.json > outcome.json

One thread, non-blocking sockets with keep-alive, request bytes made beforehand: some 20 us of CPU a request. Each connection sends its next
request when the answer to the last one is complete (a closed loop). Every answer's status and PD are checked.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

_RECEIVE_BYTES = 65_536
_END_OF_HEADERS = b"\r\n\r\n"
_PD_TOLERANCE = 1e-6
_FAILURES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Load:
    """What to send.

    Attributes:
        port: of the server, on loopback.
        path: of the scoring route.
        bodies: JSON, sent round and round.
        pds: the PD that the answer to each body has to hold, within 1e-6.
        connections: requests under way at once.
        seconds: how long requests are sent; those under way then are waited for.
        headers: besides Host, Content-Type and Content-Length.
    """

    port: int
    path: str
    bodies: Sequence[str]
    pds: Sequence[float]
    connections: int
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """What came back.

    Attributes:
        answered: requests with the right answer.
        failed: requests without it; `failures` names the first ones.
        seconds: from the first request to the last answer.
        p50_ms, p99_ms: from the sending of a request to the last byte of its answer.
        client_cpu_seconds: of this process during the load.
    """

    answered: int
    failed: int
    failures: tuple[str, ...]
    seconds: float
    p50_ms: float
    p99_ms: float
    client_cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Right answers a second."""
        return self.answered / self.seconds


def run_apart(load: Load) -> LoadOutcome:
    """Run a load in a process of its own.

    Raises:
        RuntimeError: the load generator itself failed.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        timeout=load.seconds + 120,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"the load generator ended with code {ran.returncode}:\n{ran.stderr[-2000:]}")
    fields = json.loads(ran.stdout)
    return LoadOutcome(**{**fields, "failures": tuple(fields["failures"])})


class _Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.number = 0
        self.sent_at = 0.0
        self._received = b""
        self._length = 0

    def send(self, number: int, request: bytes) -> None:
        self.number, self._received, self._length = number, b"", 0
        self.sent_at = time.perf_counter()
        if self.socket.send(request) != len(request):
            raise RuntimeError("a request did not fit the socket's buffer: send smaller ones")

    def receive(self) -> bytes | None:
        """The whole answer, or None while some of it is missing.

        Raises:
            ConnectionError: the server closed the connection.
        """
        part = self.socket.recv(_RECEIVE_BYTES)
        if not part:
            raise ConnectionError
        self._received += part
        if not self._length and (head := self._received.find(_END_OF_HEADERS)) >= 0:
            self._length = head + len(_END_OF_HEADERS) + _content_length(self._received[:head])
        return self._received if self._length and len(self._received) >= self._length else None


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise RuntimeError("an answer has no Content-Length, which this client needs")
    return int(rest.partition(b"\r\n")[0])


def _fault(answer: bytes, pd: float) -> str | None:
    """What is wrong with an answer; None where nothing is."""
    if not answer.startswith(b"HTTP/1.1 200 "):
        return answer[:300].decode(errors="replace")
    _, found, rest = answer.partition(b'"pd":')
    if not found or not abs(float(rest[:40].partition(b",")[0]) - pd) <= _PD_TOLERANCE:
        return f"another PD than {pd}"
    return None


class _Run:
    """The requests of one load, and what came of them."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = [_request(load, body) for body in load.bodies]
        self._next = 0
        self.latencies: list[float] = []
        self.failures: list[str] = []

    def run(self) -> float:
        """Send until the time is over, wait for the last answers; returns the seconds from the first request to the last answer."""
        poller = select.epoll()
        open_ = {}
        started = time.perf_counter()
        for _ in range(self._load.connections):
            connection = self._connect(poller)
            open_[connection.socket.fileno()] = connection
        deadline = started + self._load.seconds
        while open_:
            events = poller.poll(30)
            if not events:
                self.failures.append("no answer within 30 s")
                break
            for number, _ in events:
                connection = open_[number]
                if self._go_on(connection, deadline):
                    continue
                poller.unregister(number)
                connection.socket.close()
                del open_[number]
        return time.perf_counter() - started

    def _connect(self, poller: select.epoll) -> _Connection:
        connection = _Connection(self._load.port)
        poller.register(connection.socket.fileno(), select.EPOLLIN)
        self._send(connection)
        return connection

    def _go_on(self, connection: _Connection, deadline: float) -> bool:
        """Take in what came; False once the connection is done with."""
        try:
            answer = connection.receive()
        except ConnectionError:
            self.failures.append("the server closed the connection")
            return False
        if answer is None:
            return True
        now = time.perf_counter()
        fault = _fault(answer, self._load.pds[connection.number])
        if fault is None:
            self.latencies.append(now - connection.sent_at)
        else:
            self.failures.append(fault)
        if now >= deadline:
            return False
        self._send(connection)
        return True

    def _send(self, connection: _Connection) -> None:
        number = self._next % len(self._requests)
        self._next += 1
        connection.send(number, self._requests[number])


def _request(load: Load, body: str) -> bytes:
    content = body.encode()
    own = {"Host": f"127.0.0.1:{load.port}", "Content-Type": "application/json", "Content-Length": str(len(content))}
    lines = [f"POST {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**own, **load.headers}.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def run(load: Load) -> LoadOutcome:
    """Run a load in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    made = _Run(load)
    seconds = made.run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    ordered = sorted(made.latencies) or [float("nan")]
    return LoadOutcome(
        answered=len(made.latencies),
        failed=len(made.failures),
        failures=tuple(made.failures[:_FAILURES_SHOWN]),
        seconds=seconds,
        p50_ms=1000 * ordered[len(ordered) // 2],
        p99_ms=1000 * ordered[len(ordered) * 99 // 100],
        client_cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(run(Load(**json.load(sys.stdin))))))
