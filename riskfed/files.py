"""Files that others read while they are written, and small records kept in them as JSON."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from riskfed.errors import ConfigurationError

_Record = TypeVar("_Record")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it; its folder is made if absent.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
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
