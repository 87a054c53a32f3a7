"""How gradients lie in Paillier plaintexts.

**A row.** v = g 2^B + h, one signed integer; B bits hold every sum of h, h >= 0. A sum of rows V = G 2^B + H opens exactly:
H = V mod 2^B, G = V >> B. With |G| <= a and H <= b (for every set of rows) V is in [-X, Y], X = a 2^B, Y = X + b; w is the
bit length of X + Y, so V + X fits w bits.

**k rows in a ciphertext.** Row r lies in slot r mod k of ciphertext r div k: plaintext = sum_s v_s 2^(D s), D the stride. The
feature holder multiplies, for each cell and each slot s, the ciphertexts of the cell's rows in slot s: the product holds the
wanted sum in field s, and in the other fields sums over rows that merely shared a ciphertext. They depend on the feature
holder's bins, and the label holder knows every v: they must not be read.

**m cells in a ciphertext.** Cell c's product of slot s is shifted by k c + (k - 1 - s) fields (a power 2^(D ...), by Horner's
rule, D squarings a step). So all wanted sums of cell c meet in field k c + k - 1:

    field     0 ... k-2        k-1        k ... 2k-2       2k-1       ...   m k ... m k + k - 2
              other rows     cell 0       other rows      cell 1                other rows

* Field k c + k - 1 + o, -k < o < k, gets from cell c the values in slot s + o of ciphertexts whose slot s is in the cell.
  For different s these are different slots, so different rows: each field gets a sum over distinct rows from each cell.
* A cell's field (o = 0) gets that of its own cell only: V in [-X, Y]. Plus X: it needs w bits.
* A field between two cells gets one sum of the upper cell and one of the lower: it is in [-2X, 2Y]. Plus 2X: w + 1 bits.

**Masks.** The k - 1 fields between two cells, as one number of L = (k - 1) D bits, are in [0, R], R = 2 (X + Y) sum_i 2^(D i).
A mask uniform in [0, 2^L - R) is added, so that nothing is carried into the next cell's field, and the distribution of what
the label holder sees there is within R / (2^L - R) < 2^-(D - w - 1.01) of one that does not depend on the rows. D - w - 1, the
hiding bits, are 64, or less, down to 60, where that makes room for another cell.

**The whole.** All m k + k - 1 fields take D (m k + k - 1) <= key_bits - 1 bits: the plaintext is below 2^(key_bits - 1) <= n, so
nothing is reduced. With k = 1 there are no other rows and no masks, D = w, and cells lie side by side.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from riskfed.errors import JobError, LocalProtocolError, ProtectionError

MOST_ROWS_PER_CIPHERTEXT: Final = 4
MOST_KEY_BITS: Final = 8192
HIDING_BITS: Final = 64
LEAST_HIDING_BITS: Final = 60
"""Over a run of a million cells the label holder's advantage stays below 2^-40."""

_FOREIGN_ANSWER: Final = (
    "the feature holder's answer holds a sum that no rows can have: it was computed with other ciphertexts or another "
    "layout, or was changed; its operator must act"
)


@dataclass(frozen=True, slots=True)
class CipherLayout:
    """Where rows and cells lie in plaintexts. Public.

    Attributes:
        key_bits: length of the Paillier key's n.
        gradient_bound: no sum of g over any set of rows is larger in absolute value; positive, below 2^63.
        hessian_bound: no sum of h over any set of rows is larger; positive, below 2^63.
        rows_per_ciphertext: k, 1 to 4. More rows are cheaper to encrypt and send, and dearer to answer.

    Raises:
        JobError: a number outside of its range, or a cell does not fit a plaintext.
    """

    key_bits: int
    gradient_bound: int
    hessian_bound: int
    rows_per_ciphertext: int = 2

    def __post_init__(self) -> None:
        if not (0 < self.gradient_bound < 1 << 63 and 0 < self.hessian_bound < 1 << 63):
            raise JobError("the bounds of a gradient cipher are not in [1, 2^63); expected those of int64 sums")
        if not 1 <= self.rows_per_ciphertext <= MOST_ROWS_PER_CIPHERTEXT or not 1 < self.key_bits <= MOST_KEY_BITS:
            raise JobError(
                f"a gradient cipher of {self.rows_per_ciphertext} rows in a ciphertext under {self.key_bits} bits; "
                f"expected 1 to {MOST_ROWS_PER_CIPHERTEXT} rows, and at most {MOST_KEY_BITS} bits"
            )
        if self.cells_per_ciphertext < 1:
            raise JobError(
                f"sums of {self.value_bits} bits do not fit a key of {self.key_bits} bits with "
                f"{self.rows_per_ciphertext} rows in a ciphertext; take fewer rows in a ciphertext or a longer key"
            )

    @property
    def hessian_bits(self) -> int:
        """B: bits of a sum of h."""
        return self.hessian_bound.bit_length()

    @property
    def lowest(self) -> int:
        """-X: no sum of rows is smaller."""
        return -(self.gradient_bound << self.hessian_bits)

    @property
    def highest(self) -> int:
        """Y: no sum of rows is larger."""
        return self.hessian_bound - self.lowest

    @property
    def value_bits(self) -> int:
        """w: bits of a sum of rows, plus X."""
        return (self.highest - self.lowest).bit_length()

    @property
    def cells_per_ciphertext(self) -> int:
        """m: most cells that fit a plaintext."""
        rows = self.rows_per_ciphertext
        return ((self.key_bits - 1) // self._stride(LEAST_HIDING_BITS) + 1) // rows - 1

    @property
    def fields(self) -> int:
        """Fields of a full plaintext."""
        rows = self.rows_per_ciphertext
        return rows * self.cells_per_ciphertext + rows - 1

    @property
    def stride(self) -> int:
        """D: bits of a field."""
        return min(self._stride(HIDING_BITS), (self.key_bits - 1) // self.fields)

    def _stride(self, hiding_bits: int) -> int:
        return self.value_bits if self.rows_per_ciphertext == 1 else self.value_bits + 1 + hiding_bits

    @property
    def mask_bits(self) -> int:
        """L: bits of the fields between two cells."""
        return (self.rows_per_ciphertext - 1) * self.stride

    @property
    def bias(self) -> int:
        """What makes every field of a packed plaintext non-negative: X in a cell's field, 2 X in the others."""
        rows, stride = self.rows_per_ciphertext, self.stride
        return sum(-self.lowest * (1 if i % rows == rows - 1 else 2) << (stride * i) for i in range(self.fields))

    def n_ciphertexts(self, n_rows: int) -> int:
        """Ciphertexts that hold so many rows."""
        return -(-n_rows // self.rows_per_ciphertext)

    def n_answers(self, n_cells: int) -> int:
        """Ciphertexts that hold so many cells."""
        return -(-n_cells // self.cells_per_ciphertext)

    def draw_mask(self) -> int:
        """Masks for the other rows' fields of one packed plaintext, from the operating system's randomness. Secret."""
        if not self.mask_bits:
            return 0
        period, stride = self.mask_bits + self.stride, self.stride
        residue = 2 * (self.highest - self.lowest) * sum(1 << (stride * i) for i in range(self.rows_per_ciphertext - 1))
        reach = (1 << self.mask_bits) - residue
        return sum(secrets.randbelow(reach) << (period * run) for run in range(self.cells_per_ciphertext + 1))

    def pack_rows(self, g: NDArray[np.int64], h: NDArray[np.int64]) -> list[int]:
        """The plaintexts of rows, signed.

        Args:
            g, h: (n,) int64 fixed point, h >= 0, whose sums keep the bounds.

        Returns:
            ceil(n / k) integers.

        Raises:
            LocalProtocolError: unequal lengths, a negative h, or sums beyond the bounds.
        """
        if g.shape != h.shape or g.ndim != 1:
            raise LocalProtocolError(
                f"gradients of shape {g.shape} and hessians of shape {h.shape}; expected one of each row"
            )
        gradients, hessians = g.tolist(), h.tolist()
        rising = sum(value for value in gradients if value > 0)
        falling = rising - sum(gradients)
        if (
            max(rising, falling) > self.gradient_bound
            or sum(hessians) > self.hessian_bound
            or min(hessians, default=0) < 0
        ):
            raise LocalProtocolError(
                "the gradients' sums exceed the bounds of the cipher's layout, or a hessian is negative"
            )
        bits, rows = self.hessian_bits, self.rows_per_ciphertext
        values = [(a << bits) + b for a, b in zip(gradients, hessians, strict=True)]
        plaintexts = values[::rows]
        for slot in range(1, rows):
            shift = slot * self.stride
            for i, value in enumerate(values[slot::rows]):
                plaintexts[i] += value << shift
        return plaintexts

    def unpack_cells(self, plaintexts: Sequence[mpz], n_cells: int) -> NDArray[np.int64]:
        """Sums of g and h of every cell.

        Args:
            plaintexts: residues in [0, n) of packed cells, `n_answers(n_cells)` of them.
            n_cells: cells packed.

        Returns:
            (n_cells, 2) int64.

        Raises:
            ProtectionError: a plaintext is too long for its fields, or a sum exceeds the bounds.
        """
        if any(plaintext.bit_length() > self.stride * self.fields for plaintext in plaintexts):
            raise ProtectionError(_FOREIGN_ANSWER)
        rows, cells, stride, bits = self.rows_per_ciphertext, self.cells_per_ciphertext, self.stride, self.hessian_bits
        field, low, lowest = (mpz(1) << stride) - 1, (mpz(1) << bits) - 1, self.lowest
        sums = np.empty((n_cells, 2), dtype=np.int64)
        for cell in range(n_cells):
            place = rows * (cell % cells) + rows - 1
            total = (plaintexts[cell // cells] >> (stride * place) & field) + lowest
            gradient, hessian = total >> bits, total & low
            if abs(gradient) > self.gradient_bound or hessian > self.hessian_bound:
                raise ProtectionError(_FOREIGN_ANSWER)
            sums[cell] = int(gradient), int(hessian)
        return sums
