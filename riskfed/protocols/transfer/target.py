"""Federated transfer learning, the side of the party whose customers are to be scored.

    1  align: the common customers, in the common order
    2  keys: each party makes one, and tells the other its public part
    3  the descent, step by step: `riskfed.protocols.transfer.encrypted_descent`
    4  at the end, the label holder says what default looks like in the common space
    5  the model; its sha256 and the scores of the held-out common customers go to the label holder
    6  the release: it agrees by its sha256, and keeps it with the model

What it learns: the common customers, its own gradients (which depend on the label holder's labels: docs/transfer.md), and at the end d + 1
numbers. With these it scores alone, any customer of its own. What it tells: the label holder's gradients; scores of the common customers
that are held out. The server: sizes of messages, and the release.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from riskfed.errors import RemoteProtocolError
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import TargetSide
from riskfed.linear.transfer_model import TransferModel, TransferScorer
from riskfed.protocols.program import Exchange, Program, Witness
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.transfer.customers import Customers, check_schema
from riskfed.protocols.transfer.encrypted_descent import EncryptedDescent
from riskfed.protocols.transfer.messages import LESSON, RELEASED, SCORES, Lesson, Scores
from riskfed.protocols.transfer.outcome import TargetOutcome
from riskfed.protocols.vertical.aligned import ids_of
from riskfed.protocols.vertical.exchange import only
from riskfed.protocols.vertical.place import Place
from riskfed.schema import Schema


def train(records: Records, schema: Schema, job: FederatedTransfer, place: Place) -> Program[TargetOutcome]:
    """The target's side.

    Args:
        records: this party's, encoded by its part of the schema, with ids; without labels.
        schema: the joint one.
        job: what is trained.
        place: this party's in the run. A later attempt begins anew, with the alignment that is kept.

    Raises:
        JobError: too few common customers.
        ContractError: the records do not suit the schema or the alignment.
        PolicyError: the policy does not allow what the job needs.
        ProtectionError: a key is too short, or an opened sum is none.
        RemoteProtocolError: the label holder sent something else than was due.
    """
    check_schema(schema, job, place.roster)
    leader, own = job.label_holder, schema.part_of(place.me)
    alignment = yield from place.align(ids_of(records), job)  # 1
    customers = Customers.of(records, alignment, schema, job)
    inputs = customers.common_inputs()
    side = TargetSide(inputs, job)
    descent = yield from EncryptedDescent.open(schema, job, place, len(inputs))  # 2
    for _ in range(job.iterations):
        yield from descent.step(side)  # 3
    received = yield Exchange({}, LESSON)  # 4
    lesson = Lesson.from_bytes(only(received, leader), job.dimensions, leader)
    taught = lesson.direction, lesson.base_rate
    model = TransferModel.of(own.columns, customers.ranks, side.encoder, taught, inputs)
    content = model.to_bytes()
    margins = TransferScorer(model, own).margins(customers.held_out.matrix).astype(np.float32)
    stated = Scores(hashlib.sha256(content).hexdigest(), margins)
    yield Exchange({leader: stated.to_bytes()}, SCORES)  # 5
    received = yield Exchange({}, RELEASED)  # 6
    released = only(received, leader)
    release = _checked(released, stated, own, leader)
    sha256 = hashlib.sha256(released).hexdigest()
    yield Witness(sha256)
    return TargetOutcome(replace(release, model=content, form="full"), sha256, len(alignment))


def _checked(content: bytes, stated: Scores, schema: Schema, leader: str) -> ModelRelease:
    """The release, if it is one of this party's model."""
    release = ModelRelease.from_bytes(content)
    if release.form != "withheld" or release.model_sha256 != stated.model_sha256 or release.schema != schema:
        raise RemoteProtocolError(
            f"{leader} releases something else than the figures of this party's model; its operator must act"
        )
    return release
