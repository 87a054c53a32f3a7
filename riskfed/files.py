"""Files that must be whole, and on the disk, and small records kept in them as JSON."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from riskfed.errors import ConfigurationError

_Record = TypeVar("_Record")


PRIVATE: Final = 0o600
"""Mode of a file for its owner alone. It counts from the first instant: at no time can another user open the file."""


def write_synced(path: Path, data: bytes, *, mode: int = 0o666, how: int = os.O_EXCL) -> None:
    """Write a file and bring it to the disk.

    Args:
        path: the file.
        data: what to write.
        mode: of a new file, less the process's umask.
        how: os.O_EXCL: it must not be there yet; os.O_TRUNC: in place of what it holds; os.O_APPEND: behind that.

    Raises:
        FileExistsError: it is there already.
        OSError: it cannot be written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a file that is synced may still lack its name there.

    Raises:
        OSError: it cannot be done.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file so that nobody ever sees half of it; its folder is made if absent.

    Args:
        path: the file.
        data: what to write.
        private: for its owner alone; what root writes for a service stays the service's.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_synced(draft, data, mode=PRIVATE if private else 0o666)
        if private and path.exists():
            before = path.stat()
            os.chown(draft, before.st_uid, before.st_gid)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_record(path: Path, record: Any) -> None:
    """Write a dataclass as JSON, whole or not at all.

    Raises:
        OSError: as `write_whole`.
    """
    write_whole(path, json.dumps(asdict(record), indent=2).encode() + b"\n")


def read_record(kind: type[_Record], path: Path, otherwise: str) -> _Record:
    """Read what `write_record` wrote.

    Args:
        kind: the dataclass.
        path: the file.
        otherwise: what to say of a file that is absent or holds something else.

    Raises:
        ConfigurationError: it is one of these.
    """
    try:
        return kind(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        raise ConfigurationError(otherwise) from None
