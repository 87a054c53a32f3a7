"""Models as xgboost's JSON: written without xgboost, read with suspicion."""

import json
import subprocess
import sys

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import RegistryError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.tree import Tree
from tests.trees.parties import classification, grow, growers, quantile_cuts

JOB = HorizontalXgboost(n_estimators=3, max_depth=3)
DATA = classification(300, 4)
CUTS = quantile_cuts(DATA.matrix)


def grown(job=JOB) -> list[Tree]:
    (party,) = growers([DATA], CUTS, job)
    grow([party], job.n_estimators)
    return party.trees


def reloaded(model: bytes) -> bytes:
    """The bytes after one load and save in xgboost."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(model))
    return bytes(booster.save_raw("json"))


def leaf(value: float) -> Tree:
    """A tree of one leaf."""
    integers, floats = np.zeros(1, np.int32), np.zeros(1, np.float32)
    values = np.array([value], np.float32)
    root = np.array([2147483647], np.int32)
    return Tree(integers - 1, integers - 1, root, integers, values, integers.astype(np.uint8), values, floats, floats)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=40))
def test_every_float_is_written_as_xgboost_writes_it(values):
    model = booster_json([leaf(value) for value in values], ["f0"], JOB, 0.25)
    assert reloaded(model) == model


def test_powers_of_two_and_ten_are_written_as_xgboost_writes_them():
    """The neighbours of a power of two lie at unequal distances: where shortest-decimal algorithms go wrong first."""
    values = np.concatenate([np.ldexp(np.float32(1), np.arange(-149, 128)), 10.0 ** np.arange(-44, 39)]).astype(
        np.float32
    )
    model = booster_json([leaf(value) for value in values], ["f0"], JOB, 0.25)
    assert reloaded(model) == model


@pytest.mark.parametrize("factor", [1, 3, 0.1, 1 / 3, 1234567.25, 1e-5, 1e20])
@pytest.mark.parametrize("prior", [None, 0.02])
def test_job_parameters_are_written_as_xgboost_writes_them(factor, prior):
    job = HorizontalXgboost(n_estimators=1, scale_pos_weight=factor, base_score=prior)
    model = booster_json([], ["f0"], job, 0.02)
    learner = json.loads(model)["learner"]
    assert learner["learner_model_param"]["boost_from_average"] == ("1" if prior is None else "0")
    matrix = xgboost.DMatrix(DATA.matrix, DATA.labels)
    theirs = xgboost.train({"objective": "binary:logistic", "scale_pos_weight": factor}, matrix, 1)
    assert learner["objective"] == json.loads(theirs.save_raw("json"))["learner"]["objective"]


def test_names_outside_ascii():
    model = booster_json(grown(), ['a "quoted" name', "prêt", "金额", "tab\\slash"], JOB, 0.3)
    assert parse_booster(model).feature_names == ('a "quoted" name', "prêt", "金额", "tab\\slash")
    assert parse_booster(reloaded(model)).feature_names == parse_booster(model).feature_names


def test_reading_is_the_inverse_of_writing():
    trees = grown()
    model = booster_json(trees, CUTS.feature_names, JOB, 0.3)
    parsed = parse_booster(model)
    assert parsed.base_score == np.float32(0.3)
    assert booster_json(parsed.trees, parsed.feature_names, JOB, parsed.base_score) == model
    for tree, original in zip(parsed.trees, trees, strict=True):
        np.testing.assert_array_equal(
            tree.with_bins(CUTS).split_bins[~tree.is_leaf], original.split_bins[~tree.is_leaf]
        )


def test_names_are_made_up_where_the_file_has_none():
    assert parse_booster(booster_json([], [], JOB, 0.5)).feature_names == ()
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(DATA.matrix, DATA.labels), 1)
    assert parse_booster(bytes(booster.save_raw("json"))).feature_names == ("f0", "f1", "f2", "f3")


def changed(path: list, value: object) -> bytes:
    """A sound model with one thing changed."""
    model = json.loads(booster_json(grown(), CUTS.feature_names, JOB, 0.3))
    place = model["learner"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(model).encode()


TREE = ["gradient_booster", "model", "trees", 0]


@pytest.mark.parametrize(
    "model",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"learner": 1}',
        changed(["objective", "name"], "reg:squarederror"),
        changed(["gradient_booster", "name"], "dart"),
        changed(["learner_model_param", "base_score"], "[1.5]"),
        changed(["learner_model_param", "base_score"], "[0.5,0.5]"),
        changed(["learner_model_param", "num_class"], "3"),
        changed(["learner_model_param", "num_feature"], "2"),
        changed(["gradient_booster", "model", "gbtree_model_param", "num_parallel_tree"], "2"),
        changed(["gradient_booster", "model", "gbtree_model_param", "num_trees"], "2"),
        changed([*TREE, "left_children"], [1]),
        changed([*TREE, "left_children", 0], 0),
        changed([*TREE, "left_children", 0], 10_000),
        changed([*TREE, "right_children", 0], 1),
        changed([*TREE, "right_children", 0], -1),
        changed([*TREE, "parents", 1], 2),
        changed([*TREE, "split_indices", 0], 4),
        changed([*TREE, "split_indices", 0], -1),
        changed([*TREE, "split_conditions", 0], float("nan")),
        changed([*TREE, "split_conditions", 0], 1e300),
        changed([*TREE, "split_type", 0], 1),
        changed([*TREE, "tree_param", "num_nodes"], "99"),
        changed([*TREE, "tree_param", "num_deleted"], "2"),
        changed(TREE, {}),
    ],
    ids=range(27),
)
def test_what_is_no_sound_model_is_refused(model):
    with pytest.raises(RegistryError):
        parse_booster(model)


def test_reading_and_scoring_need_neither_numba_nor_xgboost():
    code = (
        "import sys; from riskfed.trees import booster_json, cuts, predictor, tree; "
        "sys.exit(any(name in sys.modules for name in ('numba', 'xgboost', 'sklearn', 'flwr')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
