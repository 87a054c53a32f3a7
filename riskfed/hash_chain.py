"""Append-only JSON lines, each chained to the one before by its hash: what the vault's log and the scoring service's audit log are made of.

Line k holds ``sequence`` k, ``time`` (UTC), ``event``, the event's fields, ``previous`` (hash of line k - 1, zeros for line 0) and
``hash``, the sha256 of the canonical JSON (sorted keys, no spaces) of all that. A line that is changed, inserted, moved or left
out breaks the chain. Lines cut off at the end do not: compare the last hash (`Head`) with one that was noted elsewhere.

The chain has no key: it shows that a log was changed, to whoever noted a hash of it before. It does not stop its own writer from lying.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from riskfed.errors import ProtectionError

START: Final = "0" * 64
"""What line 0 has in place of the hash of a line before."""
_BLOCK: Final = 1 << 16
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log ends: number of its lines, and the hash of the last one (zeros for an empty log)."""

    lines: int = 0
    hash: str = START


class ChainWriter:
    """Continues a chain in one file. Not for two threads at once, and its file for one process only (`open_alone`).

    Args:
        descriptor: of the file, open for appending, which ends with a whole line.
        head: where the chain ends.

    Attributes:
        head: where the chain ends.
        size: bytes of the file.
    """

    def __init__(self, descriptor: int, head: Head) -> None:
        self.head = head
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._torn = False

    def append(self, event: str, entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Append one line for each entry, all or none, with one write where the system takes them whole.

        Args:
            event: what happened.
            entries: fields with JSON values; the chain's own names are overwritten.

        Returns:
            The entries as they stand in the log, without their hashes.

        Raises:
            OSError: they could not be written; the chain ends where it did.
            ValueError, TypeError: a value is not one of JSON; the chain ends where it did.
        """
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        head, written, lines = self.head, [], []
        for fields in entries:
            entry = {**fields, "sequence": head.lines, "time": time, "event": event, "previous": head.hash}
            line, own = _chained(entry)
            head = Head(head.lines + 1, own)
            written.append(entry)
            lines.append(line)
        data = "".join(lines).encode()
        self._write(data)
        self.head = head
        self.size += len(data)
        return written

    def _write(self, data: bytes) -> None:
        """Append it whole or not at all: half a line, where the disk is full, would break the chain for all that follow."""
        if self._torn:
            os.ftruncate(self._descriptor, self.size)
        self._torn = True
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            self._torn = False
            raise
        self._torn = False


def open_alone(path: Path) -> int:
    """Open a file for appending, made (mode 0600) where absent, and lock it until it is closed: two writers would fork the chain.

    Raises:
        BlockingIOError: another process, or another object of this one, has it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def cut_torn_line(path: Path) -> int:
    """Cut off a last line that a power failure left unfinished, so that the chain can go on. Returns the bytes cut."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        whole = whole_lines(file, size)
        if whole < size:
            file.truncate(whole)
    return size - whole


def whole_lines(file: BinaryIO, end: int) -> int:
    """How many of the first `end` bytes are whole lines: the offset behind the last newline among them."""
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def last_line(path: Path) -> bytes:
    """The last whole line of a file, without its newline; empty where there is none."""
    with path.open("rb") as file:
        end = whole_lines(file, file.seek(0, os.SEEK_END))
        start = whole_lines(file, max(0, end - 1))
        file.seek(start)
        return file.read(end - start)[:-1]


def read_lines(
    path: Path, lines: Iterable[bytes], start: Head, name: str = "log"
) -> Iterator[tuple[Head, dict[str, Any]]]:
    """The entries of one file of a chain, each verified before it is given.

    Args:
        path: the file, for messages.
        lines: its lines.
        start: where the chain ended before the file.
        name: what it is, for messages.

    Yields:
        Where the chain ends with the entry, and the entry.

    Raises:
        ProtectionError: names the first bad line.
        OSError: from `lines`.
    """
    head = start
    for line in lines:
        entry = _checked(f"log {path}, line {head.lines - start.lines + 1}", line, head, name)
        head = Head(head.lines + 1, entry["hash"])
        yield head, entry


def _chained(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The line of an entry, with its newline, and its hash.

    Keys are sorted, so the hash stands between those before and those after "hash", and both always hold one of the chain's own.
    To encode the two halves once serves the hashed text and the line.
    """
    before = _canonical({name: value for name, value in entry.items() if name < "hash"})[:-1]
    after = _canonical({name: value for name, value in entry.items() if name > "hash"})[1:]
    own = hashlib.sha256(f"{before},{after}".encode()).hexdigest()
    return f'{before},"hash":"{own}",{after}\n', own


def _checked(where: str, line: bytes, head: Head, name: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        unbroken = (entry["sequence"], entry["previous"]) == (head.lines, head.hash)
        # The very bytes must be canonical too, so that no line has two spellings.
        written, own = _chained(entry)
        sound = unbroken and own == entry["hash"] and line == written.encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ProtectionError(f"{where}: not an entry of {name}; the bank's auditor must act") from None
    if not unbroken:
        raise ProtectionError(
            f"{where}: does not follow the line before; lines are missing, moved or inserted. The auditor must act"
        )
    if not sound:
        raise ProtectionError(f"{where}: the line was changed after it was written; the bank's auditor must act")
    result: dict[str, Any] = entry
    return result
