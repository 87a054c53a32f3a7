"""Federated transfer learning in plain: what the encrypted run must equal, for tests and benchmarks. Nobody has what this needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import LabelSide, TargetSide, Whole
from riskfed.linear.rank_inputs import RankInputs
from riskfed.linear.transfer_model import TransferModel


@dataclass(frozen=True, slots=True, eq=False)
class JointRecords:
    """Both parties' encoded records, NaN where missing.

    Attributes:
        lender: (n, a) float32 of the label holder's teaching customers.
        labels: (n,) float32, 1.0 default.
        target: (m, b) float32 of the target's customers that are not held out, from which ranks come.
        common: (N, 2) int64, the common customers' rows in either, in the common order.
    """

    lender: NDArray[np.float32]
    labels: NDArray[np.float32]
    target: NDArray[np.float32]
    common: NDArray[np.int64]


def train_in_plain(records: JointRecords, columns: tuple[str, ...], job: FederatedTransfer) -> TransferModel:
    """The model that `riskfed.protocols.transfer` leaves the target with.

    Args:
        records: both parties'.
        columns: names of the target's encoded columns.
        job: the parameters.
    """
    ranks = RankInputs.of(records.target)
    inputs = ranks.inputs(records.target[records.common[:, 1]])
    teachers = RankInputs.of(records.lender).inputs(records.lender)
    leader, follower = LabelSide(teachers, records.labels, records.common[:, 0], job), TargetSide(inputs, job)
    for _ in range(job.iterations):
        to_leader = sums_of(follower.terms(), leader.weights())
        to_follower = sums_of(leader.terms(), follower.weights())
        leader.descend(to_leader)
        follower.descend(to_follower)
    return TransferModel.of(columns, ranks, follower.encoder, (leader.phi, leader.base_rate), inputs)


def sums_of(terms: Whole, weights: Whole) -> list[list[int]]:
    """d times f sums of (d, r) terms by (d, r, f) weights, exact: what an encrypted step opens."""
    sums: list[list[int]] = np.einsum("kr,krf->kf", terms, weights).tolist()
    return sums
