"""Start processes, wait until they are ready, and stop exactly what was started, whatever happens in between."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from riskfed.errors import ConfigurationError

_POLL_SECONDS = 0.1
_PROC = Path("/proc")


@dataclass(slots=True)
class Process:
    """A child process with a log file, in a session of its own."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes] = field(repr=False)
    _output: IO[bytes] = field(repr=False)

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.popen.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def close_log(self) -> None:
        """Close this side of the log file."""
        self._output.close()


class Processes:
    """Children that end with this object. Use it as a context manager.

    SIGTERM is turned into `SystemExit` meanwhile (in the main thread), so that a killed parent stops its children too.
    """

    def __init__(self) -> None:
        self._children: list[Process] = []
        self._previous: Callable[..., object] | int | None = None
        self._handling = False

    def __enter__(self) -> Self:
        try:
            self._previous = signal.signal(signal.SIGTERM, _exit)
            self._handling = True
        except ValueError:
            self._handling = False  # not the main thread: whoever owns it decides about signals
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._handling:
            signal.signal(signal.SIGTERM, self._previous if self._previous is not None else signal.SIG_DFL)

    def start(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Process:
        """Start a command; its output goes to `log`.

        Raises:
            ConfigurationError: the command does not exist.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("ab")
        try:
            popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
            )
        except FileNotFoundError:
            output.close()
            raise ConfigurationError(f"cannot start {name}: {command[0]} is not installed") from None
        child = Process(name, log, popen, output)
        self._children.append(child)
        return child

    def wait_until(self, child: Process, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until `ready`.

        Raises:
            ConfigurationError: the process ended, or was not ready within `timeout` seconds; shows the end of its log.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if not child.running:
                raise ConfigurationError(f"{child.name} ended with code {child.popen.returncode}:\n{child.tail()}")
            if time.monotonic() > deadline:
                raise ConfigurationError(f"{child.name} was not ready within {timeout:g} s:\n{child.tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, children: Sequence[Process] | None = None, *, timeout: float = 30.0) -> None:
        """Stop some children, or all, the latest first: SIGTERM, then SIGKILL for what is left of them and their descendants."""
        chosen = list(reversed(self._children if children is None else children))
        families = {child.popen.pid: _descendants(child.popen.pid) for child in chosen if child.running}
        for child in chosen:
            _signal(child.popen, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        for child in chosen:
            try:
                child.popen.wait(max(deadline - time.monotonic(), _POLL_SECONDS))
            except subprocess.TimeoutExpired:
                _signal(child.popen, signal.SIGKILL)
                child.popen.wait()
            child.close_log()
            self._children.remove(child)
        # A descendant in a session of its own outlives its parent for a moment, or for good.
        _reap([member for family in families.values() for member in family], timeout=3.0)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_open(port: int, host: str = "127.0.0.1") -> bool:
    """Somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _signal(popen: subprocess.Popen[bytes], number: int) -> None:
    if popen.poll() is None:
        popen.send_signal(number)


@dataclass(frozen=True, slots=True)
class _Member:
    """A process, told apart from a later one with the same id by its start time (clock ticks since boot)."""

    pid: int
    started: int


def _descendants(pid: int) -> list[_Member]:
    """Where there is no /proc, none: Flower's own children watch for their parent's end by themselves."""
    table = {member: parent for member, parent in _process_table()}
    family, found = {pid}, True
    members: list[_Member] = []
    while found:
        found = False
        for member, parent in list(table.items()):
            if parent in family:
                family.add(member.pid)
                members.append(member)
                del table[member]
                found = True
    return members


def _process_table() -> list[tuple[_Member, int]]:
    rows = []
    for folder in _PROC.iterdir() if _PROC.is_dir() else ():
        if folder.name.isdigit() and (row := _read_stat(int(folder.name))) is not None:
            rows.append(row)
    return rows


def _read_stat(pid: int) -> tuple[_Member, int] | None:
    """The process and its parent's id; None where it has gone, or only waits to be reaped."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (_Member(pid, int(fields[19])), int(fields[1]))


def _reap(members: Sequence[_Member], timeout: float) -> None:
    """Give processes `timeout` seconds to end by themselves, then kill what is left."""
    if left := _outlasting(members, timeout):
        for member in left:
            _kill(member)
        _outlasting(left, timeout)


def _outlasting(members: Sequence[_Member], timeout: float) -> list[_Member]:
    deadline = time.monotonic() + timeout
    while left := [member for member in members if (row := _read_stat(member.pid)) is not None and row[0] == member]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return left


def _kill(member: _Member) -> None:
    try:
        os.kill(member.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
