"""The audit log as its auditor reads it: the files of a folder, in order, each line verified as it is read.

A file is named by the sequence of its first line (audit-00000000000000012345.jsonl), and that line has the hash of the last line of
the file before, so a file that is missing, swapped or renamed is found. How long lines are kept is the bank's decision: complete
files (all but the last one) may be moved away, oldest first, and what is left verifies with the hash of the last line that was moved.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from riskfed.errors import ConfigurationError, ProtectionError
from riskfed.hash_chain import Head, last_line, read_lines, whole_lines

_PREFIX: Final = "audit-"
_SUFFIX: Final = ".jsonl"
_DIGITS: Final = 20
_TOLD_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class AuditSummary:
    """What a sound log holds.

    Attributes:
        head: where it ends; note its hash outside of the service's machine.
        files: how many are in the folder.
        lines: how many are in them; fewer than `head.lines` where files were moved away.
        first: time (UTC, ISO 8601) of the first line; "" for an empty log.
        last: time of the last line.
        events: number of lines by event.
        unfinished: bytes behind the last whole line: one that is being written, or a crash's, which the service cuts at its next start.
    """

    head: Head
    files: int
    lines: int
    first: str
    last: str
    events: Counter[str] = field(default_factory=Counter)
    unfinished: int = 0


def verify_audit(
    folder: Path,
    noted: str | None = None,
    *,
    after: str | None = None,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> AuditSummary:
    """Check a whole log; the service may be writing it meanwhile.

    Args:
        folder: of its files.
        noted: hash of a line that the log is known to have had; finds lines and files that were cut off at the end.
        after: hash of the last line of the files that were moved away; None where none was.
        on_bytes: told how many bytes more were read, about every MiB.

    Raises:
        ProtectionError: names the first bad file and line, or says that the noted line is missing.
        ConfigurationError: the folder holds no audit log, or a file cannot be read.
    """
    if not (files := files_of(folder)):
        raise ConfigurationError(f"no audit log in {folder}: expected files named {file_at(Path(), 0)} and so on")
    first, last, events = "", "", Counter[str]()
    try:
        end, unfinished = _ends_at(files[-1])
        head = _beginning(files[0], after)
        found = noted in (None, head.hash)
        for reached, entry in _entries(files, head, end, on_bytes):
            head = reached
            found = found or head.hash == noted
            first, last = first or entry["time"], entry["time"]
            events[entry["event"]] += 1
    except OSError as error:
        raise _unreadable(folder, error) from None
    if not found:
        raise ProtectionError(
            f"the audit log in {folder} has no line with the noted hash {str(noted)[:16]}...: lines are missing at its end, or "
            "were moved away, or it is another log. The bank's auditor must act"
        )
    return AuditSummary(head, len(files), events.total(), first, last, events, unfinished)


def read_audit(folder: Path, since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """The entries of a log, oldest first, verified as they are read; files that ended before `since` are not looked at.

    Raises:
        ProtectionError: names the first bad file and line.
        ConfigurationError: a file cannot be read.
    """
    earliest = "" if since is None else since.astimezone(UTC).isoformat(timespec="microseconds")
    files = files_of(folder)
    try:
        while len(files) > 1 and _field(_first_line(files[1]), "time", "later") <= earliest:
            files = files[1:]
        if files:
            for _, entry in _entries(files, beginning_of(files[0]), _ends_at(files[-1])[0]):
                if entry["time"] >= earliest:
                    yield entry
    except OSError as error:
        raise _unreadable(folder, error) from None


def files_of(folder: Path) -> list[Path]:
    """The files of a log, oldest first."""
    return sorted(folder.glob(f"{_PREFIX}{'[0-9]' * _DIGITS}{_SUFFIX}"))


def file_at(folder: Path, sequence: int) -> Path:
    """The file that begins with line `sequence`."""
    return folder / f"{_PREFIX}{sequence:0{_DIGITS}}{_SUFFIX}"


def sequence_of(path: Path) -> int:
    """The sequence of a file's first line, as its name has it."""
    return int(path.name[len(_PREFIX) : -len(_SUFFIX)])


def beginning_of(path: Path) -> Head:
    """Where the chain ended before a file, as the file's name and first line have it: whoever reads the file verifies that line.

    Raises:
        OSError: it cannot be read.
    """
    sequence = sequence_of(path)
    return Head(sequence, _field(_first_line(path), "previous")) if sequence else Head()


def ending_of(path: Path) -> str:
    """The hash of a file's last whole line, not verified; "" where there is none.

    Raises:
        OSError: it cannot be read.
    """
    return _field(last_line(path), "hash")


def read_file(
    path: Path, start: Head, end: int, on_bytes: Callable[[int], object] = lambda _: None
) -> Iterator[tuple[Head, dict[str, Any]]]:
    """The entries of one file up to its byte `end`, verified: see `riskfed.hash_chain.read_lines`."""

    def lines() -> Iterator[bytes]:
        read = told = 0
        with path.open("rb") as file:
            for line in file:
                read += len(line)
                if read > end:
                    break
                if read - told >= _TOLD_BYTES:
                    on_bytes(read - told)
                    told = read
                yield line

    return read_lines(path, lines(), start, "an audit log")


def _entries(
    files: Sequence[Path], start: Head, end: int, on_bytes: Callable[[int], object] = lambda _: None
) -> Iterator[tuple[Head, dict[str, Any]]]:
    """The entries of all files; the last file's up to its byte `end`, because the service may be writing it."""
    head = start
    for path in files:
        if sequence_of(path) != head.lines:
            raise ProtectionError(
                f"{path} begins with line {sequence_of(path)} by its name, expected {head.lines}: a file is missing or was renamed. "
                "The auditor must act"
            )
        limit = end if path == files[-1] else path.stat().st_size
        for reached, entry in read_file(path, head, limit, on_bytes):
            head = reached
            yield head, entry


def _beginning(path: Path, after: str | None) -> Head:
    start = beginning_of(path)
    if after is None and start.lines:
        raise ProtectionError(
            f"the audit log begins with line {start.lines}, in {path}: files are missing at its beginning. Where the bank moved them "
            "away, give the hash of their last line; otherwise its auditor must act"
        )
    if after not in (None, start.hash):
        raise ProtectionError(
            f"{path} does not follow the line with the hash {str(after)[:16]}...; give the hash of the last line that was moved away"
        )
    return start


def _ends_at(path: Path) -> tuple[int, int]:
    """Bytes of whole lines, and of what stands behind them."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        whole = whole_lines(file, size)
    return whole, size - whole


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def _field(line: bytes, name: str, otherwise: str = "") -> str:
    """A field of a line that nobody has verified yet."""
    try:
        return str(json.loads(line)[name])
    except (ValueError, TypeError, KeyError, RecursionError):
        return otherwise


def _unreadable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"cannot read the audit log in {folder}: {error.strerror}; its reader needs access to it")
