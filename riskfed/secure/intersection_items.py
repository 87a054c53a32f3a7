"""What parties intersect instead of customer ids: keyed hashes, dealt to buckets.

Secret: the keys, which the parties of a run share and the server lacks, and everything made with them. With the salt anybody could test
guessed ids against an item, so items stay inside a party as ids do.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ContractError, ProtectionError
from riskfed.secure.primitives import hkdf

MOST_ITEMS: Final = 1 << 25
"""Most customers of one party; at some 0.3 ms of CPU each, more would take hours."""

ITEM_DIGITS: Final = 32
"""Hexadecimal digits of an item: 128 bits, so that two of n ids share one with probability n^2 / 2^129."""

_BUCKET: Final = 1 << 14
"""Most customers in a bucket, on average; it takes a party about 5 s and 20 MB."""

_RARITY: Final = 32.0
"""A bucket overflows with probability below exp(-32) = 1.3e-14."""


@dataclass(frozen=True, slots=True)
class AlignmentKeys:
    """Keys of one alignment, independent of each other.

    Attributes:
        salt: turns ids into items.
        order: turns items into their place among the common ones.
        digest: makes the digest of an alignment.
    """

    salt: bytes = field(repr=False)
    order: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def from_secret(cls, secret: bytes) -> AlignmentKeys:
        """Derive them from what the parties agreed on (32 bytes)."""
        return cls(*(hkdf(secret, info=f"riskfed alignment v1: {use}".encode()) for use in ("salt", "order", "digest")))


@dataclass(frozen=True, slots=True)
class Buckets:
    """How items are dealt: by their leading `bits` bits."""

    bits: int

    @classmethod
    def for_largest(cls, most: int) -> Buckets:
        """As many as the party with the most customers, `most`, needs; the same at all parties."""
        return cls(max(0, math.ceil(math.log2(max(most, 1) / _BUCKET))))

    def __len__(self) -> int:
        return 1 << self.bits

    def capacity(self, customers: int) -> int:
        """Items to which each bucket of a party is filled up: a function of its number of customers alone.

        The load of a bucket is binomial with mean m = customers / buckets. By Bernstein's inequality it is above m + x with probability
        exp(-x^2 / (2 m + 2 x / 3)) at most, which is exp(-t) for x = t / 3 + sqrt(t^2 / 9 + 2 t m).
        """
        if not self.bits:
            return customers
        mean = customers / len(self)
        return math.ceil(mean + _RARITY / 3 + math.sqrt(_RARITY**2 / 9 + 2 * _RARITY * mean))


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """A party's items.

    Attributes:
        values: (n,) bytes of 32 hexadecimal digits, each once; ascending, but for `in_order`.
        rows: (n,) int64, which id each belongs to.
    """

    values: NDArray[np.bytes_] = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)

    @classmethod
    def from_ids(cls, ids: NDArray[np.bytes_], salt: bytes) -> Items:
        """Items of (n,) normalised ids.

        Raises:
            ContractError: an id is there twice.
        """
        made = _keyed_hashes(salt, ids)
        rows = np.argsort(made, kind="stable").astype(np.int64)
        values = made[rows]
        if repeated := int((values[1:] == values[:-1]).sum()):
            raise ContractError(f"{repeated} rows have the customer id of another row; each id may be there once")
        return cls(values, rows)

    def __len__(self) -> int:
        return len(self.values)

    def where(self, chosen: NDArray[np.bool_]) -> Items:
        """Those that the (n,) mask says."""
        return Items(self.values[chosen], self.rows[chosen])

    def slices(self, buckets: Buckets) -> list[slice]:
        """Where each bucket's items are."""
        prefixes = [f"{number << (16 - buckets.bits):04x}".encode() for number in range(1, len(buckets))]
        inner = np.searchsorted(self.values, np.array(prefixes, dtype=self.values.dtype)).tolist()
        return [slice(start, stop) for start, stop in zip([0, *inner], [*inner, len(self)], strict=True)]

    def in_order(self, key: bytes) -> Items:
        """The same in an order that means nothing, by a keyed hash: the same at every party that has the same items."""
        order = np.argsort(_keyed_hashes(key, self.values), kind="stable")
        return Items(self.values[order], self.rows[order])


def texts(values: NDArray[np.bytes_], capacity: int) -> list[str]:
    """A bucket's items as the library takes them, filled up with random ones that no other party has.

    Raises:
        ProtectionError: there are more than `capacity`, which chance does not bring about.
    """
    if len(values) > capacity:
        raise ProtectionError(
            "a bucket of customer ids is fuller than chance allows; start the run again, and tell the maintainers if it comes back"
        )
    return [value.decode() for value in values.tolist()] + [
        secrets.token_hex(ITEM_DIGITS // 2) for _ in range(capacity - len(values))
    ]


def digest_of(values: NDArray[np.bytes_], key: bytes) -> str:
    """64 hexadecimal digits that stand for (n,) items in their order, keyed."""
    return hmac.new(key, values.tobytes(), hashlib.sha256).hexdigest()


def _keyed_hashes(key: bytes, values: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    made = [hmac.digest(key, value, "sha256").hex()[:ITEM_DIGITS] for value in values.tolist()]
    return np.array(made, dtype=f"S{ITEM_DIGITS}")
