"""A party's place in a vertical run: what both sides' programs are told beside records, schema and job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from riskfed.protocols.alignment import align
from riskfed.protocols.kept_alignment import Alignment
from riskfed.protocols.program import Program
from riskfed.protocols.vertical_rules import VerticalRules


class AligningJob(Protocol):
    """A job whose parties hold different columns of the same customers."""

    @property
    def label_holder(self) -> str:
        """The party with the labels; it leads."""
        ...

    @property
    def align_again(self) -> bool:
        """Whether the common customers are found anew in any case."""
        ...

    @property
    def parties_without_records(self) -> tuple[str, ...]:
        """Parties that hold no columns and do something else."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """One party's.

    Attributes:
        me: this party's name.
        roster: all parties' names.
        kept: what it keeps of an earlier alignment.
        journal: None in a run's first attempt; later what this party has kept of the ones before (`Checkpoint`), maybe nothing.
        rules: what its policy says.
        key_bits: length of the key that gradients are encrypted under; a new one in each attempt. Feature holders go by `rules`.
        threads: how many work on records; results do not depend on it.
    """

    me: str
    roster: tuple[str, ...]
    kept: bytes | None = field(default=None, repr=False)
    journal: Sequence[bytes] | None = field(default=None, repr=False)
    rules: VerticalRules = field(default_factory=VerticalRules)
    key_bits: int = 2048
    threads: int = 1

    @property
    def partners(self) -> tuple[str, ...]:
        """The other parties, in order."""
        return tuple(name for name in sorted(self.roster) if name != self.me)

    def align(self, ids: NDArray[np.bytes_], job: AligningJob) -> Program[Alignment]:
        """The common customers: those of an earlier alignment in a later attempt, and wherever parties still have one."""
        return align(
            ids,
            self.me,
            tuple(name for name in self.roster if name not in job.parties_without_records),
            job.label_holder,
            kept=self.kept,
            again=job.align_again and self.journal is None,
            may_intersect=self.rules.may_intersect,
            least_common=self.rules.least_common,
            bystanders=job.parties_without_records,
        )
