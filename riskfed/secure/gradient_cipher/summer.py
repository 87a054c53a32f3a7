"""The feature holder's side of the gradient cipher: it holds the bins and no key.

Secret: the bins, that is which ciphertexts are multiplied; the masks; the exponents of the n-th powers. Goes out: packed cells,
masked and re-randomised, as many of them whatever the rows, so that an empty cell looks like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain
from typing import Final, TypeVar

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from riskfed.errors import LocalProtocolError, ProtectionError
from riskfed.secure.gradient_cipher.halves import raise_to_power_of_two, split
from riskfed.secure.gradient_cipher.messages import CELLS, ROWS, read_ciphertexts, read_public, write_ciphertexts
from riskfed.secure.gradient_cipher.nth_powers import NthPowers
from riskfed.secure.gradient_cipher.shared_sums import Column, Sums, add_up, plan
from riskfed.secure.paillier_key import require_key_bits

_SPLIT_AT_ONCE: Final = 4096
_Item = TypeVar("_Item")


class GradientSummer:
    """Sums encrypted gradients over the cells (node, feature, bin).

    Args:
        public: the label holder's `GradientOwner.public`.
        least_key_bits: what the party's policy demands of the key; never less than MINIMUM_KEY_BITS.

    Attributes:
        layout: what the label holder said of rows and cells.

    Raises:
        RemoteProtocolError: `public` is malformed.
        ProtectionError: the key is too short.
    """

    def __init__(self, public: bytes, *, least_key_bits: int = 2048) -> None:
        n, self.layout = read_public(public)
        require_key_bits(n.bit_length())
        if n.bit_length() < least_key_bits:
            raise ProtectionError(
                f"the label holder's key has {n.bit_length()} bits; this party's policy asks for {least_key_bits} at least"
            )
        self._n = mpz(n)
        self._square = self._n * self._n
        self._powers = NthPowers(self._n)
        self._halves: tuple[NDArray[np.object_], ...] = ()
        self._n_rows = 0
        self._plan: tuple[bytes, list[Column]] = (b"", [])

    def take(self, ciphertexts: bytes | memoryview, n_rows: int) -> None:
        """Take a tree's encrypted gradients, in place of the last tree's.

        Args:
            ciphertexts: what `GradientOwner.encrypt` gave.
            n_rows: number of development rows.

        Raises:
            RemoteProtocolError: malformed, of another number of rows, or a number that is no ciphertext.
        """
        self._halves, self._n_rows = (), 0  # the last tree's go before there is need for more room
        numbers = read_ciphertexts(ROWS, ciphertexts, self.layout.n_ciphertexts(n_rows), self._n)
        halves = [split(some, self._n) for some in _chunks(numbers, _SPLIT_AT_ONCE)]
        self._halves = tuple(
            np.array(list(chain.from_iterable(half)), dtype=object) for half in zip(*halves, strict=True)
        )
        self._n_rows = n_rows

    def answer(self, nodes: Sequence[NDArray[np.integer]], codes: NDArray[np.uint8], n_bins: Sequence[int]) -> bytes:
        """The sums over all cells of some nodes, for the label holder to open.

        Args:
            nodes: (m,) row numbers of each node, each row at most once.
            codes: (f, n_rows) bins of the same rows; a code of n_bins[f] or more is a missing value and is added nowhere.
            n_bins: bins of each feature.

        Returns:
            The answer; its cells lie node by node, then feature by feature, then bin by bin.

        Raises:
            LocalProtocolError: codes of another shape than the rows taken, or a row number outside of them.
        """
        if codes.shape != (len(n_bins), self._n_rows):
            raise LocalProtocolError(
                f"codes of shape {codes.shape} for {len(n_bins)} features of {self._n_rows} encrypted rows"
            )
        if any(len(rows) and not 0 <= rows.min() <= rows.max() < self._n_rows for rows in nodes):
            raise LocalProtocolError(f"a node holds a row number outside of the {self._n_rows} encrypted rows")
        cells = self._sums(nodes, self._columns(codes, n_bins), n_bins)
        packed = self._hide([self._pack(some) for some in _chunks(cells, self.layout.cells_per_ciphertext)])
        return write_ciphertexts(CELLS, packed, self.layout.key_bits)

    def _columns(self, codes: NDArray[np.uint8], n_bins: Sequence[int]) -> list[Column]:
        """The plan of sums: made once for the same codes."""
        digest = hashlib.sha256(repr((codes.shape, tuple(n_bins))).encode() + codes.tobytes()).digest()
        if self._plan[0] != digest:
            self._plan = digest, plan(codes, n_bins, self.layout.rows_per_ciphertext)
        return self._plan[1]

    def _sums(
        self, nodes: Sequence[NDArray[np.integer]], columns: Sequence[Column], n_bins: Sequence[int]
    ) -> list[Sums]:
        """For each cell one product of each slot, None where there is no row."""
        by_feature = {
            (node, feature): sums
            for node, rows in enumerate(nodes)
            for column in columns
            for feature, sums in self._node_sums(rows, column).items()
        }
        return [
            by_feature[node, feature][code :: bins + 1]
            for node in range(len(nodes))
            for feature, bins in enumerate(n_bins)
            for code in range(bins)
        ]

    def _node_sums(self, node: NDArray[np.integer], column: Column) -> dict[int, Sums]:
        rows = node.astype(np.int64, copy=False)
        factors, logarithms = (half[rows // self.layout.rows_per_ciphertext] for half in self._halves)
        return add_up(column, rows, factors, logarithms, self._n)

    def _pack(self, cells: Sequence[Sums]) -> mpz:
        """One ciphertext of several cells, by Horner's rule from the highest field down."""
        stride, square = self.layout.stride, self._square
        packed = mpz(1)
        for sums in reversed(cells):
            for product_of_slot in sums:
                if packed != 1:
                    packed = raise_to_power_of_two(packed, stride, self._n)
                if product_of_slot is not None:
                    packed = packed * product_of_slot % square
        return packed

    def _hide(self, packed: Sequence[mpz]) -> list[mpz]:
        """Masks and biases added, n-th powers replaced."""
        n, square, bias = self._n, self._square, self.layout.bias
        masks = [bias + self.layout.draw_mask() for _ in packed]
        return [
            c * (1 + n * mask) % square * power % square
            for c, mask, power in zip(packed, masks, self._powers.draw(len(packed)), strict=True)
        ]


def _chunks(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
