"""Targets that read a finished model from a file: the compact form of trees, and what the target of transfer learning keeps."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from riskfed.errors import RegistryError
from riskfed.jobs import HorizontalXgboost
from riskfed.linear.rank_inputs import KNOTS, width_for
from riskfed.linear.transfer_model import TransferModel, TransferScorer
from riskfed.schema import Feature, Schema
from riskfed.trees.booster_json import booster_json
from riskfed.trees.compact import DIGEST_BYTES, HEADER, CompactBooster
from riskfed.trees.level_order import LevelOrder, trees_of
from riskfed.trees.tree import Tree
from tests.fuzz.harness import Target, simply
from tests.fuzz.mutator import Mutator

SCHEMA = Schema(target="y", features=(Feature(name="x"), Feature(name="g", encoding="onehot", levels=("a", "b"))))


def _filled(tree: Tree) -> Tree:
    """With zeros for what the level order does not have, which JSON cannot hold."""
    zeros = np.zeros(tree.n_nodes, dtype=np.float32)
    links = tree.left_children, tree.right_children, tree.parents, tree.split_indices
    return Tree(*links, tree.split_conditions, tree.default_left, zeros, zeros, zeros)


def compact_models() -> list[bytes]:
    """Without trees, and with two trees and a leaf."""
    forest = LevelOrder(
        np.array([True, True, False, False, False, True, False, False, False]),
        np.array([0, 2, 1]),
        np.array([0.5, -1.0, 3.0], dtype=np.float32),
        np.array([True, False, True]),
        np.arange(6, dtype=np.float32) / 8,
    )
    return [
        CompactBooster.of(
            booster_json([_filled(tree) for tree in trees], SCHEMA.columns, HorizontalXgboost(), 0.2), SCHEMA
        ).to_bytes()
        for trees in ([], trees_of(forest))
    ]


COMPACT = compact_models()


def compact_like(mutator: Mutator) -> bytes:
    """A file that was damaged; or, mostly, one whose header or body was changed and which has a right sha256."""
    if mutator.random.random() < 0.2:
        return mutator.bytes_like(COMPACT)
    data = mutator.choice(COMPACT)
    header, body = data[: HEADER.size], zlib.decompress(data[HEADER.size : -DIGEST_BYTES])
    if mutator.random.random() < 0.3:
        header = mutator.bytes_like([header])
    else:
        body = mutator.bytes_like([body])
    return header + zlib.compress(body, 1) + hashlib.sha256(header + body).digest()


def check_compact(data: bytes) -> None:
    """What is taken scores, also through its trees, and is the same after it was written again."""
    model = CompactBooster.from_bytes(data)
    rows = np.array([[0.5, 1, 0], [np.nan, np.nan, np.nan]], dtype=np.float32)
    margins = model.margins(rows)
    again = CompactBooster.from_bytes(model.to_bytes())
    assert again.margins(rows).tobytes() == margins.tobytes()
    assert again.to_bytes() == model.to_bytes()
    assert sum(tree.n_nodes for tree in model.trees) == len(model.forest.is_split)


TRANSFER = TransferModel(
    columns=("x", "z"),
    knots=(tuple(float(knot) for knot in range(KNOTS)),) * 2,
    weights=((0.25, -0.5),) * width_for(2),
    direction=(0.5, -0.25),
    intercept=-1.0,
    slope=2.0,
    base_rate=0.2,
).to_bytes()
TRANSFER_SCHEMA = Schema(target="y", features=(Feature(name="x"), Feature(name="z")))


def check_transfer(data: bytes) -> None:
    model = TransferModel.from_bytes(data)
    assert TransferModel.from_bytes(model.to_bytes()) == model
    try:
        scorer = TransferScorer(model, TRANSFER_SCHEMA)
    except RegistryError:
        return
    with np.errstate(all="ignore"):
        assert scorer.margins(np.zeros((2, 2), dtype=np.float32)).shape == (2,)


MODELS = [
    Target("CompactBooster.from_bytes", 3_000, simply(compact_like, check_compact)),
    Target("TransferModel.from_bytes", 1_500, simply(lambda mutator: mutator.json_like([TRANSFER]), check_transfer)),
]
