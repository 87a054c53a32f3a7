"""The customers of a feature holder, as its endpoint needs them: from an id to an encoded row, without keeping ids."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.customer_id import CustomerId
from riskfed.errors import ConfigurationError, ContractError
from riskfed.protocols.records import Records
from riskfed.schema import Schema

_KEY_BYTES: Final = 32


class Customers:
    """Finds customers by their ids. Holds, of each id, 16 bytes of a hash under a key that no other process knows.

    Args:
        records: this party's, with ids.
        schema: this party's part of the vertical schema.

    Raises:
        ConfigurationError: the schema names no customer id.
    """

    def __init__(self, records: Records, schema: Schema) -> None:
        if schema.customer_id is None or records.ids is None:
            raise ConfigurationError(
                "only a feature holder of a vertical schema answers: its schema needs customer_id; correct schema.file"
            )
        self._customer_id: CustomerId = schema.customer_id
        self._columns = records.columns  # and not the records, which hold ids
        ids = records.ids.tolist()
        hashes = self._hashed(ids)
        order = np.argsort(hashes[:, 0], kind="stable")
        self._hashes, self._places = np.ascontiguousarray(hashes[order]), order

    def __len__(self) -> int:
        return len(self._places)

    def find(self, value: str) -> NDArray[np.float32] | None:
        """(f,) float32 encoded row of a customer, NaN where missing; None where there is no such customer.

        An id that is none at all (empty, too long) is one that nobody has.
        """
        try:
            key = self._hash(self._customer_id.normalised_one(value))
        except ContractError:
            return None
        at = int(np.searchsorted(self._hashes[:, 0], key[0]))
        if at == len(self) or not np.array_equal(self._hashes[at], key):
            return None
        return self.row(int(self._places[at]))

    def row(self, place: int) -> NDArray[np.float32]:
        """(f,) float32 encoded row at a place of the records."""
        return np.ascontiguousarray(self._columns[:, place])

    def _hashed(self, ids: list[bytes]) -> NDArray[np.uint64]:
        """(n, 2) hashes of ids, whose first halves all differ: another key is tried where they do not."""
        while True:
            self._key = secrets.token_bytes(_KEY_BYTES)
            data = b"".join(hashlib.blake2b(one, key=self._key, digest_size=16).digest() for one in ids)
            hashes = np.frombuffer(data, dtype=np.uint64).reshape(-1, 2)
            if len(np.unique(hashes[:, 0])) == len(ids):
                return hashes

    def _hash(self, customer_id: bytes) -> NDArray[np.uint64]:
        return np.frombuffer(hashlib.blake2b(customer_id, key=self._key, digest_size=16).digest(), dtype=np.uint64)
