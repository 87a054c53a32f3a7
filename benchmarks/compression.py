"""What a tree costs on the wire: histograms in slots as wide as their bounds, against 64 bits for every number.

    python -m benchmarks.compression

The Taiwan consortium of five banks grows the same trees twice, in one process and with the protocol's own frames. "Before" is the same
protocol with the bound 2^62 for every number of every histogram, which is a slot of 64 bits: as all of them had until the bounds of
`riskfed.trees.sum_bounds`. Bytes are of all banks, both directions, for each tree but the first.

Under masking they are counted as they cross. A tree takes minutes under Paillier with 2048 bits, so its bytes follow from the slots of the
same run: every ciphertext goes up and down once for each bank, and its plaintext, sealed, from the bank that opened it up and down to
all others. Headers are left out. A real run, depth 4 and two trees, had 8,147,856 bytes before and 6,483,856 after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from riskfed.datasets import taiwan_consortium, taiwan_schema
from riskfed.jobs import HorizontalXgboost
from riskfed.secure.integrity import tagged_widths
from riskfed.secure.packing import plaintext_slices
from riskfed.secure.slots import Bound, slot_widths
from riskfed.simulation import Result, simulate
from riskfed.trees.grower import Grower

DEPTHS = (4, 6, 8)
TREES = 20
WHOLE_WORDS = 1 << 62
KEY_BITS = 2048


def measure(depths: tuple[int, ...] = DEPTHS, trees: int = TREES) -> dict[str, Any]:
    """Bytes per tree.

    Args:
        depths: values of `max_depth`.
        trees: how many are grown, two at least.

    Returns:
        protection -> "depth d" -> {"before", "after"}, and "identical": whether all models were the same to the byte.
    """
    figures: dict[str, Any] = {"masking": {}, "paillier": {}, "identical": True}
    for depth in depths:
        (before, before_ciphertexts), (after, after_ciphertexts) = (
            _run(depth, trees, whole) for whole in (True, False)
        )
        figures["identical"] &= before.release.model == after.release.model
        figures["masking"][f"depth {depth}"] = {"before": _per_tree(before), "after": _per_tree(after)}
        figures["paillier"][f"depth {depth}"] = {
            "before": _encrypted(before_ciphertexts, before, trees),
            "after": _encrypted(after_ciphertexts, after, trees),
        }
    return figures


def _run(depth: int, trees: int, whole_words: bool) -> tuple[Result, int]:
    """A run under masking, and how many ciphertexts of all banks its trees but the first would take."""
    with _counted_ciphertexts(whole_words) as counted:
        job = HorizontalXgboost(n_estimators=trees, max_depth=depth)
        result = simulate(taiwan_consortium(), taiwan_schema(), job)
    return result, sum(counted)


@contextmanager
def _counted_ciphertexts(whole_words: bool) -> Iterator[list[int]]:
    """The bounds of the run's histograms, or 2^62 in the place of each; and the ciphertexts of each bank's uploads."""
    counted: list[int] = []
    real = Grower.bounds

    def bounds(grower: Grower) -> Bound:
        own: Bound = WHOLE_WORDS if whole_words else real(grower)
        if grower.trees:
            widths = tagged_widths(slot_widths(own, len(real(grower))))
            counted.append(len(plaintext_slices(widths, KEY_BITS)))
        return own

    with mock.patch.object(Grower, "bounds", bounds):
        yield counted


def _encrypted(ciphertexts: int, result: Result, trees: int) -> int:
    """Bytes of a tree under Paillier, from the ciphertexts of all banks' uploads."""
    banks, plaintext = len(result.traffic.received), KEY_BITS // 8
    # One bank opens each of the sum's ciphertexts: up once, down to all others.
    opened = ciphertexts // banks * banks * plaintext
    return (2 * ciphertexts * 2 * plaintext + opened) // (trees - 1)


def _per_tree(result: Result) -> int:
    ends = result.traffic.until_tree
    return (ends[-1] - ends[0]) // (len(ends) - 1)


def main() -> None:
    """Measure and print."""
    figures = measure()
    table = Table("protection", "depth", "before, MB a tree", "after, MB a tree", "less")
    for protection in ("masking", "paillier"):
        for depth, sizes in figures[protection].items():
            before, after = sizes["before"], sizes["after"]
            table.add_row(protection, depth, f"{before / 1e6:.2f}", f"{after / 1e6:.2f}", f"{1 - after / before:.0%}")
    Console().print(table)
    print("the same models to the last byte:", figures["identical"])


if __name__ == "__main__":
    main()
