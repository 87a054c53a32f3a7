"""Plain xgboost with given cuts: it must have taken them exactly, or say so."""

import json

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.cuts import Cuts
from riskfed.trees.reference import cuts_of, identical_trees, train_pooled, with_last_cuts_of_xgboost
from tests.trees.parties import classification, quantile_cuts

JOB = HorizontalXgboost(n_estimators=3)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 256), st.sampled_from([1e-20, 1e-5, 1.0, 1e9]))
def test_xgboost_splits_at_no_other_thresholds(seed, max_bin, scale):
    rng = np.random.default_rng(seed)
    matrix = (rng.normal(size=(300, 3)) * scale).astype(np.float32)
    matrix[:, 1] = np.round(matrix[:, 1] / scale)
    cuts = quantile_cuts(matrix, max_bin)
    booster = train_pooled(matrix, rng.random(300) < 0.4, None, cuts, JOB)
    for tree in json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]:
        for feature, threshold, child in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        ):
            assert child == -1 or np.float32(threshold) in cuts.values[feature]


def test_cuts_that_xgboost_cannot_take_are_refused():
    """The last cut has to follow from the one before, and the minimum from a value below the first, by xgboost's own rule."""
    data = classification(300)
    theirs = cuts_of(xgboost.QuantileDMatrix(data.matrix, max_bin=16))
    with pytest.raises(ConfigurationError, match="cannot be given the cuts of f0"):
        train_pooled(*data, theirs, JOB)
    positive = quantile_cuts(np.abs(data.matrix))
    above_zero = Cuts(positive.values, np.array([cuts[0] / 2 for cuts in positive.values]))
    with pytest.raises(ConfigurationError, match="cannot be given the cuts of f0"):
        train_pooled(*data, above_zero, JOB)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_cuts_of_which_some_were_left_out_can_be_given(seed, fewer):
    """With the trees that come of binning by them: here, of binning by all cuts and taking what falls between two as one value."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(300, 2)).astype(np.float32)
    labels = rng.random(300) < 1 / (1 + np.exp(-matrix[:, 0]))
    fine = quantile_cuts(matrix, 16)
    kept = [
        np.sort(rng.choice(len(points) - 1, max(0, len(points) - 1 - fewer), replace=False)) for points in fine.values
    ]
    coarse = Cuts(
        tuple(points[np.append(inner, len(points) - 1)] for points, inner in zip(fine.values, kept, strict=True)),
        fine.min_values,
    )
    given_cuts = with_last_cuts_of_xgboost(coarse)
    for points, expected in zip(given_cuts.values, coarse.values, strict=True):
        assert np.array_equal(points[:-1], expected[:-1])
    merged = np.stack(
        [
            np.append(points, low)[
                codes.astype(np.intp) - 1
            ]  # the cut below the value; of the first bin, what is below all
            for points, low, codes in zip(
                coarse.values, coarse.min_values, coarse.bin(matrix.T.__getitem__, 300), strict=True
            )
        ],
        axis=1,
    )
    ours, same = (
        parse_booster(train_pooled(rows, labels, None, given_cuts, JOB).save_raw("json")) for rows in (matrix, merged)
    )
    assert identical_trees(ours.trees, same.trees) == len(ours.trees) == JOB.n_estimators


def test_early_stopping_keeps_the_trees_up_to_the_best():
    data, held_out = classification(600), classification(300, seed=1)
    cuts = quantile_cuts(data.matrix)
    job = HorizontalXgboost(n_estimators=60, learning_rate=1, early_stopping_rounds=3, validation_fraction=0.3)
    stopped = train_pooled(*data, cuts, job, watched=(held_out.matrix, held_out.labels))
    n_trees = stopped.num_boosted_rounds()
    assert n_trees < 57
    fixed = train_pooled(*data, cuts, HorizontalXgboost(n_estimators=n_trees, learning_rate=1))
    assert stopped.save_raw("json") == fixed.save_raw("json")


def test_a_given_prior_is_used():
    data = classification(300)
    booster = train_pooled(*data, quantile_cuts(data.matrix), JOB, base_score=0.07)
    assert json.loads(booster.save_raw("json"))["learner"]["learner_model_param"]["base_score"] == "[7E-2]"
