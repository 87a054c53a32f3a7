"""Scoring without xgboost: xgboost's own margins, bit for bit."""

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.logit import margin_of, sigmoid
from riskfed.trees.predictor import Predictor
from tests.trees.parties import classification


def both(rows=1000, missing=0.1, rounds=30, **parameters):
    data = classification(rows, missing=missing)
    matrix = xgboost.DMatrix(data.matrix, data.labels)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1} | parameters, matrix, rounds)
    parsed = parse_booster(bytes(booster.save_raw("json")))
    return booster, Predictor(parsed.trees, parsed.base_score), data


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"max_depth": 1},
        {"max_depth": 12, "min_child_weight": 0},
        {"tree_method": "approx", "gamma": 2},
        {"grow_policy": "lossguide", "max_leaves": 20, "max_depth": 0},
        {"base_score": 0.01},
        {"gamma": 1e9},
    ],
    ids=str,
)
def test_margins_are_xgboosts(parameters):
    """Any gbtree will do, grown leaf by leaf for one: not only what a federation grows."""
    booster, predictor, data = both(**parameters)
    matrix = xgboost.DMatrix(data.matrix)
    np.testing.assert_array_equal(predictor.margins(data.matrix), booster.predict(matrix, output_margin=True))
    np.testing.assert_array_equal(predictor.pd(data.matrix), booster.predict(matrix))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_thresholds_themselves_and_the_largest_numbers(seed):
    booster, predictor, data = both(rows=200, rounds=5)
    thresholds = np.concatenate(
        [tree.split_conditions for tree in parse_booster(bytes(booster.save_raw("json"))).trees]
    )
    rng = np.random.default_rng(seed)
    special = np.concatenate([thresholds, [0, -0.0, 3e38, -3e38, np.nan]]).astype(np.float32)
    matrix = rng.choice(special, (100, data.matrix.shape[1]))
    theirs = booster.predict(xgboost.DMatrix(matrix), output_margin=True)
    np.testing.assert_array_equal(predictor.margins(matrix), theirs)


def test_one_row_scores_as_among_many():
    _, predictor, data = both(rounds=150)
    many = predictor.margins(data.matrix)
    alone = [predictor.margins(data.matrix[i : i + 1]) for i in range(20)]
    np.testing.assert_array_equal(many[:20], np.concatenate(alone))
    ways = [predictor.margin_of_way(predictor.goes_right(row)) for row in data.matrix[:20]]
    np.testing.assert_array_equal(many[:20], ways)


def test_many_rows_in_chunks():
    booster, predictor, data = both(rounds=40)
    matrix = np.tile(data.matrix, (26, 1))[:25_003]  # the last chunk does not fill its last byte of bits
    np.testing.assert_array_equal(
        predictor.margins(matrix), booster.predict(xgboost.DMatrix(matrix), output_margin=True)
    )


def test_no_rows_and_no_trees():
    _, predictor, data = both(rounds=2)
    assert predictor.margins(data.matrix[:0]).shape == (0,)
    np.testing.assert_array_equal(Predictor([], 0.2).margins(data.matrix[:3]), np.full(3, margin_of(0.2)))


def test_other_shapes_are_refused():
    _, predictor, data = both(rounds=20)
    for wrong in (data.matrix[0], data.matrix[:, :2]):
        with pytest.raises(ConfigurationError, match="at least 8"):
            predictor.margins(wrong)


def test_pds_of_a_million_margins_are_xgboosts():
    rng = np.random.default_rng(0)
    margins = np.concatenate([rng.normal(0, 3, 900_000), rng.uniform(-110, 110, 100_000)]).astype(np.float32)
    ones = np.ones((2, 1), dtype=np.float32)
    parameters = {"objective": "binary:logistic", "base_score": 0.5}
    booster = xgboost.train(parameters, xgboost.DMatrix(ones, [0, 1]), 0)
    matrix = xgboost.DMatrix(np.zeros((len(margins), 1), dtype=np.float32), base_margin=margins)
    np.testing.assert_array_equal(sigmoid(margins), booster.predict(matrix))
