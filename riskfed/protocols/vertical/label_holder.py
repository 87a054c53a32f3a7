"""Vertical XGBoost, the side of the party that has the labels, and the key.

    1  align: the common customers, in the common order
    2  in a later attempt of a run: the last tree that all parties have
    3  totals, cuts of its own columns, a key; feature holders say how many bins their columns have
    4  the first trees alone, if the job wants some (`VerticalXgboost.label_holder_trees`)
    5  every other tree: gradients go out encrypted; level by level, sums of its nodes come back, the best splits are found, those that
       are a feature holder's are made by it, and the rows move (`riskfed.trees.joint_grower`)
    6  after each tree the metric on the held-out rows -> early stopping
    7  the model, measured, with a fallback on its own columns; feature holders say id and sha256 of their parts
    8  the release

What it learns: the common customers, sums of its gradients by a feature holder's numbered columns and bins, and the way of each row at a
feature holder's split; no threshold, no value. What it tells: `riskfed.protocols.vertical.messages`. The server: sizes of messages, the
metric after each tree, and the release.

The trees are those of XGBoost on the joined table, to the last bit; where that ends: docs/vertical.md.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from riskfed.jobs import VerticalXgboost
from riskfed.protocols.early_stopping import Watch
from riskfed.protocols.program import Checkpoint, Exchange, Program, Progress, Release, run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.protocols.totals import Totals
from riskfed.protocols.vertical.aligned import AlignedRecords, check_schema, ids_of
from riskfed.protocols.vertical.exchange import OPENING, RELEASED, ask, received_of
from riskfed.protocols.vertical.finished import Finished, Trained
from riskfed.protocols.vertical.messages import (
    MARK_BYTES,
    Choices,
    Finish,
    Gradients,
    Nodes,
    PartStatement,
    read_columns,
    read_decisions,
)
from riskfed.protocols.vertical.outcome import LabelHolderOutcome
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical.resumption import GrownTree, Head, lead_back, read_journal
from riskfed.schema import Schema
from riskfed.secure.gradient_cipher import CipherLayout, GradientOwner
from riskfed.secure.paillier_key import generate_paillier_key
from riskfed.trees.joint_grower import NOWHERE, JointGrower
from riskfed.trees.joint_search import PartnerColumns
from riskfed.trees.joint_tree import JointTree
from riskfed.vertical_model import PartnerReference


def train(records: Records, schema: Schema, job: VerticalXgboost, place: Place) -> Program[LabelHolderOutcome]:
    """The label holder's side.

    Args:
        records: this party's, encoded by its part of the schema, with ids.
        schema: the joint one.
        job: what is trained.
        place: this party's in the run.

    Raises:
        JobError: the common records do not suit the job.
        ContractError: the records do not suit the schema or the alignment, or are not those that the run began with.
        PolicyError: the policy does not allow what the job needs.
        ProtectionError: the key is too short, or a feature holder's answer is none.
        RemoteProtocolError: a feature holder sent something else than was due.
    """
    check_schema(schema, job, place.roster)
    alignment = yield from place.align(ids_of(records), job)  # 1
    aligned = AlignedRecords.of(records, alignment, job)
    trained = _learnable(aligned, schema.part_of(place.me), job, place.threads)  # refuses before anything is sent
    head, trees = read_journal(place.journal or (), GrownTree.from_dict, records.digest(), alignment.digest)
    if place.journal is not None:
        trees = trees[: (yield from lead_back(trees, place.partners))]  # 2
    if head is None:
        yield Checkpoint(Head(records.digest(), alignment.digest).to_bytes())
    side = yield from _open(trained, schema, place)  # 3
    side.resume(trees)
    yield from side.boost()  # 4, 5, 6
    return (yield from _finish(side, place.partners))  # 7, 8


def _learnable(aligned: AlignedRecords, schema: Schema, job: VerticalXgboost, threads: int) -> Trained:
    development = aligned.development
    totals = Totals.for_trees(Totals.local(development, aligned.held_out), job)
    cuts = run_alone(shared_cuts(development, schema, job, threads))
    return Trained(aligned, schema, job, totals, cuts, aligned.codes(cuts, threads), threads)


def _open(trained: Trained, schema: Schema, place: Place) -> Program[_Side]:
    """Make a key, and exchange what is needed before the first tree."""
    job, aligned, partners = trained.job, trained.aligned, place.partners
    layout = CipherLayout(place.key_bits, *trained.bounds, job.rows_per_ciphertext)
    owner = GradientOwner(generate_paillier_key(place.key_bits), layout)
    received = yield Exchange(dict.fromkeys(partners, owner.public), OPENING)
    columns = [read_columns(received_of(received, name), len(schema.part_of(name).columns), name) for name in partners]
    grower = JointGrower(
        trained.codes,
        aligned.records.labels,
        aligned.records.weights,
        aligned.learned,
        trained.cuts,
        job,
        [job.monotone_constraints.get(column, 0) for column in trained.cuts.feature_names],
        columns,
        total_weight=trained.totals.weight,
        base_score=trained.base_score,
        storage=aligned.records.storage,
        threads=place.threads,
    )
    return _Side(trained, grower, owner, columns, trained.watch())


@dataclass(slots=True)
class _Side:
    """The label holder while trees grow."""

    trained: Trained
    grower: JointGrower
    owner: GradientOwner = field(repr=False)
    partners: Sequence[PartnerColumns]
    watch: Watch

    def resume(self, trees: Sequence[GrownTree]) -> None:
        """Take over trees of an earlier attempt."""
        self.grower.resume([tree.joint for tree in trees])
        for tree in trees:
            if self.watch.pooled_rows:
                self.watch.note(tree.figures)

    def boost(self) -> Program[None]:
        """Tree after tree, until there are enough or the metric has stopped improving."""
        job, grown = self.trained.job, self.grower.grown
        while len(grown) < job.n_estimators and not self.watch.should_stop:
            alone = len(grown) < job.label_holder_trees
            mark = b"" if alone else secrets.token_bytes(MARK_BYTES)
            tree = self._grow_alone() if alone else (yield from self._grow(mark))
            self.watch.margins = self.grower.margins[~self.trained.aligned.learned]
            figures = run_alone(self.watch.look())
            yield Progress(len(grown), figures)
            yield Checkpoint(GrownTree(mark.hex(), tree, figures).to_bytes(len(grown) - 1))

    def _grow_alone(self) -> JointTree:
        self.grower.begin_tree(alone=True)
        while self.grower.has_open_nodes():
            self.grower.search([])
            self.grower.descend()
        return self.grower.finish_tree()

    def _grow(self, mark: bytes) -> Program[JointTree]:
        grower = self.grower
        grower.begin_tree()
        gradients = grower.gradients()
        order = Gradients(mark, self.owner.encrypt(gradients[:, 0], gradients[:, 1])).to_bytes()
        nodes = 1
        while grower.has_open_nodes():
            yield from self._split(order, nodes)
            if grower.has_open_nodes():
                numbers = grower.asked()
                nodes = int(numbers.max()) + 1
                order = Nodes(numbers, nodes).to_bytes()
        return grower.finish_tree()

    def _split(self, order: bytes, nodes: int) -> Program[None]:
        """Grow the tree by one level: order the sums, find the splits, have them made."""
        grower = self.grower
        answers = yield from ask({partner.name: order for partner in self.partners})
        cells = [nodes * int(partner.n_bins.sum()) for partner in self.partners]
        offers = grower.search([self.owner.decrypt(*pair) for pair in zip(answers, cells, strict=True)])
        rows = [grower.rows_to_decide(partner) for partner in range(len(self.partners))]
        orders = {
            partner.name: Choices(tuple(offer.options for offer in some), numbers).to_bytes()
            for partner, some, numbers in zip(self.partners, offers, rows, strict=True)
        }
        answers = yield from ask(orders)
        for number, (partner, some, numbers) in enumerate(zip(self.partners, offers, rows, strict=True)):
            told = int(np.count_nonzero(numbers != NOWHERE))
            chosen, right = read_decisions(answers[number], len(some), told, partner.name)
            if some:
                grower.decide(number, chosen, right)
        grower.descend()


def _finish(side: _Side, partners: tuple[str, ...]) -> Program[LabelHolderOutcome]:
    """Make the model, have it completed by the feature holders, and release it."""
    trained, job = side.trained, side.trained.job
    finished = Finished(trained, side.watch.keep(side.grower.grown), partners)
    orders = {name: Finish(finished.splits[name], finished.masks(name)).to_bytes() for name in partners}
    stated = yield from ask(orders)
    parts = [PartStatement.from_bytes(data, name) for name, data in zip(partners, stated, strict=True)]
    references = tuple(
        PartnerReference(
            party=name, part_id=part.part_id, sha256=part.sha256, splits=finished.splits[name], answers=job.answers
        )
        for name, part in zip(partners, parts, strict=True)
    )
    full = finished.release(side.watch.history, references, side.grower.bits)
    release = finished.in_form(full)
    content = release.to_bytes()
    digest = hashlib.sha256(content).digest()
    yield Exchange(dict.fromkeys(partners, digest), RELEASED)
    yield Release(content)
    return LabelHolderOutcome(release, full, trained.cuts, trained.base_score, len(trained.aligned))
