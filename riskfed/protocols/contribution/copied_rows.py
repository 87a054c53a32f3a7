"""Find records that several banks hold, without anybody's records or their digests leaving.

    1  each bank makes a keyed hash of every row's encoded features, and of equal rows of its own keeps the first
    2  six times: a table of counts, to which each bank adds its rows by their hash; pooled, it shows in whose cells others have rows too
    3  a row whose cells were all shared is a copy, at every bank that holds it

Only rows that were shared in every table so far go into the next, which is smaller; with 8 cells a row, a row that nobody else has is
taken for a copy with a probability below 8^-6 = 4e-6.

The label is not hashed: a copy with another label is a copy, or shuffling labels would pay. Nor is the weight. A copy whose features were
changed a little is not found.

Secret: the key, 32 bytes that the banks derive and the server cannot; without it, cells say nothing. Who learns what: banks learn how many
rows of all others fall into a cell; one that guesses all features of a record can so find out whether any other bank holds it. The server
learns the tables' sizes, and so about how many rows all banks hold together, and how many of them are shared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from riskfed.protocols.program import Program, SharedSecret, Sum
from riskfed.protocols.records import Records

TABLES = 6
_CELLS_A_ROW = 8
_LEAST_CELLS = 1 << 14
_COUNT_BOUND = 1 << 40
_IDENTITY_WORDS = 2
"""Of the eight 64-bit words of a row's hash; the others are places in tables."""
MOST_ROUNDS = 2 * TABLES


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """What is left of a bank's records.

    Attributes:
        records: rows that this bank alone holds, each once.
        copies: how many distinct rows were left out because another bank holds them too.
        repeats: how many rows repeat another one of this bank.
    """

    records: Records
    copies: int
    repeats: int


def without_copies(records: Records) -> Program[Distinct]:
    """One bank's side."""
    key = yield SharedSecret("rows that several banks hold")
    hashes = row_hashes(records, key)
    identities = np.ascontiguousarray(hashes[:, :_IDENTITY_WORDS]).view("V16").ravel()
    _, first = np.unique(identities, return_index=True)  # 1
    shared = np.sort(first)
    for table in range(TABLES):  # 2
        rows = int((yield Sum(np.array([len(shared)], dtype=np.int64), _COUNT_BOUND))[0])
        if rows == 0:
            break
        cells = 1 << max((_CELLS_A_ROW * rows - 1).bit_length(), _LEAST_CELLS.bit_length() - 1)
        places = (hashes[shared, _IDENTITY_WORDS + table] & np.uint64(cells - 1)).astype(np.int64)
        own = np.bincount(places, minlength=cells).astype(np.int64)
        pooled = yield Sum(own, rows)
        shared = shared[pooled[places] > own[places]]
    kept = np.zeros(len(records), dtype=bool)  # 3
    kept[first] = True
    kept[shared] = False
    return Distinct(records.where(kept), len(shared), len(records) - len(first))


def row_hashes(records: Records, key: bytes) -> np.ndarray:
    """(n, 8) uint64 keyed BLAKE2b (RFC 7693) of each row's features; all missing values hash alike, and so do 0.0 and -0.0."""
    digests: list[bytes] = []
    for block in records.blocks():
        plain = np.where(np.isnan(block), np.float32(np.nan), block + np.float32(0)).astype("<f4")
        digests += [hashlib.blake2b(row.tobytes(), key=key).digest() for row in plain]
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(len(records), 8)
