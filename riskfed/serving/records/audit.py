"""The audit log of the scoring service: one line for every answer, written before the answer leaves.

A hash chain (`riskfed.hash_chain`) over files in a folder of its own (`audit_files`). A line says who asked, when, which model and
version answered, PD, score and reason codes. It holds no feature of an applicant and no customer's id: whoever may read the log
learns decisions by request id, and needs the bank's own records to say whose they are. Files have mode 0600, the folder 0700.

Events: ``started``, ``stopped``, ``model`` (a champion, a challenger, or one that was refused), ``score``, ``what_if``, ``shadow``,
``recovered`` (a line torn by a crash was cut; how many bytes).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Self

from riskfed.errors import AuditError, ConfigurationError, ProtectionError
from riskfed.files import PRIVATE, sync_folder
from riskfed.hash_chain import ChainWriter, Head, cut_torn_line, open_alone
from riskfed.serving.records.audit_files import (
    AuditSummary,
    beginning_of,
    ending_of,
    file_at,
    files_of,
    read_audit,
    read_file,
    sequence_of,
    verify_audit,
)

__all__ = ["AuditLog", "AuditSummary", "read_audit", "verify_audit"]

ROTATE_BYTES: Final = 64 << 20
_SETTLE_SECONDS: Final = 0.5


class AuditLog:
    """Writes the audit log. One process at a time may hold the folder; threads may share the object.

    A line is in the system's hands (write(2)) when `record` returns, so a killed service loses none. Against a power failure,
    "second" brings lines to the disk at most a second later, "each" before `record` returns.

    Args:
        folder: of the log alone; made where absent. The last file of an existing log is verified and continued: about 2 s for
            64 MiB. The whole log is `verify_audit`'s.
        rotate_bytes: size from which the next line begins a new file.
        durable: "second" or "each".

    Raises:
        ProtectionError: the last file is broken, or does not follow the one before.
        ConfigurationError: the folder cannot be used, or another process writes it.
    """

    def __init__(
        self, folder: Path, *, rotate_bytes: int = ROTATE_BYTES, durable: Literal["each", "second"] = "second"
    ) -> None:
        if rotate_bytes < 1:
            raise ConfigurationError(f"the audit log's files need at least one byte, got {rotate_bytes}")
        self.folder = folder
        self._rotate_bytes = rotate_bytes
        self._each = durable == "each"
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._failed = ""
        self._unsettled = False
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._holder = open_alone(folder / "lock")
        except BlockingIOError:
            raise ConfigurationError(
                f"another service writes the audit log in {folder}; stop it, or give this one a folder of its own"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"cannot use {folder} for the audit log: {error.strerror}") from None
        try:
            self._continue()
        except BaseException:
            os.close(self._holder)
            raise
        self._settler = threading.Thread(target=self._settle, name="audit-log", daemon=True)
        self._settler.start()

    @property
    def head(self) -> Head:
        """Where the log ends."""
        return self._chain.head

    def record(self, event: str, **fields: Any) -> None:
        """Append one line, whole or not at all.

        Args:
            event: what happened.
            **fields: JSON values; names must not be those of the chain.

        Raises:
            AuditError: it could not be written, or not be brought to the disk; what it was to tell must not leave. Once there is
                room again, the log goes on.
        """
        self.record_many(event, (fields,))

    def record_many(self, event: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append a line for each entry, all or none, with one write. A kill in the midst of it can leave the first of them.

        Raises:
            AuditError: as `record`.
            ValueError, TypeError: a value is not one of JSON; nothing was written.
        """
        try:
            with self._lock:
                self._check_sound()
                if self._chain.size >= self._rotate_bytes:
                    self._rotate()
                self._chain.append(event, entries)
                if self._each:
                    self._sync(self._descriptor)
                else:
                    self._unsettled = True
        except OSError as error:
            raise AuditError(
                f"cannot write the audit log in {self.folder} ({error.strerror}); make room or mend the disk"
            ) from None

    def close(self) -> None:
        """Bring the log to the disk and let go of it.

        Raises:
            AuditError: the disk may lack the last lines.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._settler.join()
        with self._lock:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise AuditError(
                    f"the last lines of the audit log in {self.folder} may not be on the disk ({error.strerror}); mend it"
                ) from None
            finally:
                os.close(self._descriptor)
                os.close(self._holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _continue(self) -> None:
        """Find the chain's end, and open the last file for what follows."""
        try:
            torn, head = self._recover()
            self._descriptor = _open(file_at(self.folder, head.lines) if head == Head() else files_of(self.folder)[-1])
        except OSError as error:
            raise ConfigurationError(f"cannot continue the audit log in {self.folder}: {error.strerror}") from None
        self._chain = ChainWriter(self._descriptor, head)
        if torn:
            self.record("recovered", bytes_cut=torn)

    def _recover(self) -> tuple[int, Head]:
        """Cut what a crash left unfinished. Returns the bytes cut, and where the chain ends."""
        files = files_of(self.folder)
        if not files:
            return 0, Head()
        torn = cut_torn_line(files[-1])
        if files[-1].stat().st_size:
            return torn, self._end_of(files)
        # The crash came between the file's making and its first line.
        if len(files) == 1 and sequence_of(files[-1]):
            raise ProtectionError(
                f"{files[-1]} is empty and the files before it were moved away; put the one just before it back"
            )
        files[-1].unlink()
        return torn, self._end_of(files[:-1])

    def _end_of(self, files: Sequence[Path]) -> Head:
        if not files:
            return Head()
        start = beginning_of(files[-1])
        if files[:-1] and ending_of(files[-2]) != start.hash:
            raise ProtectionError(
                f"audit log {files[-1]} does not follow {files[-2].name}; the bank's auditor must act"
            )
        head = start
        for reached, _ in read_file(files[-1], start, files[-1].stat().st_size):
            head = reached
        return head

    def _rotate(self) -> None:
        # Everything before the new file is on the disk before it exists, so no power failure leaves a gap between files.
        self._sync(self._descriptor)
        descriptor = _open(file_at(self.folder, self.head.lines))
        self._chain = ChainWriter(descriptor, self.head)
        self._descriptor, complete = descriptor, self._descriptor
        os.close(complete)

    def _settle(self) -> None:
        """Bring lines to the disk, off the path of the requests."""
        while not self._closing.wait(_SETTLE_SECONDS):
            if self._unsettled:
                with suppress(OSError):  # `_sync` remembers it, and the next line says it
                    self._settle_once()

    def _settle_once(self) -> None:
        with self._lock:
            # Of its own, because the log may begin another file meanwhile.
            descriptor = os.dup(self._descriptor)
            self._unsettled = False
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)

    def _sync(self, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except OSError as error:
            # After a failed fsync the system forgets what it could not write, and a later one says nothing of it: no line may
            # follow on a disk where the one before is missing. A restart reads what there is.
            self._failed = f"{error.strerror}, while bringing lines to the disk; restart the service once it is mended"
            raise

    def _check_sound(self) -> None:
        if self._closing.is_set():
            raise AuditError(f"the audit log in {self.folder} is closed")
        if self._failed:
            raise AuditError(f"the audit log in {self.folder} failed: {self._failed}")


def _open(path: Path) -> int:
    """Open a file of the log for appending; its name is on the disk before its first line."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE))
    sync_folder(path.parent)
    return os.open(path, os.O_WRONLY | os.O_APPEND)
