"""What the label holder orders of a feature holder, and what it gets for an answer. Strict: whoever sent it, a wrong byte is refused.

| order    | content                                               | answer                                          |
|----------|-------------------------------------------------------|-------------------------------------------------|
| Gradients| a mark of the tree; (g, h) of development rows, encrypted | encrypted sums of the root                  |
| Nodes    | which development rows are in which of some nodes     | encrypted sums of these nodes                   |
| Choices  | equally good splits of some nodes; the nodes' rows    | which split each node gets; way of each row     |
| Finish   | how many splits the model keeps; their leaves         | id and sha256 of the feature holder's part      |

All feature holders get the same kind of order at the same step. An order tells a feature holder which rows are in which node, encrypted
gradients, and which of its own splits are made; never a gain, a count of others, or another party's column or threshold.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.vertical.node_numbers import read_numbers, write_numbers
from riskfed.trees.joint_search import Option, PartnerColumns
from riskfed.trees.leaf_sets import LeafMask

MARK_BYTES: Final = 16
_COUNT: Final = struct.Struct(">H")
_OPTION: Final = struct.Struct(">HhB")
_HEX: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Gradients:
    """A tree begins.

    Attributes:
        mark: 16 random bytes that name the tree.
        ciphertexts: of the development rows in their order.
    """

    mark: bytes
    ciphertexts: bytes | memoryview = field(repr=False)

    def to_bytes(self) -> bytes:
        """For the wire."""
        return b"".join((b"G", self.mark, self.ciphertexts))


@dataclass(frozen=True, slots=True)
class Nodes:
    """Sums are wanted.

    Attributes:
        numbers: (m,) int16 node of each development row.
        nodes: how many there are.
    """

    numbers: NDArray[np.int16] = field(repr=False)
    nodes: int

    def to_bytes(self) -> bytes:
        """For the wire."""
        return b"N" + write_numbers(self.numbers, self.nodes)


@dataclass(frozen=True, slots=True)
class Choices:
    """Splits are to be made.

    Attributes:
        options: of each node, equally good splits, by rising column.
        numbers: (n,) int16 node of each row, held-out ones too.
    """

    options: tuple[tuple[Option, ...], ...]
    numbers: NDArray[np.int16] = field(repr=False)

    def to_bytes(self) -> bytes:
        """For the wire."""
        packed = [_COUNT.pack(len(self.options))]
        for options in self.options:
            packed += [_COUNT.pack(len(options)), *(_OPTION.pack(*option) for option in options)]
        return b"C" + b"".join(packed) + write_numbers(self.numbers, len(self.options))


@dataclass(frozen=True, slots=True)
class Finish:
    """The model is complete.

    Attributes:
        splits: how many of the feature holder's splits it keeps, from the first.
        masks: where they stand, if the feature holder is to answer with leaf sets; empty otherwise.
    """

    splits: int
    masks: tuple[LeafMask, ...] = ()

    def to_bytes(self) -> bytes:
        """For the wire."""
        return b"F" + json.dumps({"splits": self.splits, "masks": self.masks}, separators=(",", ":")).encode()


Order = Gradients | Nodes | Choices | Finish


def read_order(data: bytes, rows: int, development: int, sender: str) -> Order:
    """An order from the wire.

    Args:
        data: what came.
        rows, development: common customers, and those of them that are for development.
        sender: the label holder, named in errors.

    Raises:
        RemoteProtocolError: it is none.
    """
    if data[:1] == b"G" and len(data) > 1 + MARK_BYTES:
        return Gradients(data[1 : 1 + MARK_BYTES], memoryview(data)[1 + MARK_BYTES :])  # not copied: it can be large
    kind, body = data[:1], data[1:]
    try:
        if kind == b"N":
            return Nodes(*read_numbers(body, development, sender))
        if kind == b"C":
            return _read_choices(body, rows, sender)
        if kind == b"F":
            fields = json.loads(body)
            masks = tuple(LeafMask(*map(_natural, mask)) for mask in fields["masks"])
            return Finish(_natural(fields["splits"]), masks)
    except (ValueError, KeyError, TypeError, struct.error, RecursionError):
        pass
    raise RemoteProtocolError(f"{sender} sent a malformed order of {len(data)} bytes; its operator must act")


def _read_choices(body: bytes, rows: int, sender: str) -> Choices:
    at = _COUNT.size
    (nodes,) = _COUNT.unpack_from(body)
    offered = []
    for _ in range(nodes):
        (count,) = _COUNT.unpack_from(body, at)
        at += _COUNT.size
        options = [_option(*_OPTION.unpack_from(body, at + place * _OPTION.size)) for place in range(count)]
        at += count * _OPTION.size
        columns = [option.column for option in options]
        if not count or columns != sorted(set(columns)):
            raise ValueError("no option, or out of order")
        offered.append(tuple(options))
    numbers, stated = read_numbers(body[at:], rows, sender)
    if stated != nodes:
        raise ValueError("other nodes than splits")
    return Choices(tuple(offered), numbers)


def _option(column: int, last: int, default_left: int) -> Option:
    if default_left > 1:
        raise ValueError("neither left nor right")
    return Option(column, last, default_left == 1)


def write_decisions(chosen: Sequence[int], right: NDArray[np.bool_]) -> bytes:
    """A feature holder's answer to `Choices`: the number of each node's option, and the way of each row that it was told, in order."""
    return b"".join(map(_COUNT.pack, chosen)) + np.packbits(right).tobytes()


def read_decisions(data: bytes, nodes: int, rows: int, sender: str) -> tuple[list[int], NDArray[np.bool_]]:
    """Undo `write_decisions` for so many nodes and rows.

    Raises:
        RemoteProtocolError: the answer has another length.
    """
    split = nodes * _COUNT.size
    bits = np.unpackbits(np.frombuffer(data[split:], dtype=np.uint8))
    if len(data) != split + -(-rows // 8) or bits[rows:].any():
        raise RemoteProtocolError(
            f"{sender} answered with {len(data)} bytes of decisions; expected {nodes} choices and {rows} bits; its operator must act"
        )
    return [choice for (choice,) in _COUNT.iter_unpack(data[:split])], bits[:rows] == 1


def write_columns(columns: PartnerColumns) -> bytes:
    """What a feature holder tells of its columns."""
    fields = {"n_bins": columns.n_bins.tolist(), "constraints": columns.constraints.tolist()}
    return json.dumps(fields, separators=(",", ":")).encode()


def read_columns(data: bytes, expected: int, sender: str) -> PartnerColumns:
    """Undo `write_columns` for so many columns.

    Raises:
        RemoteProtocolError: something else came.
    """
    try:
        fields: dict[str, Any] = json.loads(data)
        n_bins = [_natural(value) for value in fields["n_bins"]]
        constraints = [_natural(value + 1) - 1 for value in fields["constraints"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        n_bins, constraints = [], []
    sound = all(1 <= value <= 256 for value in n_bins) and all(value in {-1, 0, 1} for value in constraints)
    if not sound or not len(n_bins) == len(constraints) == expected:
        raise RemoteProtocolError(
            f"{sender} did not state bins and constraints of its {expected} columns; its operator must act"
        )
    return PartnerColumns(sender, np.array(n_bins, dtype=np.int64), np.array(constraints, dtype=np.int8))


@dataclass(frozen=True, slots=True)
class PartStatement:
    """What a feature holder tells of its part at the end: the id that both call it by, and the sha256 (hex) of its bytes."""

    part_id: str
    sha256: str

    def to_bytes(self) -> bytes:
        """For the wire."""
        return json.dumps([self.part_id, self.sha256]).encode()

    @classmethod
    def from_bytes(cls, data: bytes, sender: str) -> PartStatement:
        """Undo `to_bytes`.

        Raises:
            RemoteProtocolError: something else came.
        """
        try:
            part_id, sha256 = json.loads(data)
            if _HEX.fullmatch(part_id) and _SHA256.fullmatch(sha256):
                return cls(part_id, sha256)
        except (ValueError, TypeError, RecursionError):
            pass
        raise RemoteProtocolError(f"{sender} did not state id and sha256 of its part; its operator must act")


def _natural(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("not a natural number")
    return value
