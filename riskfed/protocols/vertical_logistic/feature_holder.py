"""Vertical logistic regression, the side of a party that has columns and no labels.

    1  the coordinator's public key
    2  align: the common customers, in the common order; some are held out
    3  its own inputs; for weights of evidence, defaults by cell of its own grid (`riskfed.protocols.vertical_logistic.woe_counts`)
    4  each mini-batch: its scores go to the next party, encrypted and added to those of the one before; residuals come back, encrypted; its
       gradient, masked, is opened by the coordinator; one step
    5  each epoch: its share of the loss, one number, goes to the label holder
    6  its terms become its part of the model; it tells the label holder the part's sha256 and its share of the score of each held-out
       customer, and agrees to the release

What it learns: the sums of its gradient on each mini-batch, and defaults by cell. It takes part in no mini-batch with fewer rows than its
policy says, or with no more rows than it has columns: from as many sums as rows the residuals follow, and from them the labels.
Secret: inputs, coefficients, scores, its part.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import JobError, RemoteProtocolError
from riskfed.jobs import VerticalLogistic
from riskfed.linear.descent import Coefficients, Rates, batches
from riskfed.linear_model import ScorePart
from riskfed.protocols.program import Checkpoint, Exchange, Program, Witness
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.aligned import AlignedRecords, check_parties, ids_of
from riskfed.protocols.vertical.exchange import only
from riskfed.protocols.vertical.messages import PartStatement
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_logistic import messages
from riskfed.protocols.vertical_logistic.inputs import Inputs, standard_inputs, woe_inputs
from riskfed.protocols.vertical_logistic.opened import open_sums
from riskfed.protocols.vertical_logistic.outcome import FeatureHolderOutcome
from riskfed.protocols.vertical_logistic.residuals import Encryptors
from riskfed.protocols.vertical_logistic.resumption import Epoch, Kept, recall, resumed
from riskfed.protocols.vertical_logistic.roles import Roles
from riskfed.protocols.vertical_logistic.vectors import check_batches, check_job, check_schema
from riskfed.protocols.vertical_logistic.woe_counts import asked_bins
from riskfed.schema import Schema
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.points import ScoreScale


def train(records: Records, schema: Schema, job: VerticalLogistic, place: Place) -> Program[FeatureHolderOutcome]:
    """A feature holder's side.

    Args:
        records: this party's, encoded by its part of the schema, with ids.
        schema: the joint one.
        job: what is trained.
        place: this party's in the run.

    Raises:
        JobError: the job or the common records do not suit a logistic regression, or the descent runs away.
        ContractError: the records do not suit the schema or the alignment, or are not those that the run began with.
        ConfigurationError: optbinning is missing, or the journal is damaged.
        PolicyError: the job asks for more than the policy gives.
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
    check_batches(aligned, job, place.rules, len(schema.part_of(place.me).columns))
    kept = yield from recall(place, records.digest(), alignment.digest)
    yield Exchange({job.label_holder: messages.write_epochs(len(kept.epochs))}, messages.EPOCHS_DONE)
    received = yield Exchange({}, messages.BEGIN)
    begin = messages.Begin.from_bytes(only(received, job.label_holder), job.label_holder)
    if begin.epoch > len(kept.epochs):
        raise RemoteProtocolError(
            f"{job.label_holder} goes on from epochs that this party does not have; its operator must act"
        )
    inputs = yield from _inputs(aligned, schema.part_of(place.me), begin, encryptors, place, job)  # 3
    side = _Side.of(aligned, inputs, job, roles, encryptors, place.me, kept.epochs[: begin.epoch])
    yield from side.descend(begin)  # 4, 5
    return (yield from _finish(side, schema.part_of(place.me), kept))  # 6


def _inputs(
    aligned: AlignedRecords,
    schema: Schema,
    begin: messages.Begin,
    encryptors: Encryptors,
    place: Place,
    job: VerticalLogistic,
) -> Program[Inputs]:
    development = aligned.development
    if job.inputs == "standardised":
        found = standard_inputs(schema, development)
    else:
        labels = encryptors.labels.read(begin.labels, len(development))
        least = max(job.least_bin, place.rules.least_bin)
        binned = yield from asked_bins(public_grid(schema), development, labels, job, least)
        found = woe_inputs(binned, development)
    if not found:
        raise JobError(
            f"no feature of {place.me} tells anything: each is a constant, or has bins that all say the same"
        )
    return Inputs.of(found, aligned.records, schema)


@dataclass(slots=True)
class _Side:
    """A feature holder while it learns.

    Attributes:
        design: (n, m) int64 of development rows.
        ids: (n,) of the same.
    """

    aligned: AlignedRecords
    inputs: Inputs
    job: VerticalLogistic
    roles: Roles
    encryptors: Encryptors
    me: str
    design: NDArray[np.int64] = field(repr=False)
    ids: NDArray[np.bytes_] = field(repr=False)
    coefficients: Coefficients

    @classmethod
    def of(
        cls,
        aligned: AlignedRecords,
        inputs: Inputs,
        job: VerticalLogistic,
        roles: Roles,
        encryptors: Encryptors,
        me: str,
        epochs: tuple[Epoch, ...],
    ) -> _Side:
        """After some epochs of an earlier attempt."""
        ids, coefficients = ids_of(aligned.development), resumed(Coefficients.zeros(len(inputs.columns)), epochs)
        return cls(aligned, inputs, job, roles, encryptors, me, inputs.design[aligned.learned], ids, coefficients)

    def descend(self, begin: messages.Begin) -> Program[None]:
        """Epoch after epoch, for as long as the label holder says and the job allows."""
        leader, done = self.job.label_holder, begin.epoch
        going = begin.batches > 0 and done < self.job.epochs
        while going:
            share = 0.0
            for rows in batches(self.ids, self.job.batch_size, self.job.validation_seed, done):
                share += yield from self._batch(rows)
            yield Exchange({leader: messages.write_share(share)}, messages.LOSS)
            yield Checkpoint(Epoch.of(self.coefficients).to_bytes(done))
            done += 1
            received = yield Exchange({}, messages.VERDICT)
            going = messages.goes_on(only(received, leader), leader) and done < self.job.epochs

    def _batch(self, rows: NDArray[np.int64]) -> Program[float]:
        """One step; the own share of the loss before it."""
        design, encryptors = self.design[rows], self.encryptors
        scores = self.coefficients.scores(design, encryptors.polynomial)
        yield from self._add_scores(scores)
        received = yield Exchange({}, messages.RESIDUALS)
        # Whatever the label holder added, no residual is larger: the layout's bound.
        residuals = encryptors.residuals.read(only(received, self.job.label_holder), len(rows))
        ((*sums,),) = yield from open_sums([residuals.weighted_sums(design)], self.job.coordinator)
        share = encryptors.feature_share(self.coefficients.product(sums, encryptors.fixed), scores)
        rates = Rates(self.job.learning_rate, self.job.momentum, self.job.l2)
        self.coefficients.step(sums, len(rows), rates, encryptors.fixed)
        return share

    def _add_scores(self, scores: NDArray[np.int64]) -> Program[None]:
        """Take part as scores go from one feature holder to the next, and from the last to the label holder."""
        chain = (*self.roles.feature_holders, self.job.label_holder)
        before: bytes | None = None
        for hop, (name, following) in enumerate(itertools.pairwise(chain)):
            payloads = {following: self.encryptors.write_scores(scores, before, hop)} if name == self.me else {}
            received = yield Exchange(payloads, messages.SCORES)
            if following == self.me:
                before = only(received, name)


def _finish(side: _Side, schema: Schema, kept: Kept) -> Program[FeatureHolderOutcome]:
    """Put the part together, tell of it, and agree to the release."""
    job, aligned = side.job, side.aligned
    scale = ScoreScale(job.base_score, job.base_odds, job.pdo)
    score = side.inputs.score(schema.columns, side.coefficients.values, scale)
    # The salt stays the same in all attempts of a run, so the part does too; the id does not tell it.
    part_id = hashlib.sha256(b"riskfed part id" + bytes.fromhex(kept.salt)).hexdigest()[:32]
    part = ScorePart(side.me, part_id, schema, score, kept.salt)
    shares = score.partial(aligned.held_out.matrix).astype(np.float32)
    told = messages.PartMessage(PartStatement(part.part_id, part.sha256), shares)
    yield Exchange({job.label_holder: told.to_bytes()}, messages.PARTS)
    received = yield Exchange({}, messages.RELEASED)
    sha256 = only(received, job.label_holder).hex()
    yield Witness(sha256)
    return FeatureHolderOutcome(part, sha256, len(aligned), side.inputs.left_out)
