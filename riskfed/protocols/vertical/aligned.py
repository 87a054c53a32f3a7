"""A party's records of the common customers, in the common order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ContractError
from riskfed.jobs import Job, VerticalXgboost
from riskfed.protocols.alignment import Alignment
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.protocols.vertical.place import AligningJob
from riskfed.schema import Schema
from riskfed.trees.cuts import Cuts


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRecords:
    """The common customers' records.

    Attributes:
        records: all of them, in the common order.
        learned: (n,) bool, which are for development; the others are held out.
        digest: of the alignment.
    """

    records: Records = field(repr=False)
    learned: NDArray[np.bool_] = field(repr=False)
    digest: str

    @classmethod
    def of(cls, records: Records, alignment: Alignment, job: Job) -> AlignedRecords:
        """A party's records in the order of an alignment.

        Raises:
            ContractError: the records have no ids, or not all aligned customers.
        """
        held_out = is_held_out(alignment.ids, job.validation_fraction, job.validation_seed)
        common = records.take(alignment.positions(ids_of(records)))
        return cls(common, ~held_out, alignment.digest)

    def __len__(self) -> int:
        return len(self.learned)

    @property
    def development(self) -> Records:
        """What is learned from."""
        return self.records.where(self.learned)

    @property
    def held_out(self) -> Records:
        """What is measured on."""
        return self.records.where(~self.learned)

    def codes(self, cuts: Cuts, threads: int) -> NDArray[np.uint8]:
        """(f, n) bin codes of all common customers; a held-out value beyond the outermost cuts gets the code of the outermost bin."""
        return cuts.bin(self.records.column, len(self), self.records.storage, threads)


def ids_of(records: Records) -> NDArray[np.bytes_]:
    """(n,) normalised customer ids.

    Raises:
        ContractError: there are none.
    """
    if records.ids is None:
        raise ContractError("the records have no customer ids; a vertical job needs a schema with customer_id")
    return records.ids


def check_schema(schema: Schema, job: VerticalXgboost, roster: tuple[str, ...]) -> None:
    """Refuse a schema that does not suit the job.

    Raises:
        ContractError: parties of schema and roster differ, or they do not agree about the label holder.
    """
    check_parties(schema, job, roster)
    job.constraints_for(schema.columns)


def check_parties(schema: Schema, job: AligningJob, roster: tuple[str, ...]) -> None:
    """Refuse a schema of other parties than the job's.

    Raises:
        ContractError: parties of schema and roster differ, or they do not agree about the label holder.
    """
    holders = {name for name in roster if name not in job.parties_without_records}
    if schema.label_holder != job.label_holder or set(schema.holders) != holders:
        raise ContractError(
            f"the schema's parties are {', '.join(schema.holders)} with label holder {schema.label_holder or 'none'}; the job's are "
            f"{', '.join(sorted(holders))} with {job.label_holder}; the operator must plan with the schema's"
        )
