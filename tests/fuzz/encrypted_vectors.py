"""A target: everything that parties take about encrypted vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from riskfed.secure.encrypted_vectors import VectorEncryptor, VectorKey, VectorLayout
from riskfed.secure.encrypted_vectors.messages import read_public
from riskfed.secure.paillier_key import generate_paillier_key
from tests.fuzz.harness import Session, Target
from tests.fuzz.mutator import Mutator

ROWS, DEGREE = 5, 2


@contextmanager
def vectors() -> Iterator[Session]:
    """A key, a vector and powers at who sums; a question at the key holder; its answer at who asked."""
    layout = VectorLayout(2048, 1 << 30, 1 << 20, ROWS, 1)
    holder = VectorKey(generate_paillier_key(2048), layout)
    encryptor = VectorEncryptor(holder.public, layout)
    values, weights = np.arange(ROWS), np.arange(2 * ROWS).reshape(ROWS, 2)
    vector, powers = encryptor.encrypt(values), encryptor.encrypt_powers(values, DEGREE)
    sums = encryptor.read(vector, ROWS).weighted_sums(weights)
    opened = holder.open(sums.question)
    ones = np.ones((ROWS, DEGREE), dtype=np.int64)
    feeds: dict[str, Callable[[bytes], Any]] = {
        "public": lambda data: read_public(data, layout),
        "vector": lambda data: encryptor.read(data, ROWS).weighted_sums(weights),
        "powers": lambda data: encryptor.read_powers(data, ROWS, DEGREE, bound=9).polynomial(ones, values).to_bytes(),
        "question": holder.open,
        "opened": sums.reveal,
    }
    seeds = {"public": holder.public, "vector": vector, "powers": powers, "question": sums.question, "opened": opened}

    def make(mutator: Mutator) -> tuple[str, bytes]:
        what = mutator.choice(tuple(seeds))
        return what, mutator.bytes_like([seeds[what]])

    yield make, lambda given: feeds[given[0]](given[1])


VECTORS = [Target("encrypted_vectors", 100, vectors)]
