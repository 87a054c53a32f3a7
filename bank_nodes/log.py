"""The vault's log: append-only JSON lines, each chained to the one before by its hash, of everything that the vault let out.

Line k holds ``sequence`` k, ``time`` (UTC), ``event``, the event's fields, ``previous`` (hash of line k - 1, zeros for line 0) and
``hash``, the sha256 of the canonical JSON (sorted keys, no spaces) of all that. A line that is changed, inserted, moved or left
out breaks the chain. Lines cut off at the end do not: compare the last hash (`Head`) with one that was noted elsewhere.

Events: ``opened`` (with all that was asked), ``refused`` (with the policy's rule, where it was one), ``waiting`` (for an approval),
``approved`` (by whom, when, which plan), ``left`` (one for each frame: run, step, frame, bytes, sha256 of its body), ``finished``,
``dropped``, ``recovered``. The log names runs and counts, and never holds a record's value or a body.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from bank_nodes.history import History
from riskfed.errors import ConfigurationError, ProtectionError

_START: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log ends: number of its lines, and the hash of the last one (zeros for an empty log)."""

    lines: int = 0
    hash: str = _START


class VaultLog:
    """Writes the log of one vault. Only one process may hold it.

    Args:
        path: the file; made (mode 0600) where absent, otherwise verified and continued.

    Attributes:
        path: the file.
        head: where the log ends.
        history: what its lines add up to.

    Raises:
        ProtectionError: the existing log is broken.
        ConfigurationError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = History()
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            # Two writers would fork the chain.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            torn = _cut_torn_line(path)
            self.head = Head()
            for self.head, entry in _entries(path):
                self.history.note(entry)
        except BlockingIOError:
            raise ConfigurationError(
                f"another vault writes the log {path}; stop it, or give this bank a log of its own"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"cannot write the vault's log {path}: {error.strerror}") from None
        if torn:
            self.record("recovered", durable=True, bytes_cut=torn)

    def record(self, event: str, *, durable: bool = False, **fields: Any) -> None:
        """Append one event.

        Args:
            event: what happened.
            durable: return only once the log is on the disk.
            **fields: JSON values; names must not be those of the chain.

        Raises:
            OSError: the line could not be written; what it was to announce must not leave.
        """
        with self._lock:
            entry = {
                **fields,
                "sequence": self.head.lines,
                "time": datetime.now(UTC).isoformat(timespec="microseconds"),
                "event": event,
                "previous": self.head.hash,
            }
            own = _hash(entry)
            _append(self._descriptor, (_canonical({**entry, "hash": own}) + "\n").encode())
            self.head = Head(self.head.lines + 1, own)
            self.history.note(entry)
            if durable:
                os.fsync(self._descriptor)

    def was_opened(self, label: str) -> bool:
        """Whether this run and attempt ("run/attempt") was ever served."""
        return self.history.was_opened(label)

    def was_finished(self, run: str) -> bool:
        """Whether some attempt of the run came to its end."""
        return self.history.was_finished(run)

    def close(self) -> None:
        """Bring the log to the disk and let go of it."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, verified as they are read.

    Raises:
        ProtectionError: names the first bad line.
        ConfigurationError: the file cannot be read.
    """
    try:
        for _, entry in _entries(path):
            yield entry
    except OSError as error:
        raise ConfigurationError(f"cannot read the vault's log {path}: {error.strerror}") from None


def verify_log(path: Path, noted: str | None = None) -> Head:
    """Check a whole log.

    Args:
        path: the file.
        noted: hash of a line that the log is known to have had; finds lines that were cut off at the end.

    Returns:
        Where the log ends; note its hash outside of the bank's machine.

    Raises:
        ProtectionError: names the first bad line, or says that the noted line is missing.
        ConfigurationError: the file cannot be read.
    """
    head, seen = Head(), {_START}
    for entry in read_log(path):
        head = Head(head.lines + 1, entry["hash"])
        seen.add(head.hash)
    if noted is not None and noted not in seen:
        raise ProtectionError(
            f"log {path} has no line with the noted hash {noted[:16]}...: lines are missing at its end, or it is another log. "
            "The bank's auditor must act"
        )
    return head


def _entries(path: Path) -> Iterator[tuple[Head, dict[str, Any]]]:
    head = Head()
    with path.open("rb") as file:
        for line in file:
            entry = _checked(path, line, head)
            head = Head(head.lines + 1, entry["hash"])
            yield head, entry


def _checked(path: Path, line: bytes, head: Head) -> dict[str, Any]:
    where = f"log {path}, line {head.lines + 1}"
    try:
        entry = json.loads(line)
        own = entry["hash"]
        content = {name: value for name, value in entry.items() if name != "hash"}
        unbroken = (entry["sequence"], entry["previous"]) == (head.lines, head.hash)
        # The very bytes must be canonical too, so that no line has two spellings.
        sound = unbroken and own == _hash(content) and line == (_canonical(entry) + "\n").encode()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ProtectionError(f"{where}: not an entry of a vault's log; the bank's auditor must act") from None
    if not unbroken:
        raise ProtectionError(
            f"{where}: does not follow the line before; lines are missing, moved or inserted. The auditor must act"
        )
    if not sound:
        raise ProtectionError(f"{where}: the line was changed after it was written; the bank's auditor must act")
    result: dict[str, Any] = entry
    return result


def _cut_torn_line(path: Path) -> int:
    """Cut off a last line that a power failure left unfinished, so that the chain can go on. Returns the bytes cut."""
    content = path.read_bytes()
    torn = len(content) - (content.rfind(b"\n") + 1)
    if torn:
        os.truncate(path, len(content) - torn)
    return torn


def _append(descriptor: int, line: bytes) -> None:
    """Append a whole line or nothing: half a line, where the disk is full, would break the chain for all that follow."""
    before = os.fstat(descriptor).st_size
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _canonical(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(entry).encode()).hexdigest()
