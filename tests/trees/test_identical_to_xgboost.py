"""The claim: trees from summed histograms are XGBoost's own, to the last byte of the model."""

import numpy as np
import pytest
import xgboost
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from riskfed.jobs import HorizontalXgboost
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.cuts import Cuts
from riskfed.trees.reference import cuts_of, identical_trees, train_pooled, xgboost_parameters
from tests.trees.parties import Data, base_score, classification, deal, federated_json, grow, growers, quantile_cuts


def assert_same_model(data: Data, job: HorizontalXgboost, parties: int = 3, cuts: Cuts | None = None) -> None:
    cuts = cuts or quantile_cuts(data.matrix)
    pooled = bytes(train_pooled(*data, cuts, job).save_raw("json"))
    federated = federated_json(deal(data, parties), cuts, job)
    assert identical_trees(parse_booster(federated).trees, parse_booster(pooled).trees) == job.n_estimators
    assert federated == pooled


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"learning_rate": 0.1, "reg_lambda": 2, "reg_alpha": 0.5, "gamma": 0.3, "min_child_weight": 5},
        {"scale_pos_weight": 3.7, "base_score": 0.3},
        {"reg_lambda": 0, "min_child_weight": 0},
        {"min_child_weight": 40},
        {"gamma": 20},
        {"gamma": 1e9},
        {"base_score": 0.02},
        {"monotone_constraints": {"f0": 1, "f1": -1, "f2": 1, "f3": -1}},
        {"monotone_constraints": {"f0": 1, "f1": -1}, "reg_alpha": 0.7, "reg_lambda": 0.1, "min_child_weight": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_parameters(parameters, missing):
    assert_same_model(classification(3000, missing=missing), HorizontalXgboost(n_estimators=6, **parameters))


@pytest.mark.parametrize("depth", range(1, 9))
def test_depths(depth):
    assert_same_model(classification(2500, missing=0.1), HorizontalXgboost(n_estimators=3, max_depth=depth))


def test_deep_trees_without_regularisation():
    job = HorizontalXgboost(n_estimators=2, max_depth=12, min_child_weight=0, reg_lambda=0, learning_rate=0.1)
    assert_same_model(classification(3000, missing=0.05), job)


@pytest.mark.parametrize("max_bin", [2, 3, 16, 255, 256])
def test_numbers_of_bins(max_bin):
    data = classification(4000)
    cuts = quantile_cuts(data.matrix, max_bin)
    assert cuts.n_bins.max() == max_bin
    assert_same_model(data, HorizontalXgboost(n_estimators=4), cuts=cuts)


@pytest.mark.parametrize("parties", range(1, 8))
def test_numbers_of_parties(parties):
    assert_same_model(classification(1500, missing=0.1), HorizontalXgboost(n_estimators=4), parties)


def test_sample_weights_and_scale_pos_weight():
    data = classification(3000, missing=0.1)
    data = data._replace(weights=np.random.default_rng(1).gamma(2, 1, 3000).astype(np.float32))
    for factor in (1, 0.25, 5):
        # The prior is given: with weights and a factor, xgboost's own estimate of it rounds by up to 1 ULP.
        assert_same_model(data, HorizontalXgboost(n_estimators=5, scale_pos_weight=factor, base_score=0.4))


def test_zero_weights_count_for_nothing():
    data = classification(1000)
    weights = (np.random.default_rng(1).random(1000) < 0.5).astype(np.float32)
    assert_same_model(data._replace(weights=weights), HorizontalXgboost(n_estimators=5))


def test_ties_and_integers():
    """Copies of a column give every split twice: the first column wins, as in XGBoost."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(-3, 4, (2000, 4)).astype(np.float32)
    matrix = np.concatenate([matrix, matrix[:, ::-1], -matrix], axis=1)
    labels = (matrix[:, 0] + rng.integers(-2, 3, 2000) > 0).astype(np.float32)
    assert_same_model(Data(matrix, labels, np.ones(2000, np.float32)), HorizontalXgboost(n_estimators=8))


def test_odd_columns():
    """Constant, all missing, single valued where present, and one-hot columns; large and tiny numbers."""
    data = classification(2000, 10, missing=0.1)
    matrix = data.matrix.copy()
    matrix[:, 0], matrix[:, 1], matrix[:, 2] = 7.25, -3, np.nan
    matrix[:, 3] = np.where(np.isnan(matrix[:, 3]), np.nan, 1)
    matrix[:, 4] = (matrix[:, 4] > 0).astype(np.float32)
    matrix[:, 5] *= 1e30
    matrix[:, 6] *= 1e-30
    matrix[:, 7] = np.abs(matrix[:, 7]) + 1000
    assert_same_model(data._replace(matrix=matrix), HorizontalXgboost(n_estimators=6))


def test_separable_with_full_learning_rate():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(2000, 3)).astype(np.float32)
    data = Data(matrix, (matrix[:, 1] > 0.3).astype(np.float32), np.ones(2000, np.float32))
    assert_same_model(data, HorizontalXgboost(n_estimators=40, learning_rate=1))


def test_uneven_parties():
    """One party has no row, one a single row, one only defaults, one the rest."""
    data = classification(1200, missing=0.1)
    job, cuts = HorizontalXgboost(n_estimators=5), quantile_cuts(data.matrix)
    order = np.argsort(-data.labels, kind="stable")
    parts = [data.rows(order[:0]), data.rows(order[:1]), data.rows(order[1:200]), data.rows(order[200:])]
    assert parts[2].labels.all()
    assert federated_json(parts, cuts, job) == bytes(train_pooled(*data, cuts, job).save_raw("json"))


def test_the_cuts_that_xgboost_makes_itself():
    """Same bytes on xgboost's own quantile cuts of continuous columns, with the prior that it estimates itself."""
    data = classification(5000, missing=0.1)
    job = HorizontalXgboost(n_estimators=5, max_bin=100)
    matrix = xgboost.QuantileDMatrix(data.matrix, data.labels, max_bin=100, feature_names=[f"f{i}" for i in range(8)])
    cuts = cuts_of(matrix)
    booster = xgboost.train(xgboost_parameters(job, cuts.feature_names) | {"nthread": 1}, matrix, 5)
    assert federated_json(deal(data, 3), cuts, job) == bytes(booster.save_raw("json"))


def test_several_threads_of_xgboost_give_the_same_trees():
    data, job = classification(4000, missing=0.1), HorizontalXgboost(n_estimators=10)
    cuts = quantile_cuts(data.matrix)
    pooled = train_pooled(*data, cuts, job, nthread=2)
    assert federated_json(deal(data, 3), cuts, job) == bytes(pooled.save_raw("json"))


def test_xgboost_loads_the_model_and_predicts_the_margins_of_training():
    data, job = classification(2000, missing=0.1), HorizontalXgboost(n_estimators=10)
    cuts = quantile_cuts(data.matrix)
    (party,) = growers([data], cuts, job)
    grow([party], job.n_estimators)
    booster = xgboost.Booster()
    booster.load_model(bytearray(booster_json(party.trees, cuts.feature_names, job, base_score(data, job))))
    matrix = xgboost.DMatrix(data.matrix, feature_names=list(cuts.feature_names))
    np.testing.assert_array_equal(booster.predict(matrix, output_margin=True), party.margins)


@st.composite
def jobs(draw: st.DrawFn) -> HorizontalXgboost:
    signs = draw(st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=4, max_size=4))
    return HorizontalXgboost(
        n_estimators=draw(st.integers(1, 5)),
        max_depth=draw(st.integers(1, 8)),
        learning_rate=draw(st.sampled_from([0.05, 0.3, 1.0])),
        reg_lambda=draw(st.sampled_from([0, 0.1, 1, 7.5])),
        reg_alpha=draw(st.sampled_from([0, 0, 0.1, 2])),
        gamma=draw(st.sampled_from([0, 0, 0.5])),
        min_child_weight=draw(st.sampled_from([0, 0.1, 1, 8])),
        scale_pos_weight=draw(st.sampled_from([1, 1, 0.5, 9])),
        base_score=draw(st.sampled_from([0.1, 0.5, 0.9])),
        monotone_constraints={f"f{i}": sign for i, sign in enumerate(signs)},
    )


@st.composite
def tables(draw: st.DrawFn) -> Data:
    rows = draw(st.integers(2, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = rng.normal(size=(rows, 4)).astype(np.float32)
    for column in range(4):
        kind = draw(st.sampled_from(["normal", "normal", "rounded", "skewed", "constant", "copy"]))
        if kind == "rounded":
            matrix[:, column] = np.round(matrix[:, column])
        elif kind == "skewed":
            matrix[:, column] = np.exp(3 * matrix[:, column])
        elif kind == "constant":
            matrix[:, column] = draw(st.sampled_from([-2.5, 0.0, 1e6]))
        elif kind == "copy":
            matrix[:, column] = matrix[:, 0]
    matrix[rng.random(matrix.shape) < draw(st.sampled_from([0, 0, 0.1, 0.6]))] = np.nan
    labels = (np.nan_to_num(matrix[:, 0]) + rng.normal(size=rows) > draw(st.sampled_from([-2, 0, 1]))).astype(
        np.float32
    )
    weights = rng.gamma(2, 1, rows) if draw(st.booleans()) else np.ones(rows)
    return Data(matrix, labels, weights.astype(np.float32))


@settings(max_examples=150)
@given(data=tables(), job=jobs(), max_bin=st.sampled_from([2, 5, 40, 255]), parties=st.integers(1, 4))
def test_any_parameters_and_records(data, job, max_bin, parties):
    cuts = quantile_cuts(data.matrix, max_bin)
    booster = train_pooled(*data, cuts, job)
    assume(largest_margin(booster, data, cuts) < 16)
    assert federated_json(deal(data, parties), cuts, job) == bytes(booster.save_raw("json"))


def largest_margin(booster: xgboost.Booster, data: Data, cuts: Cuts) -> float:
    """Largest margin that a gradient is taken at. Beyond 16, p or its gradient has bits below the fixed point's last."""
    matrix = xgboost.DMatrix(data.matrix, feature_names=list(cuts.feature_names))
    rounds = range(1, booster.num_boosted_rounds())
    return max(
        (np.abs(booster.predict(matrix, iteration_range=(0, k), output_margin=True)).max() for k in rounds), default=0
    )


@pytest.mark.slow
def test_hundred_trees_on_thirty_thousand_records():
    data = classification(30_000, 20, missing=0.08, seed=3)
    job = HorizontalXgboost(n_estimators=100, max_depth=6)
    assert_same_model(data, job, parties=4, cuts=quantile_cuts(data.matrix, 255))
