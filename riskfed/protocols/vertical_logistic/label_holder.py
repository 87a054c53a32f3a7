"""Vertical logistic regression, the side of the party that has the labels.

    1  the coordinator's public key
    2  align: the common customers, in the common order; some are held out
    3  its own inputs; feature holders get the labels, encrypted, where inputs are weights of evidence
    4  each mini-batch: scores of the feature holders come in, encrypted and added up; own scores and labels make them residuals, which
       go out again with fresh n-th powers; its own gradient, masked, is opened by the coordinator; one step
    5  each epoch: the mean loss from all shares, and whether there is another epoch
    6  the model, measured on held-out customers, with a fallback on its own columns; the release

What it learns: the sums of its gradient on each mini-batch; one number an epoch, and the held-out customers' score shares of each feature
holder. It knows labels and its own scores, so the sum of residuals times anything it chooses tells the same sum of the others' scores.
Secret: labels, own inputs, coefficients.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from riskfed.jobs import VerticalLogistic
from riskfed.linear.descent import INPUT_BITS, Coefficients, Rates, batches
from riskfed.protocols.program import Checkpoint, Exchange, Program, Progress, Release
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.aligned import AlignedRecords, check_parties, ids_of
from riskfed.protocols.vertical.exchange import received_of
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_logistic import messages
from riskfed.protocols.vertical_logistic.finished import Finished
from riskfed.protocols.vertical_logistic.inputs import Inputs, standard_inputs, woe_inputs
from riskfed.protocols.vertical_logistic.opened import OPENED, QUESTION, open_sums
from riskfed.protocols.vertical_logistic.outcome import LabelHolderOutcome
from riskfed.protocols.vertical_logistic.residuals import Encryptors
from riskfed.protocols.vertical_logistic.resumption import Epoch, common_epochs, recall, resumed
from riskfed.protocols.vertical_logistic.roles import Roles
from riskfed.protocols.vertical_logistic.vectors import check_batches, check_job, check_schema
from riskfed.protocols.vertical_logistic.woe_counts import own_bins
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid
from riskfed.vertical_model import PartnerReference


def train(records: Records, schema: Schema, job: VerticalLogistic, place: Place) -> Program[LabelHolderOutcome]:
    """The label holder's side.

    Args:
        records: this party's, encoded by its part of the schema, with ids.
        schema: the joint one.
        job: what is trained.
        place: this party's in the run.

    Raises:
        JobError: the job or the common records do not suit a logistic regression, or the descent runs away.
        ContractError: the records do not suit the schema or the alignment, or are not those that the run began with.
        ConfigurationError: optbinning is missing.
        PolicyError: the policy does not allow what the job needs.
        ProtectionError: the key is too short, or a message or an opened sum is not sound.
        RemoteProtocolError: another party sent something else than was due.
    """
    roles = Roles.of(place.roster, job)
    check_parties(schema, job, place.roster)
    check_schema(schema)
    check_job(job, len(roles.feature_holders))
    encryptors = yield from roles.receive_keys(job, place)  # 1
    alignment = yield from place.align(ids_of(records), job)  # 2
    aligned = AlignedRecords.of(records, alignment, job)
    # The label holder's residuals are what is at stake, so it counts for every party.
    most_columns = max(len(schema.part_of(name).columns) for name in roles.record_holders)
    check_batches(aligned, job, place.rules, most_columns)
    inputs = _inputs(aligned, schema.part_of(place.me), job)  # 3
    kept = yield from recall(place, records.digest(), alignment.digest)
    done = yield from common_epochs(len(kept.epochs), roles.feature_holders)
    side = _Side.of(aligned, inputs, job, roles, encryptors, kept.epochs[:done])
    yield from side.begin()
    yield from side.descend()  # 4, 5
    return (yield from _finish(side, schema.part_of(place.me)))  # 6


def _inputs(aligned: AlignedRecords, schema: Schema, job: VerticalLogistic) -> Inputs:
    development = aligned.development
    if job.inputs == "standardised":
        found = standard_inputs(schema, development)
    else:
        found = woe_inputs(own_bins(public_grid(schema), development, job), development)
    return Inputs.of(found, aligned.records, schema)


@dataclass(slots=True)
class _Side:
    """The label holder while it learns.

    Attributes:
        design: (n, 1 + m + 1) int64 of development rows: a one for the intercept, the inputs, the label.
        labels: (n,) int64.
        coefficients: the intercept's first.
        losses: of the epochs that are done.
    """

    aligned: AlignedRecords
    inputs: Inputs
    job: VerticalLogistic
    roles: Roles
    encryptors: Encryptors
    design: NDArray[np.int64] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    ids: NDArray[np.bytes_] = field(repr=False)
    coefficients: Coefficients
    losses: list[float]

    @classmethod
    def of(
        cls,
        aligned: AlignedRecords,
        inputs: Inputs,
        job: VerticalLogistic,
        roles: Roles,
        encryptors: Encryptors,
        epochs: tuple[Epoch, ...],
    ) -> _Side:
        """After some epochs of an earlier attempt."""
        own, development = inputs.design[aligned.learned], aligned.development
        labels = (development.labels != 0).astype(np.int64)
        ones = np.full(len(labels), 1 << INPUT_BITS, dtype=np.int64)
        design = np.column_stack([ones, own, labels << INPUT_BITS])
        intercept = encryptors.polynomial.score_of(int(labels.sum()) / len(labels))
        coefficients = resumed(Coefficients.with_intercept(intercept, len(inputs.columns)), epochs)
        losses = [epoch.loss for epoch in epochs]
        return cls(aligned, inputs, job, roles, encryptors, design, labels, ids_of(development), coefficients, losses)

    def begin(self) -> Program[None]:
        """Tell all where the descent begins, and feature holders the labels, encrypted, if they need them."""
        number = len(batches(self.ids, self.job.batch_size, self.job.validation_seed, 0)) if self._goes_on else 0
        labels = self.encryptors.labels.encrypt(self.labels) if self.job.inputs == "woe" else b""
        bare = messages.Begin(len(self.losses), number).to_bytes()
        full = messages.Begin(len(self.losses), number, labels).to_bytes()
        yield Exchange({self.job.coordinator: bare, **dict.fromkeys(self.roles.feature_holders, full)}, messages.BEGIN)
        if self.job.inputs == "woe":
            yield Exchange({}, QUESTION)
            yield Exchange({}, OPENED)

    def descend(self) -> Program[None]:
        """Epoch after epoch, until there are enough or the loss has settled."""
        while self._goes_on:
            number = len(self.losses)
            loss = yield from self._epoch(number)
            self.losses.append(loss)
            yield Progress(number + 1, {f"logloss_{self.job.sigmoid}": loss})
            yield Checkpoint(Epoch.of(self.coefficients, loss).to_bytes(number))
            told = messages.verdict(on=self._goes_on)
            yield Exchange(dict.fromkeys((self.job.coordinator, *self.roles.feature_holders), told), messages.VERDICT)

    @property
    def _goes_on(self) -> bool:
        """Whether another epoch follows: there are not enough, and the last bettered the loss by the tolerance."""
        gained = [before - after for before, after in itertools.pairwise(self.losses[-2:])]
        settled = self.job.tolerance > 0 and bool(gained) and gained[0] < self.job.tolerance
        return len(self.losses) < self.job.epochs and not settled

    def _epoch(self, number: int) -> Program[float]:
        """One pass; the mean loss of its mini-batches, each before its step."""
        shares = 0.0
        for rows in batches(self.ids, self.job.batch_size, self.job.validation_seed, number):
            shares += yield from self._batch(rows)
        received = yield Exchange({}, messages.LOSS)
        for name in self.roles.feature_holders:
            shares += messages.read_share(received_of(received, name), name)
        return self.encryptors.mean_loss(shares, len(self.labels))

    def _batch(self, rows: NDArray[np.int64]) -> Program[float]:
        """One step; the own share of the loss before it."""
        partners, encryptors = self.roles.feature_holders, self.encryptors
        design, labels = self.design[rows], self.labels[rows]
        for _ in partners:
            received = yield Exchange({}, messages.SCORES)
        scores = self.coefficients.scores(design[:, :-1], encryptors.polynomial)
        data = received_of(received, partners[-1])
        residuals, others = encryptors.read_residuals(data, scores, labels, len(partners), partners[-1])
        yield Exchange(dict.fromkeys(partners, residuals.to_bytes()), messages.RESIDUALS)
        opened = yield from open_sums([residuals.weighted_sums(design), *others], self.job.coordinator)
        *sums, of_defaults = opened[0]
        unit = 1 << (encryptors.fixed.residual_bits + INPUT_BITS)
        product = self.coefficients.product(sums, encryptors.fixed)
        share = encryptors.label_share(product, sums[0] / unit, of_defaults / unit, scores, labels)
        rates = Rates(self.job.learning_rate, self.job.momentum, self.job.l2)
        self.coefficients.step(sums, len(rows), rates, encryptors.fixed)
        return share + encryptors.crossed(opened[1:])


def _finish(side: _Side, schema: Schema) -> Program[LabelHolderOutcome]:
    """Hear of the feature holders' parts, measure the model, and release it."""
    job, aligned, partners = side.job, side.aligned, side.roles.feature_holders
    received = yield Exchange({}, messages.PARTS)
    held_out = int((~aligned.learned).sum())
    parts = [messages.PartMessage.from_bytes(received_of(received, name), held_out, name) for name in partners]
    references = tuple(
        PartnerReference(
            party=name,
            part_id=part.statement.part_id,
            sha256=part.statement.sha256,
            splits=1,
            answers="partial_score",
        )
        for name, part in zip(partners, parts, strict=True)
    )
    finished = Finished(aligned, side.inputs, schema, job, tuple(side.coefficients.values), references)
    full = finished.release(tuple(side.losses), [part.shares for part in parts])
    release = finished.in_form(full)
    content = release.to_bytes()
    digest = hashlib.sha256(content).digest()
    yield Exchange(dict.fromkeys((job.coordinator, *partners), digest), messages.RELEASED)
    yield Release(content)
    return LabelHolderOutcome(release, full, tuple(side.losses), len(aligned), side.inputs.left_out)
