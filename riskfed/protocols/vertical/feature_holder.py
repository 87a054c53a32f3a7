"""Vertical XGBoost, the side of a party that has columns and no labels.

    1  align: the common customers, in the common order
    2  in a later attempt of a run: the last tree that all parties have
    3  bin its own columns, and tell the label holder how many bins each has, under a secret order
    4  obey orders (`riskfed.protocols.vertical.messages`): sum encrypted gradients by node, column and bin; choose among
       equally good splits; sort rows by its own splits
    5  at the end, put its splits together to its part, and agree to the release by its sha256

What it learns: the common customers, which of them are in which node of a tree, and its own splits. What the label holder learns of
it: sums of gradients by numbered column and bin, the way of each row at each of its splits, and no threshold. The server: sizes.

It answers for no node with fewer rows than job and policy say. `VerticalXgboost.least_node` says how ``min_child_weight`` sees to it that
an honest label holder never asks for one.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from riskfed.errors import PolicyError, RemoteProtocolError
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.program import Checkpoint, Exchange, Program, Witness
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.aligned import AlignedRecords, check_schema, ids_of
from riskfed.protocols.vertical.exchange import OPENING, RELEASED, answer, next_order, only
from riskfed.protocols.vertical.hidden_columns import HiddenColumns, shuffled
from riskfed.protocols.vertical.messages import (
    Choices,
    Finish,
    Gradients,
    Nodes,
    PartStatement,
    read_order,
    write_columns,
    write_decisions,
)
from riskfed.protocols.vertical.outcome import FeatureHolderOutcome
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical.resumption import Head, MadeSplits, follow_back, read_journal
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.schema import Schema
from riskfed.secure.gradient_cipher import GradientSummer
from riskfed.trees.joint_grower import NOWHERE
from riskfed.trees.joint_search import Option
from riskfed.vertical_model import FeaturePart

_SALT_BYTES: Final = 16


def train(records: Records, schema: Schema, job: VerticalXgboost, place: Place) -> Program[FeatureHolderOutcome]:
    """A feature holder's side.

    Args:
        records: this party's, encoded by its part of the schema, with ids.
        schema: the joint one.
        job: what is trained.
        place: this party's in the run.

    Raises:
        ContractError: the records do not suit the schema or the alignment, or are not those that the run began with.
        PolicyError: the job, or an order, asks for more than the policy gives.
        ProtectionError: the label holder's key or ciphertexts are not sound.
        RemoteProtocolError: the label holder sent something else than was due.
    """
    check_schema(schema, job, place.roster)
    least_node, leader = _least_node(job, place.rules), job.label_holder
    alignment = yield from place.align(ids_of(records), job)  # 1
    aligned = AlignedRecords.of(records, alignment, job)
    head, trees = read_journal(place.journal or (), MadeSplits.from_dict, records.digest(), alignment.digest)
    if place.journal is not None:
        trees = yield from follow_back(trees, leader)  # 2
    own, least_bin = schema.part_of(place.me), max(job.least_bin, place.rules.least_bin)
    if head is None:
        order = shuffled(len(own.columns))
        head = Head(records.digest(), alignment.digest, order, secrets.token_hex(_SALT_BYTES))
        yield Checkpoint(head.to_bytes())
    columns = HiddenColumns.of(aligned, own, job, head.order, least_bin=least_bin, threads=place.threads)  # 3
    received = yield Exchange({leader: write_columns(columns.told(place.me, job))}, OPENING)
    summer = GradientSummer(only(received, leader), least_key_bits=place.rules.least_key_bits)
    side = _Side(leader, columns, summer, least_node, trees, job.n_estimators - job.label_holder_trees, job.max_depth)
    finish = yield from side.obey()  # 4
    part = side.part(place.me, own, head.salt, finish)
    yield from answer(leader, PartStatement(part.part_id, part.sha256).to_bytes())
    received = yield Exchange({}, RELEASED)  # 5
    sha256 = only(received, leader).hex()
    yield Witness(sha256)
    return FeatureHolderOutcome(part, columns.cuts, sha256, len(aligned), columns.left_out)


def _least_node(job: VerticalXgboost, rules: VerticalRules) -> int:
    least = max(job.least_node, rules.least_node)
    if least > 1 and job.rows_of_smallest_node < least:
        raise PolicyError(
            f"policy rule min_node: this party answers for nodes of {least} rows and more; a min_child_weight of "
            f"{job.min_child_weight:g} only guarantees {job.rows_of_smallest_node:g}; the job needs a higher one",
            "min_node",
        )
    return least


@dataclass(slots=True)
class _Side:
    """A feature holder between orders."""

    label_holder: str
    columns: HiddenColumns
    summer: GradientSummer = field(repr=False)
    least_node: int
    trees: list[MadeSplits]
    """All of them, the one that grows included."""
    most_trees: int
    most_levels: int
    growing: bool = False
    levels: int = 0
    """Of the tree that grows, those whose sums were answered."""

    def obey(self) -> Program[Finish]:
        """Do what is ordered until the model is complete."""
        learned = self.columns.learned
        while True:
            data = yield from next_order(self.label_holder)
            match read_order(data, len(learned), int(learned.sum()), self.label_holder):
                case Gradients() as order:
                    yield from answer(self.label_holder, self._begin_tree(order))
                case Nodes() as order:
                    yield from answer(self.label_holder, self._sums(order.numbers, order.nodes))
                case Choices() as order:
                    decided = self._decide(order)
                    yield Checkpoint(self.trees[-1].to_bytes(len(self.trees) - 1))
                    yield from answer(self.label_holder, decided)
                case Finish() as order:
                    return order

    def _begin_tree(self, order: Gradients) -> bytes:
        if len(self.trees) >= self.most_trees:
            raise RemoteProtocolError(
                f"{self.label_holder} ordered more than the job's {self.most_trees} joint trees; its operator must act"
            )
        rows = self.columns.development_codes.shape[1]
        self.summer.take(order.ciphertexts, rows)
        self.trees.append(MadeSplits(order.mark.hex(), ()))
        self.growing, self.levels = True, 0
        return self._sums(np.zeros(rows, dtype=np.int16), 1)

    def _sums(self, numbers: np.ndarray, nodes: int) -> bytes:
        self._expect_tree()
        if self.levels >= self.most_levels:
            raise RemoteProtocolError(
                f"{self.label_holder} ordered more than the job's {self.most_levels} levels of a tree; its operator must act"
            )
        self.levels += 1
        rows = [np.flatnonzero(numbers == node) for node in range(nodes)]
        if min(map(len, rows), default=self.least_node) < self.least_node:
            raise PolicyError(
                f"policy rule min_node: {self.label_holder} asked for the sums of a node with too few rows; this party answers for "
                f"{self.least_node} and more; the label holder must act",
                "min_node",
            )
        return self.summer.answer(rows, self.columns.development_codes, self.columns.n_bins)

    def _decide(self, order: Choices) -> bytes:
        self._expect_tree()
        chosen = [self.columns.first_of(options, self.label_holder) for options in order.options]
        made = [options[at] for options, at in zip(order.options, chosen, strict=True)]
        right = np.zeros(len(order.numbers), dtype=bool)
        for node, option in enumerate(made):
            rows = np.flatnonzero(order.numbers == node)
            right[rows] = self.columns.goes_right(option, rows)
        tree = self.trees[-1]
        self.trees[-1] = MadeSplits(tree.mark, (*tree.options, *made))
        return write_decisions(chosen, right[order.numbers != NOWHERE])

    def _expect_tree(self) -> None:
        if not self.growing:
            raise RemoteProtocolError(
                f"{self.label_holder} ordered something before any gradients; its operator must act"
            )

    def part(self, me: str, schema: Schema, salt: str, finish: Finish) -> FeaturePart:
        """This party's part of the model."""
        options: list[Option] = [option for tree in self.trees for option in tree.options]
        if finish.splits > len(options) or (finish.masks and len(finish.masks) != finish.splits):
            raise RemoteProtocolError(
                f"{self.label_holder} keeps {finish.splits} splits of {len(options)} that were made; its operator must act"
            )
        kept = tuple(self.columns.rule(option) for option in options[: finish.splits])
        # The salt stays the same in all attempts of a run, so the part does too; the id does not tell it.
        part_id = hashlib.sha256(b"riskfed part id" + bytes.fromhex(salt)).hexdigest()[:32]
        return FeaturePart(me, part_id, schema, kept, salt, finish.masks)
