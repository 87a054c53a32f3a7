"""Federated transfer learning, the side of the party with the labels.

    1  align: the common customers, in the common order
    2  keys: each party makes one, and tells the other its public part
    3  the descent, step by step: `riskfed.protocols.transfer.encrypted_descent`
    4  at the end, what default looks like in the common space goes to the target
    5  the target says sha256 of its model, and scores of the held-out common customers; they are measured
    6  the release: figures and sha256, no model

What it learns: the common customers, its own gradients, and the target's scores of the common customers that are held out. What it tells:
at the end d + 1 numbers (`Lesson`); in each step the target's gradients, which depend on its labels (docs/transfer.md says how much they
tell). The server: sizes of messages, and the release.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from riskfed.errors import JobError
from riskfed.evaluation.discrimination import interval
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import UNIT, LabelSide
from riskfed.protocols.measuring.score_cells import evaluate
from riskfed.protocols.program import Exchange, Program, Progress, Release, run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.transfer.customers import Customers, check_schema
from riskfed.protocols.transfer.encrypted_descent import EncryptedDescent
from riskfed.protocols.transfer.messages import LESSON, RELEASED, SCORES, Lesson, Scores
from riskfed.protocols.transfer.outcome import LabelHolderOutcome
from riskfed.protocols.vertical.aligned import ids_of
from riskfed.protocols.vertical.exchange import only
from riskfed.protocols.vertical.place import Place
from riskfed.schema import Schema


def train(records: Records, schema: Schema, job: FederatedTransfer, place: Place) -> Program[LabelHolderOutcome]:
    """The label holder's side.

    Args:
        records: this party's, encoded by its part of the schema, with ids; all its customers teach.
        schema: the joint one.
        job: what is trained.
        place: this party's in the run. A later attempt begins anew, with the alignment that is kept.

    Raises:
        JobError: too few common customers, or too few of its customers defaulted or did not.
        ContractError: the records do not suit the schema or the alignment.
        PolicyError: the policy does not allow what the job needs.
        ProtectionError: a key is too short, or an opened sum is none.
        RemoteProtocolError: the target sent something else than was due.
    """
    check_schema(schema, job, place.roster)
    alignment = yield from place.align(ids_of(records), job)  # 1
    customers = Customers.of(records, alignment, schema, job)
    _check_outcomes(customers.own.labels, job.least_cell)
    side = LabelSide(customers.inputs(), customers.own.labels, customers.common, job)
    descent = yield from EncryptedDescent.open(schema, job, place, len(customers.common))  # 2
    for step in range(1, job.iterations + 1):
        yield from descent.step(side)  # 3
        yield Progress(step, {})
    yield Exchange({job.target: Lesson(side.phi, side.base_rate).to_bytes()}, LESSON)  # 4
    received = yield Exchange({}, SCORES)  # 5
    scores = Scores.from_bytes(only(received, job.target), len(customers.held_out), job.target)
    release = _measured(scores, customers.held_out.labels, schema.part_of(job.target), job)
    content = release.to_bytes()
    yield Exchange({job.target: content}, RELEASED)  # 6
    yield Release(content)
    return LabelHolderOutcome(release, release, len(alignment))


def _check_outcomes(labels: np.ndarray, least: int) -> None:
    """The direction of default is a difference of means, of ``least`` customers each at least."""
    defaults = int((labels != 0).sum())
    if min(defaults, len(labels) - defaults) < least:
        raise JobError(
            f"the label holder has fewer than least_cell, {least}, customers that defaulted or that did not; what default looks like would "
            "tell of single ones; it needs more"
        )


def _measured(scores: Scores, labels: np.ndarray, schema: Schema, job: FederatedTransfer) -> ModelRelease:
    """The release, with figures on the held-out common customers, if they are as many as the job's ``least_cell``."""
    release = ModelRelease(
        b"", schema, {}, [], [], UNIT.bit_length() - 1, "withheld", scores.model_sha256, kind=job.kind
    )
    if len(labels) < job.least_cell:
        return release
    margins = scores.margins.astype(np.float64)
    figures, cells = run_alone(evaluate(scores.margins, 1 / (1 + np.exp(-margins)), labels))
    ranked = interval(figures["auc"], cells.placements.variance(), 0.0, 1.0)
    ends = {} if ranked.low is None or ranked.high is None else {"auc_low": ranked.low, "auc_high": ranked.high}
    known = {name: value for name, value in (figures | ends).items() if np.isfinite(value)}
    return replace(release, metrics=known, score_cells=cells.merged(job.least_cell))
