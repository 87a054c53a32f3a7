"""What a party's policy says of vertical jobs, for the programs that have to keep to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerticalRules:
    """One party's rules, as its program obeys them while a job runs.

    Attributes:
        least_key_bits: smallest Paillier modulus under which this party answers, as a feature holder.
        least_bin: least development rows in a bin whose sums it answers with.
        least_node: least development rows of a node that it answers for.
        least_batch: fewest development rows of a mini-batch whose gradient it takes part in.
        most_sums_per_row: most gradient sums of its own columns, over all epochs, for each development row. From as many as rows the
            residuals follow, and from them the labels; long before, they can be guessed.
        least_common: fewest common customers of an alignment that it goes along with.
        may_intersect: whether it may look for the common customers anew; False once the day's alignments are used up.
    """

    least_key_bits: int = 2048
    least_bin: int = 1
    least_node: int = 1
    least_batch: int = 1
    most_sums_per_row: float = 1.0
    least_common: int = 1
    may_intersect: bool = True
