"""What a party keeps of an alignment: the common customers in the common order."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError, ContractError

_MAGIC: Final = b"riskfed alignment v1"
_HEAD: Final = struct.Struct(">32sQH")
_CHECK_BYTES: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The common customers in the common order.

    Attributes:
        ids: (m,) their normalised ids; they stay inside the party.
        digest: 64 hexadecimal digits, equal at all parties; made with a key that only they had.
    """

    ids: NDArray[np.bytes_] = field(repr=False)
    digest: str

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Where the common customers are among (n,) ids: (m,) int64, in the common order.

        Raises:
            ContractError: some are not there; says how many.
        """
        rows, known = self._look_up(ids)
        if missing := len(self) - int(known.sum()):
            raise ContractError(
                f"{missing} of {len(self)} aligned customers are not in this party's records any more; "
                "its data engineer must bring them back, or the parties align again"
            )
        return rows

    def is_within(self, ids: NDArray[np.bytes_]) -> bool:
        """Whether all common customers are among (n,) ids."""
        return bool(self._look_up(ids)[1].all())

    def _look_up(self, ids: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(m,) rows, and whether the customer is there."""
        if not len(ids):
            return np.zeros(len(self), dtype=np.int64), np.zeros(len(self), dtype=bool)
        order = np.argsort(ids)
        places = np.searchsorted(ids, self.ids, sorter=order)
        rows = order[np.minimum(places, len(ids) - 1)].astype(np.int64)
        return rows, ids[rows] == self.ids

    def to_bytes(self) -> bytes:
        """For `riskfed.protocols.program.Keep`; holds the ids, so it must not leave the party."""
        head = _HEAD.pack(bytes.fromhex(self.digest), len(self.ids), self.ids.dtype.itemsize)
        content = _MAGIC + head + self.ids.tobytes()
        return content + hashlib.sha256(content).digest()

    @classmethod
    def from_bytes(cls, content: bytes) -> Alignment:
        """Undo `to_bytes`.

        Raises:
            ConfigurationError: it is damaged.
        """
        start = len(_MAGIC) + _HEAD.size
        body, check = content[:-_CHECK_BYTES], content[-_CHECK_BYTES:]
        if not body.startswith(_MAGIC) or len(body) < start or hashlib.sha256(body).digest() != check:
            raise ConfigurationError(
                "the kept alignment is damaged; the party must delete it, and the parties align again"
            )
        digest, count, width = _HEAD.unpack_from(body, len(_MAGIC))
        return cls(np.frombuffer(body, dtype=f"S{width}", count=count, offset=start), digest.hex())
