"""What the cipher of vertical XGBoost costs: CPU seconds and bytes for each tree, over both sides.

    python -m benchmarks.gradient_cipher [--rows-per-ciphertext 1 2 3]

Two set-ups, with a Paillier key of 2048 bits and bins of the Taiwan data (or, "even", independent uniform ones, the worst
case for sums that share additions):

* depth 3: 24,000 rows; the feature holder has 10 features (the last ten columns) of at most 32 bins. Nodes asked: the root,
  then the smaller child of every split: 1, 1 and 2 nodes of n, n/2 and n/4 rows.
* depth 5: 30,000 rows and 12 features (payment status and amounts); 1, 1, 2, 4 and 8 nodes of n ... n/16 rows.

"setup" comes once a run: the tables of both sides and the plan of sums. "phe as it comes" encrypts g and h of every row by
themselves, adds row by row and opens cell by cell; timed on a sample and scaled up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riskfed.datasets.taiwan import BILL_AMOUNTS, PAYMENT_AMOUNTS, PAYMENT_STATUS, load_taiwan
from riskfed.secure import PaillierKey, generate_paillier_key
from riskfed.secure.gradient_cipher import CipherLayout, GradientOwner, GradientSummer

N_BINS = 32
KEY_BITS = 2048
PHE_SAMPLE = 20
Costs = dict[str, float]


@dataclass(frozen=True)
class SetUp:
    """What a tree asks for.

    Attributes:
        codes: (f, n) uint8 bins of the feature holder.
        n_bins: bins of each feature.
        levels: nodes asked at each depth, the smaller children.
    """

    codes: NDArray[np.uint8]
    n_bins: tuple[int, ...]
    levels: tuple[tuple[NDArray[np.int64], ...], ...]

    @property
    def n_cells(self) -> int:
        """Cells of a tree."""
        return sum(len(nodes) for nodes in self.levels) * sum(self.n_bins)


def set_up(columns: Sequence[str], n_rows: int, depth: int, *, even: bool = False) -> SetUp:
    """Quantile bins of Taiwan's columns, or independent uniform ones in their place."""
    rng = np.random.default_rng(1)
    if even:
        codes = rng.integers(0, N_BINS, (len(columns), n_rows)).astype(np.uint8)
        n_bins = [N_BINS] * len(columns)
    else:
        table = load_taiwan().sample(n_rows, random_state=1)
        values = [table[column].to_numpy() for column in columns]
        cuts = [np.unique(np.quantile(v, np.arange(1, N_BINS) / N_BINS)) for v in values]
        found = [
            np.unique(np.searchsorted(c, v, "right"), return_inverse=True) for c, v in zip(cuts, values, strict=True)
        ]
        codes = np.stack([inverse for _, inverse in found]).astype(np.uint8)
        n_bins = [len(bins) for bins, _ in found]
    order = rng.permutation(n_rows)
    levels: list[tuple[NDArray[np.int64], ...]] = [(np.arange(n_rows),)]
    for level in range(1, depth):
        edges = [n_rows * i >> level for i in range(2 ** (level - 1) + 1)]
        levels.append(tuple(np.sort(order[a:b]) for a, b in pairwise(edges)))
    return SetUp(codes, tuple(n_bins), tuple(levels))


def measure(key: PaillierKey, problem: SetUp, rows_per_ciphertext: int) -> Costs:
    """CPU seconds of a tree by part, "setup" of a run, and the "MB" that go over the wire."""
    n_rows = problem.codes.shape[1]
    bits = 62 - int(np.ceil(np.log2(n_rows + 1)))
    rng = np.random.default_rng(2)
    target = rng.random(n_rows) < 0.22
    p = rng.random(n_rows) * 0.5
    g, h = (np.rint(v * 2.0**bits).astype(np.int64) for v in (p - target, p * (1 - p)))
    layout = CipherLayout(KEY_BITS, n_rows << bits, n_rows << (bits - 2), rows_per_ciphertext)

    costs: Costs = {}
    owner, costs["setup"] = timed(lambda: GradientOwner(key, layout))
    summer, seconds = timed(lambda: GradientSummer(owner.public))
    costs["setup"] += seconds
    ciphertexts, costs["encrypt"] = timed(lambda: owner.encrypt(g, h))
    _, costs["take"] = timed(lambda: summer.take(ciphertexts, n_rows))
    _, seconds = timed(lambda: summer.answer([], problem.codes, problem.n_bins))  # makes the plan of sums
    costs["setup"] += seconds
    costs["sum"] = 0.0
    summer._sums = _clocked(summer._sums, costs)  # type: ignore[method-assign]
    answers, seconds = timed(lambda: [summer.answer(nodes, problem.codes, problem.n_bins) for nodes in problem.levels])
    costs["pack"] = seconds - costs["sum"]
    _, costs["decrypt"] = timed(
        lambda: [
            owner.decrypt(answer, len(nodes) * sum(problem.n_bins))
            for answer, nodes in zip(answers, problem.levels, strict=True)
        ]
    )
    costs["tree"] = sum(costs[part] for part in ("encrypt", "take", "sum", "pack", "decrypt"))
    costs["MB"] = (len(ciphertexts) + sum(map(len, answers))) / 1e6
    return costs


def measure_phe(key: PaillierKey, problem: SetUp, sample: int = PHE_SAMPLE) -> float:
    """CPU seconds of a tree with phe as it comes, extrapolated from a sample."""
    values = np.random.default_rng(3).uniform(-1, 1, sample).tolist()
    numbers, encrypting = timed(lambda: [key.public_key.encrypt(value) for value in values])
    _, adding = timed(lambda: [a + b for a in numbers for b in numbers])
    _, decrypting = timed(lambda: [key.decrypt(number) for number in numbers])
    additions = sum(len(rows) for nodes in problem.levels for rows in nodes) * len(problem.n_bins)
    n_rows = problem.codes.shape[1]
    return 2 * (n_rows * encrypting + additions * adding / sample + problem.n_cells * decrypting) / sample


def timed(task: Callable[[], Any]) -> tuple[Any, float]:
    """What the task gives, and the CPU seconds of all threads that it took."""
    start = time.process_time()
    outcome = task()
    return outcome, time.process_time() - start


def _clocked(task: Callable[..., Any], costs: Costs) -> Callable[..., Any]:
    def clocked(*arguments: Any) -> Any:
        outcome, seconds = timed(lambda: task(*arguments))
        costs["sum"] += seconds
        return outcome

    return clocked


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows-per-ciphertext", type=int, nargs="+", default=[1, 2, 3])
    choices = parser.parse_args().rows_per_ciphertext
    key = generate_paillier_key(KEY_BITS)
    _ = key.obfuscators
    last_ten = (*BILL_AMOUNTS[2:], *PAYMENT_AMOUNTS)
    problems = {
        "depth 3": set_up(last_ten, 24_000, 3),
        "depth 3, even": set_up(last_ten, 24_000, 3, even=True),
        "depth 5": set_up((*PAYMENT_STATUS, *PAYMENT_AMOUNTS), 30_000, 5),
        "depth 5, even": set_up((*PAYMENT_STATUS, *PAYMENT_AMOUNTS), 30_000, 5, even=True),
    }
    parts = ("setup", "encrypt", "take", "sum", "pack", "decrypt", "tree", "MB")
    print(f"{'':<14} {'cells':>6} rows " + " ".join(f"{part:>8}" for part in parts) + "   (CPU seconds, MB)")
    for name, problem in problems.items():
        trees = []
        for rows in choices:
            costs = measure(key, problem, rows)
            trees.append(costs["tree"])
            print(f"{name:<14} {problem.n_cells:>6} {rows:>4} " + " ".join(f"{costs[part]:>8.2f}" for part in parts))
        as_it_comes = measure_phe(key, problem)
        print(f"{name:<14} phe as it comes: {as_it_comes:.0f} s a tree, {as_it_comes / min(trees):.0f} times the best")


if __name__ == "__main__":
    main()
