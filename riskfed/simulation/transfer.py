"""Federated transfer learning in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from riskfed.jobs import FederatedTransfer
from riskfed.schema import Schema
from riskfed.simulation.sealed import run_sealed
from riskfed.simulation.vertical import VerticalRun


@dataclass(frozen=True)
class TransferResult(VerticalRun):
    """What a simulated transfer gave.

    ``full`` is the release with the target's model, as the target keeps it (`riskfed.linear.transfer_model.TransferModel`);
    ``release``, the label holder's, is without.
    """


def simulate_transfer(
    parties: Mapping[str, pd.DataFrame], schema: Schema, job: FederatedTransfer, *, key_bits: int = 2048
) -> TransferResult:
    """Run a transfer job in one process, with the protocols, keys and envelopes of a real run.

    Args:
        parties: name -> its own records, with customer ids; the label holder's with the target column. No policy is applied.
        schema: the joint one (`Schema.vertical`).
        job: what to train.
        key_bits: size of both Paillier moduli, 2048 at least.

    Raises:
        PlanError: the parties, the schema and the job do not belong together.
        ContractError: a party's records do not meet its part of the schema.
        JobError: the common records do not suit the job.
    """
    ran = run_sealed(parties, schema, job, key_bits=key_bits)
    leader, learner = ran.outcomes[job.label_holder], ran.outcomes[job.target]
    return TransferResult(learner.full, leader.release, leader.common, ran.traffic, ran.timings, ran.transcript)
