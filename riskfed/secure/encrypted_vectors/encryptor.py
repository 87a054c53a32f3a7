"""Encryption with the public key alone.

Secret: the values, the exponents of the n-th powers. Goes out: ciphertexts, each with an n-th power of its own. They hide the values
from who does not hold the key; the key holder, which could open them, is not to be given them.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import gmpy2
from gmpy2 import mpz
from numpy.typing import NDArray

from riskfed.errors import LocalProtocolError, ProtectionError, RemoteProtocolError
from riskfed.secure.ciphertext_list import encrypted
from riskfed.secure.encrypted_vectors.layout import VectorLayout
from riskfed.secure.encrypted_vectors.messages import (
    POWERS,
    VECTOR,
    read_ciphertexts,
    read_public,
    write_ciphertexts,
)
from riskfed.secure.encrypted_vectors.vector import (
    EncryptedPowers,
    EncryptedVector,
    PublicSide,
    encrypted_vector,
    integers,
)
from riskfed.secure.gradient_cipher.nth_powers import NthPowers
from riskfed.secure.paillier_key import require_key_bits


class VectorEncryptor:
    """Encrypts vectors for others to compute with, and reads theirs.

    Args:
        public: the key holder's `VectorKey.public`.
        layout: as the party itself computes it from the job.
        least_key_bits: what the party's policy demands of the key; never less than MINIMUM_KEY_BITS.

    Raises:
        RemoteProtocolError: `public` is malformed or of another layout.
        ProtectionError: the key is too short.
    """

    def __init__(self, public: bytes, layout: VectorLayout, *, least_key_bits: int = 2048) -> None:
        n = read_public(public, layout)
        require_key_bits(n.bit_length())
        if n.bit_length() < least_key_bits:
            raise ProtectionError(
                f"the key holder's key has {n.bit_length()} bits; this party's policy asks for {least_key_bits} at least"
            )
        self._side = PublicSide(mpz(n), layout, NthPowers(mpz(n)))

    def with_layout(self, public: bytes, layout: VectorLayout) -> VectorEncryptor:
        """The same key with another layout; the tables of n-th powers, 60 MB, are shared.

        Args:
            public: the key holder's `VectorKey.public` for that layout.
            layout: the other layout.

        Raises:
            RemoteProtocolError: `public` is malformed, of another layout, or of another key.
        """
        if read_public(public, layout) != self._side.n:
            raise RemoteProtocolError(
                "the key holder sent another key for another layout; expected one key; its operator must act"
            )
        other = copy(self)
        other._side = PublicSide(self._side.n, layout, self._side.powers)
        return other

    def encrypt(self, values: NDArray[Any]) -> bytes:
        """A vector's ciphertexts.

        Args:
            values: (n,) integers, at most the layout's value bound in size.

        Raises:
            LocalProtocolError: too many or too large values, or not integers.
        """
        layout = self._side.layout
        listed = checked_values(values, layout)
        return write_ciphertexts(VECTOR, self._encrypt(layout.pack(listed)), len(listed), layout)

    def encrypt_powers(self, values: NDArray[Any], degree: int) -> bytes:
        """Ciphertexts of u, u^2, ... u^degree for each value u, so that others can compute polynomials of u.

        Args:
            values: (n,) integers, whose powers are at most the layout's value bound in size.
            degree: 1 or more.

        Raises:
            LocalProtocolError: as `encrypt`, or the layout puts several rows in a ciphertext.
        """
        layout = self._side.layout
        _require_single_rows(layout, degree)
        listed = checked_values(values, layout, degree)
        plaintexts = [value**k for value in listed for k in range(1, degree + 1)]
        return write_ciphertexts(POWERS, self._encrypt(plaintexts), len(listed), layout)

    def read(self, data: bytes | memoryview, rows: int, *, bound: int | None = None) -> EncryptedVector:
        """A vector that another party encrypted, or computed.

        Args:
            data: what `encrypt` or `EncryptedVector.to_bytes` gave.
            rows: how many.
            bound: no value is larger in size; the layout's value bound if not given, which leaves no room for `plus`.

        Raises:
            RemoteProtocolError: malformed, of another layout or number of rows, or holds what is no ciphertext.
            LocalProtocolError: more rows than the layout allows, or a larger bound.
        """
        layout, n = self._side.layout, self._side.n
        bound = self._check(rows, layout.value_bound, bound)
        ciphertexts = read_ciphertexts(VECTOR, data, rows, layout.n_ciphertexts(rows), layout, n)
        return encrypted_vector(ciphertexts, rows, bound, self._side)

    def read_powers(
        self, data: bytes | memoryview, rows: int, degree: int, *, bound: int | None = None
    ) -> EncryptedPowers:
        """Powers that another party encrypted.

        Args:
            data: what `encrypt_powers` gave.
            rows: how many.
            degree: the highest power.
            bound: no u is larger in size; the largest whose powers keep the layout's value bound if not given, which leaves
                no room for a polynomial.

        Raises:
            RemoteProtocolError: as `read`.
            LocalProtocolError: as `read`, or the layout puts several rows in a ciphertext.
        """
        layout, n = self._side.layout, self._side.n
        _require_single_rows(layout, degree)
        bound = self._check(rows, int(gmpy2.iroot(mpz(layout.value_bound), degree)[0]), bound)
        ciphertexts = read_ciphertexts(POWERS, data, rows, rows * degree, layout, n)
        return EncryptedPowers(rows, bound, self._side, [ciphertexts[k::degree] for k in range(degree)])

    def _check(self, rows: int, most: int, bound: int | None) -> int:
        """The bound that holds."""
        if not 1 <= rows <= self._side.layout.rows or not 0 <= (most if bound is None else bound) <= most:
            raise LocalProtocolError(
                f"an encrypted vector of {rows} rows, with a bound of {(bound or 0).bit_length()} bits, was to be read; its "
                f"layout allows 1 to {self._side.layout.rows} rows and a bound of {most.bit_length()} bits"
            )
        return most if bound is None else bound

    def _encrypt(self, plaintexts: Sequence[int]) -> list[mpz]:
        return encrypted(plaintexts, self._side.powers.draw_for_outsiders(len(plaintexts)), self._side.n)

    def __repr__(self) -> str:
        return f"VectorEncryptor({self._side.layout})"


def checked_values(values: NDArray[Any], layout: VectorLayout, degree: int = 1) -> list[int]:
    """Values that may be encrypted.

    Raises:
        LocalProtocolError: too many, none, too large, or not integers.
    """
    listed = integers(values, len(values))
    if not 1 <= len(listed) <= layout.rows or max(map(abs, listed)) ** degree > layout.value_bound:
        raise LocalProtocolError(
            f"{len(listed)} values are to be encrypted; the layout allows 1 to {layout.rows}, of at most "
            f"{layout.value_bound.bit_length()} bits and within its value bound"
        )
    return listed


def _require_single_rows(layout: VectorLayout, degree: int) -> None:
    if layout.rows_per_ciphertext != 1 or degree < 1:
        raise LocalProtocolError(
            f"powers up to {degree} under a layout of {layout.rows_per_ciphertext} rows in a ciphertext; expected 1 row, "
            "and powers up to 1 or more"
        )
