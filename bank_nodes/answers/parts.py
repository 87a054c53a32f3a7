"""The parts of models that a feature holder can answer with: what its vault has stored, found by their sha256."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from riskfed.errors import RegistryError
from riskfed.linear_model import Part, read_part
from riskfed.schema import Schema

_LOOK_SECONDS: Final = 1.0

diary = structlog.get_logger("answers")


class PartFolder:
    """Follows ``models/<run>/part.json``, which the vault writes whole or not at all.

    Args:
        folder: the vault's models.
        schema: this party's part of the schema, by which its records are encoded. A part for other columns is not used.
        clock: seconds that only rise.
    """

    def __init__(self, folder: Path, schema: Schema, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._columns, self._clock = folder, schema.columns, clock
        self._known: dict[Path, tuple[tuple[int, int, int], Part | None]] = {}
        self._parts: dict[str, Part] = {}
        self._next_look = -float("inf")

    def find(self, sha256: str) -> Part | None:
        """The part with this sha256; None where there is none. New ones are seen within a second."""
        part = self._parts.get(sha256)
        # Not only for an unknown one: a part that was deleted is answered with no more.
        if self._clock() >= self._next_look:
            self._look()
            part = self._parts.get(sha256)
        return part

    def __len__(self) -> int:
        self._look()
        return len(self._parts)

    def _look(self) -> None:
        self._next_look = self._clock() + _LOOK_SECONDS
        found = {}
        for path in sorted(self._folder.glob("*/part.json")):
            try:
                status = path.stat()
            except OSError:
                continue
            state = (status.st_ino, status.st_mtime_ns, status.st_size)
            before = self._known.get(path)
            found[path] = before if before is not None and before[0] == state else (state, self._read(path))
        self._known = found
        self._parts = {part.sha256: part for _, part in found.values() if part is not None}

    def _read(self, path: Path) -> Part | None:
        try:
            part = read_part(path.read_bytes())
        except (OSError, RegistryError) as error:
            diary.error("a part cannot be answered with", run=path.parent.name, reason=str(error))
            return None
        if part.schema.columns != self._columns:
            diary.error("a part is for columns of another schema", run=path.parent.name, part=part.sha256)
            return None
        diary.info("answering with a part", run=path.parent.name, part=part.sha256, answers=part.answers)
        return part
