"""Where large arrays live: in memory, or in memory-mapped files, for records that are larger than memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from riskfed.errors import ConfigurationError

_FIRST_ROOM = 1 << 20
"""Values of a column for which a scratch table has room at first."""
_GROWTH = 8
_COPIED_AT_ONCE = 1 << 22


class Table(Protocol):
    """float32 columns that grow, all alike, while their final length is not known."""

    def append(self, block: NDArray[np.float32]) -> None:
        """Add the rows of a (columns, k) block."""
        ...

    def finish(self) -> NDArray[np.float32]:
        """(columns, n): each column is contiguous, and writable. To be called once; nothing can be appended afterwards."""
        ...


class Storage(Protocol):
    """Gives out arrays."""

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray[Any, Any]:
        """A writable, C-ordered array of undefined content; freed when nothing refers to it any more."""
        ...

    def table(self, columns: int) -> Table:
        """A table without rows."""
        ...


class Memory:
    """Arrays in memory."""

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray[Any, Any]:
        """See `Storage`."""
        return np.empty(shape, dtype=dtype)

    def table(self, columns: int) -> Table:
        """See `Storage`."""
        return _MemoryTable(columns)


class Scratch:
    """Arrays in memory-mapped files, which the system can write out and forget when memory is short.

    A file has no name from the start: nobody else can open it, and nothing of it is left when the process ends, however it ends.

    Args:
        folder: on a disk with room for the arrays; made if absent, for its owner alone.

    Raises:
        ConfigurationError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(folder, error, 0) from None

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray[Any, Any]:
        """See `Storage`.

        Raises:
            ConfigurationError: the disk has no room.
        """
        shape = (shape,) if isinstance(shape, int) else shape
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype=dtype)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                # Room is taken now: a mapped page that finds the disk full later would kill the process.
                os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, dtype=dtype, mode="r+", shape=shape).view(np.ndarray)
        except OSError as error:
            raise _unusable(self._folder, error, size) from None

    def table(self, columns: int) -> Table:
        """See `Storage`; what is appended is written, not mapped, so it does not count as memory of this process.

        Raises:
            ConfigurationError: the disk has no room; so do the table's methods.
        """
        return _ScratchTable(self._folder, columns)


class _MemoryTable:
    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._blocks: list[NDArray[np.float32]] = []

    def append(self, block: NDArray[np.float32]) -> None:
        self._blocks.append(block.astype(np.float32))

    def finish(self) -> NDArray[np.float32]:
        table = np.empty((self._columns, sum(block.shape[1] for block in self._blocks)), dtype=np.float32)
        end = table.shape[1]
        while self._blocks:  # each block is freed once it is copied
            block = self._blocks.pop()
            table[:, end - block.shape[1] : end] = block
            end -= block.shape[1]
        return table


class _ScratchTable:
    """One sparse file: column j starts at j times the room for a column, and what no row has reached takes no space on the disk."""

    def __init__(self, folder: Path, columns: int) -> None:
        self._folder = folder
        self._columns = columns
        self._rows = 0
        self._room = _FIRST_ROOM
        self._file = self._new_file()

    def append(self, block: NDArray[np.float32]) -> None:
        rows = self._rows + block.shape[1]
        if rows > self._room:
            self._grow(rows)
        try:
            for number, column in enumerate(block):
                _write(self._file, np.ascontiguousarray(column, dtype=np.float32), self._offset(number, self._rows))
        except OSError as error:
            raise _unusable(self._folder, error, 4 * self._columns * rows) from None
        self._rows = rows

    def finish(self) -> NDArray[np.float32]:
        with self._file as file:
            if not self._rows:
                return np.empty((self._columns, 0), dtype=np.float32)
            try:
                mapped = np.memmap(file, dtype=np.float32, mode="r+", shape=(self._columns, self._room))
            except OSError as error:
                raise _unusable(self._folder, error, 4 * self._columns * self._rows) from None
        return mapped.view(np.ndarray)[:, : self._rows]

    def _offset(self, column: int, row: int) -> int:
        return 4 * (column * self._room + row)

    def _new_file(self) -> IO[bytes]:
        try:
            file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  (closed by finish, or with the table)
            os.ftruncate(file.fileno(), 4 * self._columns * self._room)
        except OSError as error:
            raise _unusable(self._folder, error, 0) from None
        return file

    def _grow(self, rows: int) -> None:
        """Move to a file with more room; an eighth of the final size, at most, is moved in all."""
        old, old_room = self._file, self._room
        while self._room < rows:
            self._room *= _GROWTH
        self._file = self._new_file()
        try:
            with old:
                for column in range(self._columns):
                    _copy(old, 4 * column * old_room, self._file, self._offset(column, 0), 4 * self._rows)
        except OSError as error:
            raise _unusable(self._folder, error, 4 * self._columns * rows) from None


def _write(file: IO[bytes], values: NDArray[np.float32], offset: int) -> None:
    rest = values.view(np.uint8).data
    while rest:
        written = os.pwrite(file.fileno(), rest, offset)
        offset += written
        rest = rest[written:]


def _copy(source: IO[bytes], start: int, target: IO[bytes], offset: int, size: int) -> None:
    for done in range(0, size, _COPIED_AT_ONCE):
        piece = os.pread(source.fileno(), min(_COPIED_AT_ONCE, size - done), start + done)
        _write(target, np.frombuffer(piece, dtype=np.float32), offset + done)


def _unusable(folder: Path, error: OSError, size: int) -> ConfigurationError:
    return ConfigurationError(
        f"scratch folder {folder} cannot hold {size / 2**20:.0f} MiB: {error.strerror}; "
        "the bank must give the vault a disk with room"
    )


MEMORY = Memory()
