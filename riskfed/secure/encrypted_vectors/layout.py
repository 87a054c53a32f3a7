"""How the values of a vector, and sums of them, lie in Paillier plaintexts.

**k rows in a ciphertext.** Row r lies in slot r mod k of ciphertext r div k: plaintext = sum_s v_s 2^(D s), D the stride.

**A weighted sum.** For each slot s the summer raises the ciphertexts to the weights of their rows in slot s and multiplies: the
product holds the wanted part of the sum in field s, and in the other fields the same weights over rows that merely shared a
ciphertext. These must be read by nobody: they mix the values of one row with the weight of another.

**m sums in a ciphertext.** Sum c's product of slot s is shifted by k c + k - 1 - s fields (a power 2^(D ...)). So all parts of sum c
meet in field k c + k - 1, and fields between hold other rows' products only:

    field     0 ... k-2        k-1        k ... 2k-2       2k-1       ...   m k ... m k + k - 2
              other rows      sum 0       other rows      sum 1                 other rows

* Field k c + k - 1 + o, -k < o < k, gets from sum c the weights of slots s times the values of slots s + o of the same ciphertexts:
  each row's weight at most once, so no more than b = rows * value_bound * weight_bound in size.
* A field between two sums gets one such number of the lower sum and one of the upper: 2 b. A sum's own field (o = 0) gets no other's.

**Masks.** Every field, a sum's own as well, is in [-R, R], R = 2 b (b, if k = 1). R is added, and a mask uniform in [0, 2^D - 2 R]:
the result is in [0, 2^D), so nothing is carried into the next field, and its distribution is within 2 R / (2^D - 2 R + 1) < 2^-63.9 of
one that does not depend on the field's content, as D = (bits of 2 R) + 64.

**The whole.** All m k + k - 1 fields take D (m k + k - 1) <= key_bits - 1 bits: the plaintext is below 2^(key_bits - 1) <= n, so
nothing is reduced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final

from gmpy2 import mpz

from riskfed.errors import JobError, ProtectionError

MOST_ROWS_PER_CIPHERTEXT: Final = 8
MOST_ROWS: Final = 1 << 24
MOST_WEIGHT: Final = (1 << 62) - 1
MOST_KEY_BITS: Final = 8192
HIDING_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class VectorLayout:
    """Where values and sums lie in plaintexts. Public; all parties compute the same.

    Attributes:
        key_bits: length of the Paillier key's n.
        value_bound: no encrypted value is larger in size, also after `EncryptedVector.plus`; positive.
        weight_bound: no weight is larger in size; 1 to 2^62 - 1.
        rows: most rows of a vector; 1 to 2^24.
        rows_per_ciphertext: k, 1 to 8. More rows are cheaper to encrypt and send, and dearer to sum and open.

    Raises:
        JobError: a number outside of its range, or a sum does not fit a plaintext.
    """

    key_bits: int
    value_bound: int
    weight_bound: int
    rows: int
    rows_per_ciphertext: int = 4

    def __post_init__(self) -> None:
        if self.value_bound < 1 or not 1 <= self.weight_bound <= MOST_WEIGHT or not 1 <= self.rows <= MOST_ROWS:
            raise JobError(
                f"encrypted vectors of {self.rows} rows, with a bound of {self.value_bound.bit_length()} bits for values and one "
                f"of {self.weight_bound.bit_length()} bits for weights; expected 1 to {MOST_ROWS} rows, and positive bounds, "
                f"weights of at most {MOST_WEIGHT.bit_length()} bits"
            )
        if not 1 <= self.rows_per_ciphertext <= MOST_ROWS_PER_CIPHERTEXT or not 1 < self.key_bits <= MOST_KEY_BITS:
            raise JobError(
                f"encrypted vectors of {self.rows_per_ciphertext} rows in a ciphertext under {self.key_bits} bits; "
                f"expected 1 to {MOST_ROWS_PER_CIPHERTEXT} rows, and at most {MOST_KEY_BITS} bits"
            )
        if self.sums_per_ciphertext < 1:
            raise JobError(
                f"masked sums of {self.stride} bits do not fit a key of {self.key_bits} bits with {self.rows_per_ciphertext} "
                "rows in a ciphertext; take fewer rows in a ciphertext, smaller batches, fewer digits or a longer key"
            )

    @property
    def sum_bound(self) -> int:
        """b: no weighted sum is larger in size."""
        return self.rows * self.value_bound * self.weight_bound

    @property
    def reach(self) -> int:
        """R: no field is larger in size before it is masked."""
        return self.sum_bound if self.rows_per_ciphertext == 1 else 2 * self.sum_bound

    @property
    def stride(self) -> int:
        """D: bits of a field."""
        return (2 * self.reach).bit_length() + HIDING_BITS

    @property
    def sums_per_ciphertext(self) -> int:
        """m: most sums that fit a plaintext."""
        return ((self.key_bits - 1) // self.stride + 1) // self.rows_per_ciphertext - 1

    @property
    def fields(self) -> int:
        """Fields of a full plaintext."""
        return self.rows_per_ciphertext * (self.sums_per_ciphertext + 1) - 1

    @property
    def most_mask(self) -> int:
        """A field's mask is uniform in [0, most_mask]."""
        return (1 << self.stride) - 1 - 2 * self.reach

    @property
    def digest(self) -> bytes:
        """Eight bytes that tell layouts apart."""
        return hashlib.sha256(repr(astuple(self)).encode()).digest()[:8]

    def n_ciphertexts(self, rows: int) -> int:
        """Ciphertexts that hold so many rows."""
        return -(-rows // self.rows_per_ciphertext)

    def n_questions(self, sums: int) -> int:
        """Ciphertexts that hold so many sums."""
        return -(-sums // self.sums_per_ciphertext)

    def field_of(self, number: int) -> int:
        """The field in which sum `number` lies, in ciphertext number div m."""
        return self.rows_per_ciphertext * (number % self.sums_per_ciphertext + 1) - 1

    def pack(self, values: Sequence[int]) -> list[int]:
        """The plaintexts of a vector, signed."""
        rows, stride = self.rows_per_ciphertext, self.stride
        return [
            sum(value << (stride * slot) for slot, value in enumerate(values[start : start + rows]))
            for start in range(0, len(values), rows)
        ]

    def wanted(self, plaintexts: Sequence[mpz], sums: int) -> list[mpz]:
        """The masked sums of opened ciphertexts, and none of their other fields.

        Args:
            plaintexts: residues in [0, n), `n_questions(sums)` of them.
            sums: how many were packed.

        Raises:
            ProtectionError: a plaintext is too long for its fields.
        """
        if any(plaintext.bit_length() > self.stride * self.fields for plaintext in plaintexts):
            raise ProtectionError(
                "a question holds a number that no masked sums can be: it was computed with other ciphertexts or another "
                "layout, or was changed; the operator of the party that asked must act"
            )
        low = (mpz(1) << self.stride) - 1
        return [
            plaintexts[i // self.sums_per_ciphertext] >> (self.stride * self.field_of(i)) & low for i in range(sums)
        ]
