"""What can be computed with encrypted values by who holds no key: additions, polynomials, weighted sums.

Secret: the values added, the coefficients, the weights, the masks. What leaves is re-randomised, every ciphertext of it: without
that, the division of a ciphertext that went out by the one that came in would show what was added to who knows neither.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from riskfed.errors import LocalProtocolError, ProtectionError
from riskfed.secure.encrypted_vectors.layout import VectorLayout
from riskfed.secure.encrypted_vectors.messages import QUESTION, VECTOR, read_opened, write_ciphertexts
from riskfed.secure.encrypted_vectors.products import Halves, product_of_powers, weighted_products
from riskfed.secure.gradient_cipher.halves import split
from riskfed.secure.gradient_cipher.nth_powers import NthPowers

_SPLIT_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class PublicSide:
    """What everybody knows, and this party's own n-th powers."""

    n: mpz
    layout: VectorLayout
    powers: NthPowers


@dataclass(frozen=True, slots=True, eq=False)
class EncryptedVector:
    """Values of rows under somebody else's key.

    Attributes:
        rows: how many.
        bound: no value is larger in size.
    """

    rows: int
    bound: int = field(repr=False)  # after `plus`, that of one party's values
    _side: PublicSide = field(repr=False)
    _halves: Halves = field(repr=False)

    def plus(self, values: NDArray[Any]) -> EncryptedVector:
        """This vector with plain values added.

        Args:
            values: (rows,) integers.

        Raises:
            LocalProtocolError: of another length, not integers, or the sum may exceed the layout's value bound.
        """
        added = integers(values, self.rows)
        bound, most = self.bound + max(map(abs, added), default=0), self._side.layout.value_bound
        if bound > most:
            raise LocalProtocolError(
                f"values added to an encrypted vector make its bound {bound.bit_length()} bits long, and larger than the "
                f"layout's, of {most.bit_length()}; a larger value_bound, or read(..., bound=) with that of what was encrypted"
            )
        n, (factors, logarithms) = self._side.n, self._halves
        packed = self._side.layout.pack(added)
        # c (1 + n m) with c = A (1 + L n)
        moved = _objects([(log + m) % n for log, m in zip(logarithms, packed, strict=True)])
        return replace(self, bound=bound, _halves=(factors, moved))

    def to_bytes(self) -> bytes:
        """For another party without the key: fresh ciphertexts of the same values."""
        n, square = self._side.n, self._side.n**2
        fresh = [
            factor * (1 + n * logarithm) % square * power % square
            for factor, logarithm, power in zip(
                *self._halves, self._side.powers.draw_for_outsiders(len(self._halves[0])), strict=True
            )
        ]
        return write_ciphertexts(VECTOR, fresh, self.rows, self._side.layout)

    def weighted_sums(self, weights: NDArray[np.int64]) -> MaskedSums:
        """The m sums over rows of weight * value, as a question to the key holder.

        Args:
            weights: (rows, m) int64, m >= 1.

        Raises:
            LocalProtocolError: of another shape, not integers, or larger than the layout's weight bound.
        """
        layout, n = self._side.layout, self._side.n
        if weights.ndim != 2 or weights.shape[0] != self.rows or not weights.shape[1] or weights.dtype.kind not in "iu":
            raise LocalProtocolError(
                f"weights of shape {weights.shape} and type {weights.dtype} for an encrypted vector of {self.rows} rows; "
                "expected integers, a row for each row, and one column or more"
            )
        if weights.size and max(int(weights.max()), -int(weights.min())) > layout.weight_bound:
            raise LocalProtocolError("a weight is larger than the layout's weight bound")
        slots, sums = layout.rows_per_ciphertext, weights.shape[1]
        products = weighted_products(self._halves, weights.astype(np.int64), slots, n)
        packed = [
            product_of_powers(
                (
                    (base, weight << layout.stride * (layout.field_of(number) - slot))
                    for number in range(start, min(start + layout.sums_per_ciphertext, sums))
                    for base, weight, slot in products[number]
                ),
                n,
            )
            for start in range(0, sums, layout.sums_per_ciphertext)
        ]
        return _mask_sums(packed, sums, self._side)


@dataclass(frozen=True, slots=True, eq=False)
class MaskedSums:
    """Weighted sums on their way to the key holder and back.

    Attributes:
        question: for the key holder: packed, masked, re-randomised.
    """

    question: bytes = field(repr=False)
    _layout: VectorLayout = field(repr=False)
    _masks: list[int] = field(repr=False)

    def reveal(self, opened: bytes | memoryview) -> list[int]:
        """The sums, exact.

        Args:
            opened: what `VectorKey.open` gave for the question.

        Raises:
            RemoteProtocolError: malformed, or of another question's length.
            ProtectionError: a sum exceeds the layout's bounds: this is not the answer to the question.
        """
        fields = read_opened(opened, len(self._masks), self._layout)
        sums = [value - mask for value, mask in zip(fields, self._masks, strict=True)]
        if any(abs(total) > self._layout.sum_bound for total in sums):
            raise ProtectionError(
                "an opened sum is larger than any rows can have: the key holder opened another question or changed the "
                "answer, or the vector held larger values than agreed; their operators must act"
            )
        return sums


@dataclass(frozen=True, slots=True, eq=False)
class EncryptedPowers:
    """u, u^2, ... u^degree of each row's value u, each in a ciphertext of its own, under somebody else's key.

    Attributes:
        rows: how many.
        bound: no u is larger in size.
    """

    rows: int
    bound: int = field(repr=False)  # after `plus`, that of one party's values
    _side: PublicSide = field(repr=False)
    _ciphertexts: list[list[mpz]] = field(repr=False)

    def polynomial(self, coefficients: NDArray[Any], plain: NDArray[Any]) -> EncryptedVector:
        """A polynomial of each row's own coefficients: sum over k of coefficients[i, k - 1] u_i^k, plus plain[i].

        Args:
            coefficients: (rows, degree) integers.
            plain: (rows,) integers.

        Raises:
            LocalProtocolError: of another shape, not integers, or a result may exceed the layout's value bound.
        """
        side, degree = self._side, len(self._ciphertexts)
        columns = [integers(column, self.rows) for column in np.moveaxis(np.asarray(coefficients), -1, 0)]
        if len(columns) != degree:
            raise LocalProtocolError(f"{len(columns)} coefficients of each row for powers up to {degree}")
        constants = integers(plain, self.rows)
        rows = list(zip(*columns, strict=True))
        bound = max(
            (
                abs(constant) + sum(abs(c) * self.bound ** (k + 1) for k, c in enumerate(row))
                for row, constant in zip(rows, constants, strict=True)
            ),
            default=0,
        )
        if bound > side.layout.value_bound:
            raise LocalProtocolError(
                f"a polynomial of encrypted values may be {bound.bit_length()} bits long, and larger than the layout's value "
                f"bound, of {side.layout.value_bound.bit_length()}; a larger one, or read_powers(..., bound=)"
            )
        values = [
            product_of_powers(zip(bases, row, strict=True), side.n)
            for bases, row in zip(zip(*self._ciphertexts, strict=True), rows, strict=True)
        ]
        return replace(encrypted_vector(values, self.rows, 0, side).plus(plain), bound=bound)


def encrypted_vector(ciphertexts: Sequence[mpz], rows: int, bound: int, side: PublicSide) -> EncryptedVector:
    """A vector of ciphertexts, which are units mod n^2."""
    factors: list[mpz] = []
    logarithms: list[mpz] = []
    for start in range(0, len(ciphertexts), _SPLIT_AT_ONCE):
        a, b = split(ciphertexts[start : start + _SPLIT_AT_ONCE], side.n)
        factors += a
        logarithms += b
    return EncryptedVector(rows, bound, side, (_objects(factors), _objects(logarithms)))


def _mask_sums(packed: Sequence[mpz], sums: int, side: PublicSide) -> MaskedSums:
    """A mask on every field, and fresh n-th powers, uniform: the key holder knows the factors of n."""
    layout, n, square = side.layout, side.n, side.n**2
    hidden, masks = [], []
    for ciphertext, power in zip(packed, side.powers.draw(len(packed)), strict=True):
        fields = [layout.reach + secrets.randbelow(layout.most_mask + 1) for _ in range(layout.fields)]
        mask = sum(value << layout.stride * i for i, value in enumerate(fields))
        hidden.append(ciphertext * (1 + n * mask) % square * power % square)
        masks += [fields[layout.field_of(number)] for number in range(layout.sums_per_ciphertext)]
    return MaskedSums(write_ciphertexts(QUESTION, hidden, sums, layout), layout, masks[:sums])


def integers(values: NDArray[Any], rows: int) -> list[int]:
    """Plain values as Python's integers.

    Raises:
        LocalProtocolError: of another length, or not integers.
    """
    array = np.asarray(values)
    if array.shape != (rows,):
        raise LocalProtocolError(f"plain values of shape {array.shape} for {rows} encrypted rows")
    listed: list[Any] = array.tolist()
    if not all(type(value) is int for value in listed):
        raise LocalProtocolError(f"plain values of type {array.dtype} for encrypted rows; expected integers")
    return listed


def _objects(numbers: Sequence[mpz]) -> NDArray[np.object_]:
    array = np.empty(len(numbers), dtype=object)
    array[:] = numbers
    return array
