"""Which node each of some rows is in, on the wire: as many bit planes as the largest number needs."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError
from riskfed.trees.joint_grower import NOWHERE

_HEAD: Final = struct.Struct(">HI")
MOST_NODES: Final = 1 << 12
"""More than a level of the deepest tree has."""


def write_numbers(numbers: NDArray[np.int16], nodes: int) -> bytes:
    """(n,) numbers from 0 to ``nodes`` - 1, or `NOWHERE`."""
    shifted = (numbers.astype(np.int32) - NOWHERE).astype(np.uint16)
    planes = [np.packbits((shifted >> bit) & 1 == 1).tobytes() for bit in range(nodes.bit_length())]
    return _HEAD.pack(nodes, len(numbers)) + b"".join(planes)


def read_numbers(data: bytes, rows: int, sender: str) -> tuple[NDArray[np.int16], int]:
    """Undo `write_numbers`; the numbers, and how many nodes there are.

    Args:
        data: what came.
        rows: n.
        sender: named in errors.

    Raises:
        RemoteProtocolError: not the numbers of so many rows, or a node has no row.
    """
    wrong = RemoteProtocolError(
        f"{sender} sent malformed node numbers; expected those of {rows} rows; its operator must act"
    )
    if len(data) < _HEAD.size:
        raise wrong
    nodes, stated = _HEAD.unpack_from(data)
    planes, size = int(nodes).bit_length(), -(-rows // 8)
    if stated != rows or nodes > MOST_NODES or len(data) != _HEAD.size + planes * size:
        raise wrong
    bits = np.frombuffer(data, dtype=np.uint8)[_HEAD.size :].reshape(planes, size)
    unpacked = np.unpackbits(bits, axis=1)
    if unpacked[:, rows:].any():
        raise wrong
    shifted = np.zeros(rows, dtype=np.int32)
    for bit in range(planes):
        shifted |= unpacked[bit, :rows].astype(np.int32) << bit
    if len(np.unique(shifted[shifted > 0])) != nodes or shifted.max(initial=0) > nodes:
        raise wrong
    return (shifted + NOWHERE).astype(np.int16), int(nodes)
