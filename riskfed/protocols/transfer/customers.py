"""A party's customers in a transfer job: its own, the common ones, and those that are held out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ContractError, JobError
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import Real
from riskfed.linear.rank_inputs import RankInputs, width_for
from riskfed.protocols.kept_alignment import Alignment
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.aligned import check_parties, ids_of
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.schema import Schema

_CUSTOMERS_PER_INPUT = 2
"""A step opens a sum for each input over the common customers: with as many sums as customers, these could be solved for."""


@dataclass(frozen=True, slots=True, eq=False)
class Customers:
    """Of one party.

    Attributes:
        own: records of all that are not held out, common or not.
        common: (N,) int64 rows of the common ones among `own`, in the common order.
        held_out: records of the common customers that are held out, in the common order.
        ranks: how columns become inputs, from `own`.
    """

    own: Records = field(repr=False)
    common: NDArray[np.int64] = field(repr=False)
    held_out: Records = field(repr=False)
    ranks: RankInputs = field(repr=False)

    @classmethod
    def of(cls, records: Records, alignment: Alignment, schema: Schema, job: FederatedTransfer) -> Customers:
        """Split a party's records.

        Args:
            records: the party's, with ids.
            alignment: the common customers.
            schema: the joint one.
            job: the parameters.

        Raises:
            JobError: too few common customers are left to learn from.
            ContractError: not all aligned customers are there.
        """
        out = is_held_out(alignment.ids, job.validation_fraction, job.validation_seed)
        rows = alignment.positions(ids_of(records))
        least = _CUSTOMERS_PER_INPUT * max(width_for(len(schema.part_of(party).columns)) for party in schema.holders)
        if (learned := len(rows) - int(out.sum())) < least:
            raise JobError(
                f"{learned} common customers are left to learn from; expected {least} at least, {_CUSTOMERS_PER_INPUT} for each input of "
                "an encoder; the parties need more common customers, fewer columns or a smaller validation_fraction"
            )
        stays = ~is_held_out(ids_of(records), job.validation_fraction, job.validation_seed)
        own = records.where(stays)
        return cls(own, (np.cumsum(stays) - 1)[rows[~out]], records.take(rows[out]), RankInputs.of(own.matrix))

    def inputs(self) -> Real:
        """(n, f) inputs of `own`."""
        return self.ranks.inputs(self.own.matrix)

    def common_inputs(self) -> Real:
        """(N, f) inputs of the common customers."""
        return self.ranks.inputs(self.own.matrix[self.common])


def check_schema(schema: Schema, job: FederatedTransfer, roster: tuple[str, ...]) -> None:
    """Refuse a schema that does not suit the job.

    Raises:
        ContractError: parties of schema, roster and job differ, or records have weights.
    """
    check_parties(schema, job, roster)
    if set(roster) != {job.label_holder, job.target}:
        raise ContractError(
            f"the parties are {', '.join(roster)}; the job's are {job.label_holder} and {job.target}, and nobody else; the operator must "
            "plan with these"
        )
    if schema.weight is not None:
        raise ContractError(f"transfer learning knows no sample weights; the schema must not name {schema.weight}")
