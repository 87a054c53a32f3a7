"""Drawn trees: their shape, that they follow from the seed alone, and their leaves against XGBoost's formula."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.jobs import HorizontalXgboost
from riskfed.schema import Feature, Schema
from riskfed.storage import MEMORY
from riskfed.trees.cuts import Cuts
from riskfed.trees.logit import margin_of
from riskfed.trees.noisy_grower import consistent, steadied
from riskfed.trees.random_trees import NoisySums, RandomTreeGrower, newton_weight, random_tree
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.tree import Tree
from riskfed.trees.workers import Workers

JOB = HorizontalXgboost(max_depth=3, learning_rate=0.5)


def cuts_of(*bins: int) -> Cuts:
    return Cuts(tuple(np.arange(1, n + 1, dtype=np.float32) for n in bins), np.zeros(len(bins), dtype=np.float32))


def paths(tree: Tree, cuts: Cuts) -> list[list[tuple[int, int]]]:
    """Of each leaf, the bins of each column that reach it."""
    reach = [[(0, int(n) - 1) for n in cuts.n_bins]]
    assert tree.split_bins is not None
    for node in range(1, tree.n_nodes):
        parent = tree.parents[node]
        own, column, last = list(reach[parent]), tree.split_indices[parent], int(tree.split_bins[parent])
        low, high = own[column]
        own[column] = (low, last) if tree.left_children[parent] == node else (last + 1, high)
        reach.append(own)
    return [reach[node] for node in np.flatnonzero(tree.is_leaf)]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 6), st.binary(max_size=8))
def test_every_leaf_can_be_reached(bins: list[int], depth: int, seed: bytes) -> None:
    cuts = cuts_of(*bins)
    tree = random_tree(cuts, [(column,) for column in range(len(bins))], depth, seed)
    leaves = paths(tree, cuts)
    assert all(low <= high for leaf in leaves for low, high in leaf)
    cells = sum(int(np.prod([high - low + 1 for low, high in leaf])) for leaf in leaves)
    assert cells == np.prod(bins)
    assert len(leaves) <= min(2**depth, int(np.prod(bins)))
    again = random_tree(cuts, [(column,) for column in range(len(bins))], depth, seed)
    assert (again.split_conditions == tree.split_conditions).all()
    assert (again.parents == tree.parents).all()


def test_features_are_drawn_alike_however_many_columns_they_have() -> None:
    cuts, features = cuts_of(2, 2, 2, 9), [(0, 1, 2), (3,)]
    roots = [random_tree(cuts, features, 1, number.to_bytes(2, "big")) for number in range(600)]
    share = np.mean([tree.split_indices[0] == 3 for tree in roots])
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(600)
    assert {int(tree.split_conditions[0]) for tree in roots if tree.split_indices[0] == 3} == set(range(1, 9))


def test_without_noise_leaves_are_newton_steps() -> None:
    draw = np.random.default_rng(3)
    cuts, codes = cuts_of(5, 7), draw.integers(0, 5, (2, 400)).astype(np.uint8)
    labels = (draw.random(400) < 0.3).astype(np.float32)
    rows = TrainingRows(
        codes, labels, np.ones(400, np.float32), cuts, scale_pos_weight=1.0, margin=margin_of(0.3), storage=MEMORY, workers=Workers(1)
    )  # fmt: skip
    grower = RandomTreeGrower(rows, cuts, JOB, b"seed", 30, NoisySums(2.0**-30, 0.0))
    sums = grower.leaf_sums()
    tree = grower.end_tree(sums)
    leaf = tree.leaf_of(codes)
    for node in np.unique(leaf):
        own = labels[leaf == node]
        weight = -(0.3 - own).sum() / (0.21 * len(own) + JOB.reg_lambda)
        expected = weight * 0.5 if 0.21 * len(own) >= JOB.min_child_weight else 0.0
        assert tree.split_conditions[node] == np.float32(tree.base_weights[node])
        assert abs(tree.split_conditions[node] - expected) < 1e-5
    assert np.allclose(rows.margins, margin_of(0.3) + tree.split_conditions[leaf])
    assert np.isclose(tree.sum_hessian[0], 0.21 * 400, rtol=1e-4)


def test_noise_shrinks_light_leaves_most() -> None:
    exact, noisy = ([newton_weight(-h / 2, h, scale, JOB) for h in (2.0, 20.0, 2000.0)] for scale in (0.0, 20.0))
    shrinkage = [a / b for a, b in zip(noisy, exact, strict=True)]
    assert shrinkage == sorted(shrinkage)
    assert shrinkage[0] < 0.02
    assert shrinkage[-1] > 0.99
    assert newton_weight(5.0, -3.0, 1.0, JOB) == newton_weight(5.0, 0.5, 1.0, JOB) == 0.0


def test_consistent_histograms_add_up_and_keep_their_differences() -> None:
    features = (Feature(name="a", nullable=False), Feature(name="b"), Feature(name="c", nullable=False))
    schema = Schema(name="s", version="1", target="y", features=features)
    cuts = Cuts(cuts_of(4, 4, 4).values, np.zeros(3, np.float32), schema)
    draw = np.random.default_rng(1)
    before, sums = draw.integers(-50, 50, (5, 3, 4, 2)), draw.integers(-200, 200, (5, 2))
    found = consistent(before.reshape(5, -1), sums, cuts).reshape(before.shape)
    assert (found[:, [0, 2]].sum(axis=2) == sums[:, None]).all()
    assert (found[:, 1] == before[:, 1]).all()
    assert np.ptp((found - before)[:, [0, 2]], axis=2).max() <= 1


def test_a_steadied_job_asks_for_sides_that_outweigh_their_noise() -> None:
    steady = steadied(JOB, 30.0, 10.0, 16)
    assert (steady.min_child_weight, steady.reg_lambda) == (40.0, JOB.reg_lambda + 60.0)
    assert steadied(JOB, 0.0, 0.0, 16) == JOB
