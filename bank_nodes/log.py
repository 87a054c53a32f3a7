"""The vault's log, a hash chain (`riskfed.hash_chain`) of everything that the vault let out and of every decision.

Events: ``opened`` (with all that was asked), ``refused`` (with the policy's rule, where it was one), ``waiting`` (for an approval),
``approved`` (by whom, when, which plan), ``left`` (one for each frame: run, step, frame, bytes, sha256 of its body), ``kept`` (name and
bytes of what stays in the bank beyond its run), ``finished``, ``dropped``, ``recovered``. The log names runs and counts, and never holds a
record's value or a body.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from bank_nodes.history import History
from riskfed.errors import ConfigurationError, ProtectionError
from riskfed.hash_chain import START, ChainWriter, Head, cut_torn_line, open_alone, read_lines


class VaultLog:
    """Writes the log of one vault. Only one process may hold it.

    Args:
        path: the file; made (mode 0600) where absent, otherwise verified and continued.

    Attributes:
        path: the file.
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
            self._descriptor = open_alone(path)
            torn = cut_torn_line(path)
            head = Head()
            for reached, entry in _entries(path):
                head = reached
                self.history.note(entry)
            self._chain = ChainWriter(self._descriptor, head)
        except BlockingIOError:
            raise ConfigurationError(
                f"another vault writes the log {path}; stop it, or give this bank a log of its own"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"cannot write the vault's log {path}: {error.strerror}") from None
        if torn:
            self.record("recovered", durable=True, bytes_cut=torn)

    @property
    def head(self) -> Head:
        """Where the log ends."""
        return self._chain.head

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
            for entry in self._chain.append(event, (fields,)):
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
    head, seen = Head(), {START}
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
    with path.open("rb") as file:
        yield from read_lines(path, file, Head(), "a vault's log")
