"""What a tree would cost with phe as it comes: one float in each ciphertext, `encrypt`, `+` and `decrypt`.

Each operation is timed on a sample, and counted for a whole tree of the same protocol: a gradient and a hessian a row to encrypt, both to
be added to a cell for each row, feature and node that is asked about (the smaller child only), both of every cell to decrypt. What phe
would need besides, such as obfuscating what goes back to the key's owner, is not counted: the comparison errs in its favour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from phe import PaillierPrivateKey, PaillierPublicKey, generate_paillier_keypair

SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Operations:
    """How often a tree needs each operation.

    Attributes:
        encrypt: values that are encrypted.
        add: additions of two ciphertexts.
        decrypt: values that are decrypted.
    """

    encrypt: float
    add: float
    decrypt: float

    @classmethod
    def of_tree(cls, rows: int, asked_rows: float, asked_nodes: float, features: int, cells: int) -> Operations:
        """Those of a tree, of gradients and hessians.

        Args:
            rows: development rows.
            asked_rows: rows of the nodes that the feature holder is asked about, summed over these nodes.
            asked_nodes: number of these nodes.
            features: of the feature holder.
            cells: bins of all these features together.
        """
        return cls(2 * rows, 2 * asked_rows * features, 2 * asked_nodes * cells)


@dataclass(frozen=True, slots=True)
class Seconds:
    """CPU seconds of one operation."""

    encrypt: float
    add: float
    decrypt: float

    def of(self, operations: Operations) -> float:
        """CPU seconds of so many."""
        encrypted, added = self.encrypt * operations.encrypt, self.add * operations.add
        return encrypted + added + self.decrypt * operations.decrypt


def measure(sample: int = SAMPLE, key_bits: int = 2048) -> Seconds:
    """CPU seconds of phe's operations, the mean over a sample of gradients as the second tree has them.

    The floats are of different size, as gradients are: phe then brings one of two exponents down before it adds, which is part of its cost.
    """
    public, private = generate_paillier_keypair(n_length=key_bits)
    rng = np.random.default_rng(0)
    probabilities = 1 / (1 + np.exp(-rng.normal(-1.3, 0.5, sample)))
    gradients = (probabilities - (rng.random(sample) < probabilities)).tolist()
    return _timed(public, private, gradients)


def _timed(public: PaillierPublicKey, private: PaillierPrivateKey, values: list[float]) -> Seconds:
    encrypted, encrypting = _each(public.encrypt, values)
    half = len(values) // 2
    sums, adding = _each(lambda pair: pair[0] + pair[1], list(zip(encrypted[:half], encrypted[half:], strict=True)))
    opened, decrypting = _each(private.decrypt, sums)
    if not np.allclose(opened, np.add(values[:half], values[half:]), rtol=0, atol=1e-12):
        raise AssertionError("phe's sums are wrong")
    return Seconds(encrypting, adding, decrypting)


def _each(operation: Callable[[Any], Any], inputs: list[Any]) -> tuple[list[Any], float]:
    """What an operation gives of each input, and its mean CPU seconds."""
    started = time.process_time()
    results = [operation(value) for value in inputs]
    return results, (time.process_time() - started) / len(inputs)


if __name__ == "__main__":
    costs = measure()
    print(
        f"phe as it comes, microseconds: encrypt {1e6 * costs.encrypt:,.0f}, add {1e6 * costs.add:,.0f}, "
        f"decrypt {1e6 * costs.decrypt:,.0f}"
    )
