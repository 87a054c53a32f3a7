"""TreeSHAP without xgboost: xgboost's own values, and the definition's."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.errors import ConfigurationError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees import contributions as module
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.contributions import Contributions
from riskfed.trees.logit import margin_of
from riskfed.trees.predictor import Predictor
from riskfed.trees.reduced import reduced
from riskfed.trees.tree import NO_CHILD, NO_PARENT, Tree

N_COLUMNS = 4


@pytest.fixture(scope="module")
def taiwan():
    """5,000 accounts, a tenth of the values missing."""
    frame = load_taiwan().iloc[:5000]
    matrix = taiwan_schema().encode(frame)
    matrix[np.random.default_rng(0).random(matrix.shape) < 0.1] = np.nan
    return matrix, frame["default"].to_numpy()


def trained(taiwan, rounds, **parameters):
    matrix = xgboost.DMatrix(*taiwan)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1} | parameters, matrix, rounds)
    return booster, parse_booster(bytes(booster.save_raw("json")))


def theirs(booster, matrix):
    return booster.predict(xgboost.DMatrix(matrix), pred_contribs=True, validate_features=False)


def as_booster(trees, base_score=0.2, n_columns=N_COLUMNS):
    names = [f"f{column}" for column in range(n_columns)]
    model = booster_json(trees, names, HorizontalXgboost(base_score=base_score), base_score)
    return xgboost.Booster(model_file=bytearray(model))


def random_tree(rng, depth, *, no_cover=0.0):
    """A tree with few columns and thresholds, so that paths have them often. `no_cover`: share of leaves without any."""
    left, right, parents, level = [NO_CHILD], [NO_CHILD], [NO_PARENT], [0]
    for node in range(depth and 2 ** (depth + 1)):
        if node < len(left) and level[node] < depth and rng.random() < 0.8:
            left[node], right[node] = len(left), len(left) + 1
            left, right = left + [NO_CHILD] * 2, right + [NO_CHILD] * 2
            parents, level = parents + [node] * 2, level + [level[node] + 1] * 2
    n_nodes = len(left)
    is_leaf = np.array(left) == NO_CHILD
    covers = np.where(is_leaf, rng.integers(1, 100, n_nodes) * (rng.random(n_nodes) >= no_cover), 0).astype(np.float32)
    for node in range(n_nodes - 1, 0, -1):
        covers[parents[node]] += covers[node]
    numbers = rng.normal(size=n_nodes).astype(np.float32)
    return Tree(
        left_children=np.array(left, dtype=np.int32),
        right_children=np.array(right, dtype=np.int32),
        parents=np.array(parents, dtype=np.int32),
        split_indices=np.where(is_leaf, 0, rng.integers(0, N_COLUMNS, n_nodes)).astype(np.int32),
        split_conditions=np.where(is_leaf, numbers, rng.integers(-2, 3, n_nodes)).astype(np.float32),
        default_left=rng.integers(0, 2, n_nodes).astype(np.uint8),
        base_weights=np.where(is_leaf, numbers, 0).astype(np.float32),
        loss_changes=np.zeros(n_nodes, dtype=np.float32),
        sum_hessian=covers,
    )


def random_rows(rng, n):
    return rng.choice([-3, -2, -1, 0, 1, 2, 3, np.nan], (n, N_COLUMNS)).astype(np.float32)


def known_only(tree, row, known, node=0):
    """What a tree predicts when only some columns are known: algorithm 1 of Lundberg et al. 2020, by recursion."""
    if tree.left_children[node] == NO_CHILD:
        return float(tree.split_conditions[node])
    left, right = int(tree.left_children[node]), int(tree.right_children[node])
    value = row[tree.split_indices[node]]
    if tree.split_indices[node] in known:
        goes_left = tree.default_left[node] if np.isnan(value) else value < tree.split_conditions[node]
        return known_only(tree, row, known, left if goes_left else right)
    covers = [float(tree.sum_hessian[child]) for child in (left, right)]
    share = covers[0] / sum(covers) if sum(covers) else 0.5
    return share * known_only(tree, row, known, left) + (1 - share) * known_only(tree, row, known, right)


def by_definition(tree, row):
    """Shapley values over all coalitions, and the expected value."""
    values = np.zeros(N_COLUMNS + 1)
    for column in range(N_COLUMNS):
        others = [other for other in range(N_COLUMNS) if other != column]
        for size in range(N_COLUMNS):
            weight = math.factorial(size) * math.factorial(N_COLUMNS - size - 1) / math.factorial(N_COLUMNS)
            for known in combinations(others, size):
                gain = known_only(tree, row, {*known, column}) - known_only(tree, row, set(known))
                values[column] += weight * gain
    values[-1] = known_only(tree, row, set())
    return values


@pytest.mark.parametrize(
    ("rounds", "parameters"),
    [
        (50, {"max_depth": 4}),
        (20, {}),
        (60, {"max_depth": 1}),
        (4, {"max_depth": 12, "min_child_weight": 0}),
        (5, {"grow_policy": "lossguide", "max_leaves": 30, "max_depth": 0}),
        (20, {"max_depth": 3, "gamma": 10, "base_score": 0.01}),
        (3, {"gamma": 1e9}),
    ],
    ids=str,
)
def test_values_are_xgboosts(taiwan, rounds, parameters):
    booster, parsed = trained(taiwan, rounds, **parameters)
    rows = taiwan[0][:400]
    ours = Contributions(parsed.trees, parsed.base_score, rows.shape[1]).of(rows)
    np.testing.assert_allclose(ours, theirs(booster, rows), atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        ours.sum(axis=1), Predictor(parsed.trees, parsed.base_score).margins(rows), atol=1e-5, rtol=0
    )


def test_a_reduced_model_has_xgboosts_values_for_its_own_covers(taiwan):
    _, parsed = trained(taiwan, 30, max_depth=4)
    rows = taiwan[0][:400]
    trees = [reduced(tree) for tree in parsed.trees]
    ours = Contributions(trees, parsed.base_score, rows.shape[1]).of(rows)
    booster = as_booster(trees, parsed.base_score, rows.shape[1])
    np.testing.assert_allclose(ours, theirs(booster, rows), atol=1e-5, rtol=0)
    whole = Contributions(parsed.trees, parsed.base_score, rows.shape[1]).of(rows)
    assert 1e-5 < np.abs(ours - whole).max() < 0.01
    np.testing.assert_allclose(ours.sum(axis=1), whole.sum(axis=1), atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(0, 7), st.sampled_from([0.0, 0.4]))
def test_values_are_the_definitions(seed, depth, no_cover):
    """Columns that come back on a path, thresholds themselves, missing values, branches without any cover."""
    rng = np.random.default_rng(seed)
    tree = random_tree(rng, depth, no_cover=no_cover)
    rows = random_rows(rng, 3)
    expected = [by_definition(tree, row) for row in rows]
    np.testing.assert_allclose(Contributions([tree], 0.5, N_COLUMNS).of(rows), expected, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 10), max_size=5))
def test_values_of_any_trees_are_xgboosts(seed, depths):
    rng = np.random.default_rng(seed)
    trees = [random_tree(rng, depth) for depth in depths]
    rows = random_rows(rng, 20)
    ours = Contributions(trees, 0.2, N_COLUMNS).of(rows)
    np.testing.assert_allclose(ours, theirs(as_booster(trees), rows), atol=1e-5, rtol=0)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_tables_hold_what_is_worked_out_without_them(seed, depth):
    rng = np.random.default_rng(seed)
    trees = [random_tree(rng, depth) for _ in range(3)]
    rows = random_rows(rng, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TABLE_ENTRIES", 0)
        patch.setattr(module, "_CELLS_OF_DEEP", 50)  # a few rows at once
        without = Contributions(trees, 0.2, N_COLUMNS).of(rows)
    np.testing.assert_allclose(Contributions(trees, 0.2, N_COLUMNS).of(rows), without, atol=1e-13)


def test_one_split_by_hand():
    """Three quarters of the cover at the left, which gives 1; the right gives -3. Expected: 0."""
    stump = Tree(
        left_children=np.array([1, -1, -1], dtype=np.int32),
        right_children=np.array([2, -1, -1], dtype=np.int32),
        parents=np.array([NO_PARENT, 0, 0], dtype=np.int32),
        split_indices=np.array([1, 0, 0], dtype=np.int32),
        split_conditions=np.array([5, 1, -3], dtype=np.float32),
        default_left=np.array([0, 0, 0], dtype=np.uint8),
        base_weights=np.zeros(3, dtype=np.float32),
        loss_changes=np.zeros(3, dtype=np.float32),
        sum_hessian=np.array([8, 6, 2], dtype=np.float32),
    )
    values = Contributions([stump], 0.5, 2).of([[0, 4], [0, 5], [0, np.nan]])
    np.testing.assert_array_equal(values, [[0, 1, 0], [0, -3, 0], [0, -3, 0]])


def test_one_row_is_explained_as_among_many(taiwan):
    """To the last bit, so that a reason does not depend on who else was scored; tables and deep forks, several chunks."""
    _, parsed = trained(taiwan, 10, max_depth=9)
    rows = np.tile(taiwan[0][:300], (2, 1))
    explainer = Contributions(parsed.trees, parsed.base_score, rows.shape[1])
    many = explainer.of(rows)
    with ThreadPoolExecutor(2) as threads:
        alone = list(threads.map(lambda i: explainer.of(rows[i : i + 1]), range(30)))
    np.testing.assert_array_equal(many[:30], np.concatenate(alone))
    np.testing.assert_array_equal(many[:300], many[300:])


def test_no_rows_and_no_trees(taiwan):
    _, parsed = trained(taiwan, 2)
    assert Contributions(parsed.trees, parsed.base_score, 23).of(taiwan[0][:0]).shape == (0, 24)
    none = Contributions([], 0.2, 2)
    assert none.expected_margin == margin_of(0.2)
    np.testing.assert_array_equal(none.of(np.zeros((1, 2))), [[0, 0, none.expected_margin]])


def test_other_widths_are_refused(taiwan):
    _, parsed = trained(taiwan, 2)
    explainer = Contributions(parsed.trees, parsed.base_score, 23)
    for wrong in (taiwan[0][0], taiwan[0][:, :22], np.zeros((1, 24))):
        with pytest.raises(ConfigurationError, match="expected \\(n, 23\\)"):
            explainer.of(wrong)
    with pytest.raises(ConfigurationError, match="split on column"):
        Contributions(parsed.trees, parsed.base_score, 3)


def test_neither_numba_nor_xgboost_is_needed():
    script = "import sys, riskfed.trees.contributions; sys.exit(bool({'numba', 'xgboost'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
