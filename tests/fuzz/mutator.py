"""Inputs that are nearly right: seeded, so that every failure can be had again, and aware of what messages are made of."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

_NUMBERS = (
    0,
    1,
    2,
    63,
    64,
    127,
    128,
    255,
    256,
    65535,
    1 << 20,
    (1 << 30) - 1,
    1 << 30,
    (1 << 30) + 1,
    1 << 31,
    1 << 40,
)
_NUMBERS += ((1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    10**40,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
)
_VALUES += ("", "x", "\0", "../../x", "é" * 40, "A" * 300, "1", [], {}, [[]], [None], {"": {}}, ["x"] * 50, [1, 2, 3])
_DEEP = 3_000


class Mutator:
    """Makes inputs from right ones.

    Args:
        seed: the same seed gives the same inputs.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def bytes_like(self, seeds: Sequence[bytes]) -> bytes:
        """One of `seeds` after a few changes, rarely none."""
        data = self.random.choice(seeds)
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 3, 8))):
            data = self._changed(data, seeds)
        return data

    def json_like(self, seeds: Sequence[bytes]) -> bytes:
        """A seed, which is JSON, with some of its values replaced; or with its bytes changed."""
        if self.random.random() < 0.3:
            return self.bytes_like(seeds)
        if self.random.random() < 0.02:
            opening = self.random.choice((b"[", b'{"a":', b'{"job":', b"[[{"))
            return opening * self.random.randint(1, _DEEP) + self.random.choice((b"", b"1", b"]" * _DEEP))
        document = json.loads(self.random.choice(seeds))
        for _ in range(self.random.randint(1, 3)):
            document = self._with_value(document)
        return json.dumps(document).encode()

    def choice(self, options: Sequence[Any]) -> Any:
        """One of them."""
        return self.random.choice(options)

    def _changed(self, data: bytes, seeds: Sequence[bytes]) -> bytes:
        change = self.random.choice(
            (
                self._flip,
                self._flip,
                self._set,
                self._number,
                self._number,
                self._cut,
                self._grow,
                self._repeat,
                self._remove,
            )
        )
        if self.random.random() < 0.1:
            other = self.random.choice(seeds)
            return data[: self._at(data)] + other[self._at(other) :]
        return change(bytearray(data))

    def _at(self, data: bytes | bytearray) -> int:
        """A place in the data; near its start as often as not, where headers are."""
        most = min(len(data), 32) if self.random.random() < 0.5 else len(data)
        return self.random.randint(0, most)

    def _flip(self, data: bytearray) -> bytes:
        for _ in range(self.random.choice((1, 1, 1, 4))):
            if data:
                data[min(self._at(data), len(data) - 1)] ^= 1 << self.random.randrange(8)
        return bytes(data)

    def _set(self, data: bytearray) -> bytes:
        if data:
            data[min(self._at(data), len(data) - 1)] = self.random.choice((0, 1, 2, 9, 10, 11, 127, 128, 254, 255))
        return bytes(data)

    def _number(self, data: bytearray) -> bytes:
        """A length that lies."""
        size, order = self.random.choice((1, 2, 4, 8)), self.random.choice(("big", "little"))
        number = self.random.choice((*_NUMBERS, len(data), len(data) + 1)) % (1 << (8 * size))
        at = self._at(data)
        data[at : at + size] = number.to_bytes(size, order)
        return bytes(data)

    def _cut(self, data: bytearray) -> bytes:
        return bytes(data[: self._at(data)])

    def _grow(self, data: bytearray) -> bytes:
        return bytes(data) + self.random.randbytes(self.random.choice((1, 8, 13, 64)))

    def _repeat(self, data: bytearray) -> bytes:
        start, end = sorted((self._at(data), self._at(data)))
        return bytes(data[:end] + data[start:end] * self.random.choice((1, 1, 5)) + data[end:])

    def _remove(self, data: bytearray) -> bytes:
        start, end = sorted((self._at(data), self._at(data)))
        return bytes(data[:start] + data[end:])

    def _with_value(self, node: Any) -> Any:
        """The document with one value, at any depth, replaced, added or taken away."""
        if not isinstance(node, (dict, list)) or not node or self.random.random() < 0.15:
            return self.random.choice(_VALUES)
        if isinstance(node, list):
            at = self.random.randrange(len(node))
            return [self._with_value(item) if i == at else item for i, item in enumerate(node)]
        name = self.random.choice(list(node))
        roll = self.random.random()
        if roll < 0.1:
            return {key: value for key, value in node.items() if key != name}
        if roll < 0.2:
            return {**node, self.random.choice(("kind", "x", "", "__class__")): self.random.choice(_VALUES)}
        return {**node, name: self._with_value(node[name])}
