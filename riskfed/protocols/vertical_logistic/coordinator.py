"""Vertical logistic regression, the side of the party that holds the key and no records.

    1  make a key for this attempt, and give everybody its public part
    2  stand by while the others find their common customers
    3  hear where the descent goes on, and how many mini-batches an epoch has
    4  open the feature holders' masked counts of defaults, where inputs are weights of evidence
    5  for every mini-batch, open each party's masked gradient
    6  after every epoch, hear whether another follows
    7  agree to the release by its sha256

What it learns: numbers that masks hide, and how many there are. Secret: the key, which no other party may get. It is made anew in each
attempt and kept nowhere.
"""

from __future__ import annotations

from riskfed.errors import RemoteProtocolError
from riskfed.jobs import VerticalLogistic
from riskfed.protocols.alignment import stand_by
from riskfed.protocols.program import Exchange, Program, Witness
from riskfed.protocols.vertical.exchange import only
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_logistic import messages
from riskfed.protocols.vertical_logistic.opened import answer_questions
from riskfed.protocols.vertical_logistic.outcome import CoordinatorOutcome
from riskfed.protocols.vertical_logistic.roles import Roles
from riskfed.protocols.vertical_logistic.vectors import check_job, label_layout, residual_layout, score_layout
from riskfed.secure.encrypted_vectors import VectorKey
from riskfed.secure.paillier_key import generate_paillier_key
from riskfed.secure.primitives import frame


def train(job: VerticalLogistic, place: Place) -> Program[CoordinatorOutcome]:
    """The coordinator's side.

    Args:
        job: what is trained.
        place: this party's in the run; of it, name, roster and length of the key count.

    Raises:
        JobError: the job does not suit the roster, or the key.
        ProtectionError: the key is too short, or the parties found different customers.
        RemoteProtocolError: a party sent something else than was due.
    """
    roles = Roles.of(place.roster, job)
    check_job(job, len(roles.feature_holders))
    layout = residual_layout(job, len(roles.feature_holders), place.key_bits)
    key = generate_paillier_key(place.key_bits)
    labels, scores = label_layout(place.key_bits), score_layout(job, place.key_bits)
    residual_key, label_key, score_key = (VectorKey(key, one) for one in (layout, labels, scores))
    publics = frame(residual_key.public, label_key.public, score_key.public)
    yield Exchange(dict.fromkeys(roles.record_holders, publics), messages.PUBLIC_KEY)  # 1
    yield from stand_by(job.label_holder)  # 2
    yield Exchange({}, messages.EPOCHS_DONE)
    received = yield Exchange({}, messages.BEGIN)  # 3
    begin = messages.Begin.from_bytes(only(received, job.label_holder), job.label_holder)
    if job.inputs == "woe":
        yield from answer_questions((label_key,), roles.feature_holders)  # 4
    epoch = _checked(begin, job)
    going = begin.batches > 0 and epoch < job.epochs
    while going:
        for _ in range(begin.batches):
            for _ in roles.feature_holders:
                yield Exchange({}, messages.SCORES)
            yield Exchange({}, messages.RESIDUALS)
            yield from answer_questions((residual_key, score_key), roles.record_holders)  # 5
        epoch += 1
        yield Exchange({}, messages.LOSS)
        received = yield Exchange({}, messages.VERDICT)
        going = messages.goes_on(only(received, job.label_holder), job.label_holder) and epoch < job.epochs  # 6
    yield Exchange({}, messages.PARTS)
    received = yield Exchange({}, messages.RELEASED)
    sha256 = only(received, job.label_holder).hex()
    yield Witness(sha256)  # 7
    return CoordinatorOutcome(sha256)


def _checked(begin: messages.Begin, job: VerticalLogistic) -> int:
    """The epoch that the descent goes on from."""
    if begin.epoch > job.epochs:
        raise RemoteProtocolError(
            f"{job.label_holder} goes on from epoch {begin.epoch} of {job.epochs}; its operator must act"
        )
    return begin.epoch
