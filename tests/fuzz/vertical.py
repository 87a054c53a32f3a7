"""Targets of vertical jobs: orders and answers, ciphertexts, points of an intersection, kept alignments, parts, leaf sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from riskfed.linear_model import ScorePart, VerticalLogisticModel
from riskfed.protocols.kept_alignment import Alignment
from riskfed.protocols.vertical.messages import (
    Choices,
    Finish,
    Gradients,
    Nodes,
    PartStatement,
    read_columns,
    read_decisions,
    read_order,
    write_columns,
    write_decisions,
)
from riskfed.schema import Feature, Schema
from riskfed.secure.gradient_cipher import CipherLayout, GradientOwner, GradientSummer
from riskfed.secure.paillier_key import generate_paillier_key
from riskfed.secure.private_set_intersection import IntersectionClient, IntersectionServer
from riskfed.trees.joint_search import Option, PartnerColumns
from riskfed.trees.leaf_sets import LeafMask
from riskfed.vertical_model import FeaturePart, SplitRule
from tests.fuzz.harness import Session, Target, simply
from tests.fuzz.mutator import Mutator
from tests.joint.linear_models import linear_parts

ROWS, DEVELOPMENT = 60, 48
LINEAR = linear_parts()
_NUMBERS = np.resize(np.array([-1, 0, 1, 1, 0], dtype=np.int16), ROWS)
ORDERS = [
    order.to_bytes()
    for order in (
        Gradients(bytes(16), b"ciphertexts"),
        Nodes(_NUMBERS[:DEVELOPMENT], 2),
        Choices(((Option(0, 3, False), Option(2, -1, True)), (Option(1, 0, False),)), _NUMBERS),
        Finish(3, (LeafMask(0, 3, 0, 1, 3), LeafMask(1, 2, 0, 1, 2))),
        Finish(0),
    )
]
DECISIONS = [write_decisions([1, 0], np.arange(ROWS) % 3 == 0), write_decisions([], np.zeros(0, dtype=bool))]
COLUMNS = [write_columns(PartnerColumns("payments", np.array([3, 1, 256]), np.array([0, 1, -1])))]
STATEMENTS = [PartStatement("0" * 32, "f" * 64).to_bytes()]
ALIGNMENTS = [Alignment(np.array([b"A1", b"B22", b"C"]), "0" * 64).to_bytes()]
PARTS = [
    FeaturePart(
        "payments",
        "0" * 32,
        Schema(target="y", features=(Feature(name="x"), Feature(name="z"))),
        (SplitRule("x", 0.5, True), SplitRule("z", -3.0, False)),
        "0" * 32,
        masks,
    ).to_bytes()
    for masks in ((), (LeafMask(0, 3, 0, 1, 3), LeafMask(0, 3, 1, 2, 3)))
]


def check_order(data: bytes) -> None:
    """Orders of whole bytes come back as they were."""
    order = read_order(data, ROWS, DEVELOPMENT, "lender")
    assert read_order(order.to_bytes(), ROWS, DEVELOPMENT, "lender").to_bytes() == order.to_bytes()


def check_decisions(data: bytes) -> None:
    chosen, right = read_decisions(data, 2, ROWS, "payments")
    assert write_decisions(chosen, right) == data


def check_part(data: bytes) -> None:
    part = FeaturePart.from_bytes(data)
    assert FeaturePart.from_bytes(part.to_bytes()).to_bytes() == part.to_bytes()
    part.answer(np.zeros(len(part.schema.columns), dtype=np.float32))


def check_score_part(data: bytes) -> None:
    part = ScorePart.from_bytes(data)
    assert ScorePart.from_bytes(part.to_bytes()).to_bytes() == part.to_bytes()
    assert len(part.answer(np.zeros(len(part.schema.columns), dtype=np.float32))) == 4


def check_linear_model(data: bytes) -> None:
    model = VerticalLogisticModel.from_bytes(data)
    assert VerticalLogisticModel.from_bytes(model.to_bytes()).to_bytes() == model.to_bytes()
    model.margins(np.zeros((1, len(model.columns)), dtype=np.float32))


def check_alignment(data: bytes) -> None:
    assert Alignment.from_bytes(data).to_bytes() == data


@contextmanager
def ciphertexts() -> Iterator[Session]:
    """A label holder's key and rows at a feature holder, and its answer at the label holder."""
    layout = CipherLayout(2048, 1 << 40, 1 << 38)
    owner = GradientOwner(generate_paillier_key(2048), layout)
    summer = GradientSummer(owner.public)
    rows = owner.encrypt(np.arange(-3, 3), np.arange(6))
    summer.take(rows, 6)
    codes = np.array([[0, 1, 0, 1, 255, 0]], dtype=np.uint8)
    nodes = [np.arange(6)]
    answer = summer.answer(nodes, codes, [2])
    feeds: dict[str, Callable[[bytes], Any]] = {
        "public": GradientSummer,
        "rows": lambda data: (summer.take(data, 6), summer.answer(nodes, codes, [2])),
        "answer": lambda data: owner.decrypt(data, 2),
    }
    seeds = {"public": [owner.public], "rows": [rows], "answer": [answer]}

    def make(mutator: Mutator) -> tuple[str, bytes]:
        what = mutator.choice(tuple(seeds))
        return what, mutator.bytes_like(seeds[what])

    yield make, lambda given: feeds[given[0]](given[1])


@contextmanager
def points() -> Iterator[Session]:
    """Messages of an intersection, at both sides."""
    client, server = IntersectionClient(), IntersectionServer()
    question = client.question(["a", "b", "c"])
    setup, response = server.setup(["b", "c", "d"]), server.response(question.request)
    feeds: dict[str, Callable[[bytes], Any]] = {
        "request": server.response,
        "setup": lambda data: question.members(data, response),
        "response": lambda data: question.members(setup, data),
    }
    seeds = {"request": [question.request], "setup": [setup], "response": [response]}

    def make(mutator: Mutator) -> tuple[str, bytes]:
        what = mutator.choice(tuple(seeds))
        return what, mutator.bytes_like(seeds[what])

    yield make, lambda given: feeds[given[0]](given[1])


def _like(seeds: list[bytes]) -> Callable[[Mutator], bytes]:
    return lambda mutator: mutator.bytes_like(seeds)


def _json_like(seeds: list[bytes]) -> Callable[[Mutator], bytes]:
    return lambda mutator: mutator.json_like(seeds)


VERTICAL = [
    Target("vertical.read_order", 8_000, simply(_like(ORDERS), check_order)),
    Target("vertical.read_decisions", 6_000, simply(_like(DECISIONS), check_decisions)),
    Target("vertical.read_columns", 4_000, simply(_json_like(COLUMNS), lambda data: read_columns(data, 3, "payments"))),
    Target(
        "vertical.PartStatement",
        4_000,
        simply(_json_like(STATEMENTS), lambda data: PartStatement.from_bytes(data, "payments")),
    ),
    Target("Alignment.from_bytes", 4_000, simply(_like(ALIGNMENTS), check_alignment)),
    Target("FeaturePart.from_bytes", 3_000, simply(_json_like(PARTS), check_part)),
    Target("ScorePart.from_bytes", 2_000, simply(_json_like([LINEAR.parts["payments"].to_bytes()]), check_score_part)),
    Target("VerticalLogisticModel", 2_000, simply(_json_like([LINEAR.model, LINEAR.fallback]), check_linear_model)),
    Target("gradient_cipher", 60, ciphertexts),
    Target("private_set_intersection", 1_500, points),
]
