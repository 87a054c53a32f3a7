"""Where large arrays live: in memory, or in memory-mapped files, for records that are larger than memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from riskfed.errors import ConfigurationError


class Storage(Protocol):
    """Gives out arrays."""

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray[Any, Any]:
        """A writable, C-ordered array of undefined content; freed when nothing refers to it any more."""
        ...


class Memory:
    """Arrays in memory."""

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray[Any, Any]:
        """See `Storage`."""
        return np.empty(shape, dtype=dtype)


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
            raise self._unusable(error, 0) from None

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
            raise self._unusable(error, size) from None

    def _unusable(self, error: OSError, size: int) -> ConfigurationError:
        return ConfigurationError(
            f"scratch folder {self._folder} cannot hold {size / 2**20:.0f} MiB: {error.strerror}; "
            "the bank must give the vault a disk with room"
        )


MEMORY = Memory()
