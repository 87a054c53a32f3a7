"""The claim: whatever data, banks, protection and parameters, the federation's model is XGBoost's, to the last bit."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import riskfed
from riskfed.datasets import SyntheticLoans, iid_split, load_taiwan, taiwan_consortium, taiwan_schema
from riskfed.secure import paillier_key
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.reference import identical_trees
from tests.federation.german_credit import german_credit
from tests.helpers import pooled, split_rows

NORMAL_KEYS = paillier_key.MINIMUM_KEY_BITS


@pytest.fixture(autouse=True, scope="module")
def _short_keys():
    paillier_key.MINIMUM_KEY_BITS = 512
    yield
    paillier_key.MINIMUM_KEY_BITS = NORMAL_KEYS


def assert_identical(banks, schema, job, protection="masking", key_bits=512):
    result = riskfed.simulate(banks, schema, job, protection=protection, key_bits=key_bits)
    assert_same_model(result, riskfed.pooled_reference(pooled(banks), result.cuts, job))
    return result


def assert_same_model(result, reference):
    ours, theirs = result.release.model, bytes(reference.save_raw("json"))
    left, right = parse_booster(ours).trees, parse_booster(theirs).trees
    assert len(left) == len(right)
    assert identical_trees(left, right) == len(right)
    assert bytes(result.booster.save_raw("json")) == theirs
    assert ours == theirs


def within_the_claim(result, reference, frame):
    """No record's log-odds went beyond 16 before the last tree: docs/exactness.md, limits."""
    schema = result.release.schema
    matrix = xgboost.DMatrix(schema.encode(frame), feature_names=list(schema.columns))
    trees = reference.num_boosted_rounds()
    margins = [reference.predict(matrix, output_margin=True, iteration_range=(0, tree)) for tree in range(1, trees)]
    return all(np.abs(margin).max() <= 16 for margin in margins)


@pytest.mark.parametrize(
    "job",
    [
        riskfed.HorizontalXgboost(n_estimators=30, max_depth=6, validation_fraction=0.2),
        riskfed.HorizontalXgboost(n_estimators=20, max_depth=4, max_bin=32, cut_rounds=8, eta=0.1, gamma=0.3),
        riskfed.HorizontalXgboost(
            n_estimators=20,
            max_depth=5,
            reg_lambda=2,
            reg_alpha=0.5,
            min_child_weight=5,
            scale_pos_weight=3,
            monotone_constraints={"limit_bal": -1, "pay_0": 1},
        ),
        riskfed.HorizontalXgboost(n_estimators=5, max_depth=9, min_child_weight=0, reg_lambda=0, base_score=0.4, eta=1),
    ],
)
def test_taiwan_consortium(job):
    result = assert_identical(taiwan_consortium(), taiwan_schema(), job)
    if job.validation_fraction:
        assert result.metrics["auc"] > 0.76


def test_taiwan_under_paillier_equals_masking():
    banks = {name: frame.iloc[::10] for name, frame in taiwan_consortium().items()}
    job = riskfed.HorizontalXgboost(n_estimators=3, max_depth=3, max_bin=16, validation_fraction=0.2)
    under_paillier = assert_identical(banks, taiwan_schema(), job, "paillier")
    under_masking = assert_identical(banks, taiwan_schema(), job)
    assert under_paillier.release.to_bytes() == under_masking.release.to_bytes()


@pytest.mark.slow
def test_taiwan_under_paillier_with_keys_of_full_length():
    job = riskfed.HorizontalXgboost(n_estimators=2, max_depth=3, max_bin=32)
    assert_identical(iid_split(load_taiwan(), 3, seed=1), taiwan_schema(), job, "paillier", key_bits=2048)


@pytest.mark.parametrize("n_banks", [3, 5, 7])
def test_german_credit_one_hot(n_banks):
    frame = german_credit()
    schema = riskfed.Schema.from_frame(frame, target="default")
    assert len(schema.columns) > 55
    job = riskfed.HorizontalXgboost(n_estimators=40, max_depth=5, eta=0.2)
    assert_identical(split_rows(frame, n_banks, seed=n_banks), schema, job)


def test_synthetic_loans_with_missing_values_weights_and_constraints():
    loans = SyntheticLoans(n_banks=4, seed=3)
    banks = {}
    for i in range(4):
        frame = loans.bank(i).shard(0, 3_000 * (i + 1))
        frame["weight"] = np.random.default_rng(i).choice([0.5, 1.0, 2.5, 0.1], len(frame)).astype(np.float32)
        banks[f"bank{i}"] = frame
    schema = loans.schema()
    schema = riskfed.Schema(**{**schema.model_dump(), "weight": "weight"})
    numeric = [f.name for f in schema.features if f.encoding == "numeric"]
    job = riskfed.HorizontalXgboost(
        n_estimators=20, max_depth=6, monotone_constraints={numeric[0]: 1, numeric[1]: -1}, validation_fraction=0.25
    )
    assert_identical(banks, schema, job)


def test_a_bank_with_one_row_and_one_with_one_class():
    frame = load_taiwan().iloc[:4000]
    defaults = frame[frame["default"] == 1]
    rest = frame[frame["default"] == 0]
    banks = {
        "one_row": rest.iloc[:1],
        "only_defaults": defaults.iloc[:300],
        "only_repaid": rest.iloc[1:900],
        "both": pd.concat([defaults.iloc[300:], rest.iloc[900:]]),
    }
    job = riskfed.HorizontalXgboost(n_estimators=15, max_depth=5, validation_fraction=0.2)
    assert_identical(banks, taiwan_schema(), job)


@pytest.mark.parametrize("metric", ["logloss", "auc"])
def test_early_stopping_stops_where_xgboost_does(metric):
    banks = iid_split(load_taiwan().iloc[:5000], 4, seed=0)
    job = riskfed.HorizontalXgboost(
        n_estimators=200, max_depth=4, eta=0.3, early_stopping_rounds=5, validation_fraction=0.3, eval_metric=metric
    )
    result = assert_identical(banks, taiwan_schema(), job)
    trees = result.booster.num_boosted_rounds()
    assert 3 < trees < 150
    assert len(result.history) == trees + 5


def test_the_model_does_not_depend_on_who_has_which_row_nor_on_who_answers_first():
    frame = load_taiwan().iloc[:3000]
    job = riskfed.HorizontalXgboost(n_estimators=5, max_depth=4, validation_fraction=0.2)
    releases = {
        riskfed.simulate(split_rows(frame, n_banks, seed), taiwan_schema(), job, seed=seed)
        .release.to_bytes()
        .replace(b'"banks":%d' % n_banks, b'"banks":0')  # how many took part is all that differs
        for n_banks, seed in [(3, 0), (3, 1), (6, 2)]
    }
    assert len(releases) == 1


def test_reference_keeps_the_last_bit():
    """The comparison itself can fail: one leaf changed by one ULP is seen."""
    frame = load_taiwan().iloc[:2000]
    job = riskfed.HorizontalXgboost(n_estimators=2, max_depth=2)
    result = riskfed.simulate(split_rows(frame, 3, 0), taiwan_schema(), job)
    trees = parse_booster(result.release.model).trees
    changed = trees[1].split_conditions.copy()
    changed[-1] = np.nextafter(changed[-1], np.float32(1))
    altered = [trees[0], dataclasses.replace(trees[1], split_conditions=changed)]
    assert identical_trees(trees, altered) == 1


@st.composite
def consortia(draw):
    """A small table with ties, missing values, weights and categories, dealt to three to six banks."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.integers(20, 300))
    numbers = rng.normal(size=(n_rows, 3)) * np.exp(rng.normal(0, 3, 3))
    decimals = draw(st.sampled_from([0, 1, 6]))
    missing = draw(st.sampled_from([0.0, 0.1, 0.6]))
    frame = pd.DataFrame(np.round(numbers, decimals).astype(np.float32), columns=["a", "b", "c"])
    frame = frame.mask(rng.random(frame.shape) < missing)
    frame["kind"] = rng.choice(["x", "y", "z"], n_rows)
    frame["weight"] = rng.choice(draw(st.sampled_from([[1.0], [0.25, 1.0, 7.5], [0.1, 0.3]])), n_rows)
    signal = frame["a"].fillna(0) > 0
    frame["default"] = np.where(
        rng.random(n_rows) < draw(st.sampled_from([0.0, 0.3])), rng.random(n_rows) < 0.5, signal
    )
    frame.loc[[0, 1], "default"] = [True, False]
    frame["default"] = frame["default"].astype(int)
    n_banks = draw(st.integers(3, 6))
    return frame, split_rows(frame, n_banks, draw(st.integers(0, 1000)))


@settings(max_examples=60)
@given(
    consortia(),
    st.builds(
        riskfed.HorizontalXgboost,
        n_estimators=st.integers(1, 6),
        max_depth=st.integers(1, 7),
        learning_rate=st.sampled_from([0.1, 0.3, 1.0]),
        reg_lambda=st.sampled_from([0.0, 1.0, 10.0]),
        reg_alpha=st.sampled_from([0.0, 0.5]),
        gamma=st.sampled_from([0.0, 0.1]),
        min_child_weight=st.sampled_from([0.0, 1.0, 3.0]),
        max_bin=st.sampled_from([2, 5, 64, 256]),
        scale_pos_weight=st.sampled_from([1.0, 4.0]),
        base_score=st.sampled_from([None, 0.1]),
        cut_rounds=st.sampled_from([4, 8]),
        monotone_constraints=st.sampled_from([{}, {"a": 1}, {"a": -1, "b": 1}]),
    ),
    st.sampled_from(["masking", "masking", "masking", "paillier"]),
)
def test_any_small_consortium(consortium, job, protection):
    frame, banks = consortium
    schema = riskfed.Schema.from_frame(frame, target="default", weight="weight", onehot={"kind": ["x", "y", "z"]})
    result = riskfed.simulate(banks, schema, job, protection=protection, key_bits=512)
    reference = riskfed.pooled_reference(pooled(banks), result.cuts, job)
    assume(within_the_claim(result, reference, frame))
    assert_same_model(result, reference)
