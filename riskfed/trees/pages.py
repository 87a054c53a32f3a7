"""Give memory back that mapped arrays hold."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def release(array: NDArray[np.generic]) -> None:
    """Let go of the memory behind an array of `riskfed.storage.Scratch`, once it has been gone through; its content stays.

    What is used again is read from the file, or from the system's cache of it. An array in memory is left as it is.
    """
    whole: NDArray[np.generic] = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    file: Any = whole.base
    if not isinstance(whole, np.memmap) or not isinstance(file, mmap.mmap) or not array.flags.c_contiguous:
        return
    # A private mapping would lose what was written to it.
    if whole.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    offset = whole.offset % mmap.ALLOCATIONGRANULARITY + array.ctypes.data - whole.ctypes.data
    # Whole pages inside the array alone: their neighbours may be in use.
    begin = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (offset + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if begin < end:
        file.madvise(mmap.MADV_DONTNEED, begin, end - begin)
