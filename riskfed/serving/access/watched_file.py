"""A small file of the operator's that the service reads again when it changes."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from riskfed.errors import ConfigurationError

_log = logging.getLogger("riskfed.serving.access")
_Content = TypeVar("_Content")
_LOOK_SECONDS: Final = 1.0


def read_guarded(path: Path, advice: str, *, secret: bool) -> bytes:
    """Read a file that nobody but its owner may change.

    Args:
        path: the file.
        advice: what to do where there is none.
        secret: nobody else may read it either.

    Raises:
        ConfigurationError: it cannot be read, or its mode lets others do what they must not.
    """
    refused = stat.S_IRWXG | stat.S_IRWXO if secret else stat.S_IWGRP | stat.S_IWOTH
    try:
        with path.open("rb") as file:
            # Asked of the open file, so that what is checked is what is read.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & refused:
                allowed, what = ("600", "read or change") if secret else ("644", "change")
                raise ConfigurationError(
                    f"{path} has mode {mode:04o}, expected 0{allowed}: other users could {what} it; run chmod {allowed}"
                )
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; {advice}") from None


class WatchedFile(Generic[_Content]):
    """A file's content, at most one second old.

    A file that breaks while the service runs leaves the last good content in use and is logged once: a slip of the operator's must not
    turn every client away. So a revocation counts only once it is in a sound file; the commands write whole files.
    """

    def __init__(self, path: Path, read: Callable[[Path], _Content]) -> None:
        """Read it for the first time.

        Args:
            path: the file.
            read: makes its content; raises ConfigurationError.

        Raises:
            ConfigurationError: as `read`.
        """
        self._path = path
        self._read = read
        self._state = self._look()
        self._content = read(path)
        self._next_look = time.monotonic() + _LOOK_SECONDS

    def current(self) -> _Content:
        """The content; looks at the file's state at most once a second, and reads it only if that changed."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            state = self._look()
            if state != self._state:
                # Noted before reading: a file that changes meanwhile is read once more at the next look.
                self._state = state
                self._reread()
        return self._content

    def _reread(self) -> None:
        try:
            self._content = self._read(self._path)
        except ConfigurationError as error:
            _log.error("the last good content stays in use: %s", error)
        else:
            _log.info("read again: %s", self._path)

    def _look(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        # The inode tells two files apart that replaced each other within one tick of the clock; mode, so that chmod mends.
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size, found.st_mode
