"""Products of powers mod n^2: weighted sums under encryption.

Row r's ciphertext c_r, raised to the row's weight and multiplied over rows, holds the weighted sum. Powers would cost a squaring
for each bit of each weight; here

* rows of equal weight are multiplied first (`Term`): one power for each value instead of each row. Columns of few values,
  like WoE of bins, have few powers so, and share additions with each other (`gradient_cipher.shared_sums`);
* a weight with many values is written in digits, each a column of few values: the bucket method (Pippenger 1980; Bernstein, Doumen,
  Lange and Oosterwijk 2012, "Faster batch forgery identification", section 4), with the digits' size by the price;
* all powers of a packed ciphertext share their squarings (Straus 1964), those that shift sums into their fields included.

The weights are the summer's secret. Time depends on them: a partner that can time this party's answers to the microsecond is outside
of the model, as for gmpy2 in general.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from riskfed.secure.gradient_cipher.halves import raise_to_power_of_two
from riskfed.secure.gradient_cipher.shared_sums import Column, add_up, plan

_MOST_SHARED: Final = 24
"""Columns in one plan of shared additions; the plan compares all pairs."""
_FEW_VALUES: Final = 16
_MOST_DIGIT_BITS: Final = 8

Halves = tuple[NDArray[np.object_], NDArray[np.object_]]
"""(A, L) of ciphertexts A (1 + L n)."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A column of weights, or one digit of one.

    Attributes:
        sum_number: the weighted sum to which it belongs.
        values: the distinct weights other than zero.
        codes: (n,) int32 which of them a row has; len(values) where the weight is zero.
    """

    sum_number: int
    values: list[int]
    codes: NDArray[np.int32]


def product_of_powers(powers: Iterable[tuple[mpz, int]], n: mpz) -> mpz:
    """The product of base^exponent mod n^2, over one chain of squarings for each sign.

    Args:
        powers: (base, exponent), bases units mod n^2, exponents of either sign.
        n: the modulus.
    """
    square = n * n
    signs: tuple[dict[int, mpz], dict[int, mpz]] = ({}, {})
    for base, exponent in powers:
        for products, bits in zip(signs, _signed_bits(exponent), strict=True):
            for place in _places(bits):
                known = products.get(place)
                products[place] = base if known is None else known * base % square
    positive, negative = (_chain(products, n) for products in signs)
    return positive if negative == 1 else positive * gmpy2.invert(negative, square) % square


def weighted_products(
    halves: Halves, weights: NDArray[np.int64], slots: int, n: mpz
) -> list[list[tuple[mpz, int, int]]]:
    """Products of rows of equal weight, for each weighted sum.

    Args:
        halves: (A, L) of the ciphertexts; row r is in slot r mod slots of ciphertext r div slots.
        weights: (n, m) int64.
        slots: rows in a ciphertext.
        n: the modulus.

    Returns:
        For each of the m sums: (product, weight, slot); the product of product^weight over those of a slot holds the sum's part
        in that slot.
    """
    terms = [term for j, column in enumerate(weights.T) for term in _terms(j, column, slots)]
    shared = [term for term in terms if _worth_sharing(term)]
    alone = [term for term in terms if not _worth_sharing(term)]
    products: list[list[tuple[mpz, int, int]]] = [[] for _ in range(weights.shape[1])]
    for start in range(0, len(shared), _MOST_SHARED):
        _sum_shared(shared[start : start + _MOST_SHARED], halves, slots, n, products)
    for term in alone:
        rows = np.flatnonzero(term.codes < len(term.values))
        classes = np.arange(len(term.codes), dtype=np.int32) % slots * (len(term.values) + 1) + term.codes
        column = Column(classes, slots * (len(term.values) + 1), 0)
        _collect(term, add_up(column, rows, *_of_rows(halves, rows, slots), n)[0], products)
    return products


def _sum_shared(
    terms: Sequence[Term], halves: Halves, slots: int, n: mpz, products: list[list[tuple[mpz, int, int]]]
) -> None:
    codes = np.stack([term.codes for term in terms]).astype(np.uint8)
    rows = np.arange(codes.shape[1])
    at_rows = _of_rows(halves, rows, slots)
    for column in plan(codes, [len(term.values) for term in terms], slots):
        for number, sums in add_up(column, rows, *at_rows, n).items():
            _collect(terms[number], sums, products)


def _collect(term: Term, sums: Sequence[mpz | None], products: list[list[tuple[mpz, int, int]]]) -> None:
    for place, product in enumerate(sums):
        slot, code = divmod(place, len(term.values) + 1)
        if product is not None and code < len(term.values):
            products[term.sum_number].append((product, term.values[code], slot))


def _of_rows(halves: Halves, rows: NDArray[np.int64], slots: int) -> Halves:
    factors, logarithms = halves
    return factors[rows // slots], logarithms[rows // slots]


def _worth_sharing(term: Term) -> bool:
    """Few values, of most rows: rows often agree in two such columns."""
    rows = int(np.count_nonzero(term.codes < len(term.values)))
    return len(term.values) <= _FEW_VALUES and 2 * rows > len(term.codes)


def _terms(number: int, weights: NDArray[np.int64], slots: int) -> list[Term]:
    """One column as it is, or its digits: what takes fewer multiplications."""
    values = np.unique(weights)
    values = values[values != 0]
    if not len(values):
        return []
    rows, bits = int(np.count_nonzero(weights)), int(np.abs(values).max()).bit_length()
    prices = {
        digit_bits: -(-(bits + 1) // digit_bits) * (rows + slots * (1 << digit_bits) * digit_bits / 3)
        for digit_bits in range(2, _MOST_DIGIT_BITS + 1)
    }
    digit_bits = min(prices, key=prices.__getitem__)
    if rows + min(slots * len(values), rows) * bits / 3 <= prices[digit_bits]:
        return [_term(number, weights, values, 0)]
    return _digits(number, weights, digit_bits)


def _digits(number: int, weights: NDArray[np.int64], bits: int) -> list[Term]:
    """The signed digits of a column: weight = sum of digit * 2^(bits place), digits in [-2^(bits-1), 2^(bits-1))."""
    terms, rest, shift, half = [], weights.copy(), 0, 1 << (bits - 1)
    while rest.any():
        digits = (rest + half & 2 * half - 1) - half
        values = np.unique(digits)
        terms.append(_term(number, digits, values[values != 0], shift))
        rest = rest - digits >> bits
        shift += bits
    return [term for term in terms if term.values]


def _term(number: int, weights: NDArray[np.int64], values: NDArray[np.int64], shift: int) -> Term:
    codes = np.where(weights == 0, len(values), np.searchsorted(values, weights)).astype(np.int32)
    return Term(number, [value << shift for value in values.tolist()], codes)


def _signed_bits(exponent: int) -> tuple[int, int]:
    """(x, y), exponent = x - y, with a third of the bits set in all: the non-adjacent form (Reitwiesner 1960)."""
    size = abs(exponent)
    tripled = 3 * size
    x, y = (tripled & ~size) >> 1, (size & ~tripled) >> 1
    return (x, y) if exponent >= 0 else (y, x)


def _places(bits: int) -> Iterator[int]:
    """Places of the set bits, from the lowest."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _chain(products: dict[int, mpz], n: mpz) -> mpz:
    """The product of products[i]^(2^i) mod n^2, from the highest bit down (Horner's rule)."""
    square, result, last = n * n, mpz(1), 0
    for place in sorted(products, reverse=True):
        if result != 1:
            result = raise_to_power_of_two(result, last - place, n)
        result = result * products[place] % square
        last = place
    return raise_to_power_of_two(result, last, n) if last else result
