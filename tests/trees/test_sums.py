"""Gradients and histograms: fixed point, equal to plain counting, and the same however records are spread."""

import json

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, ContractError, JobError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.gradient import effective_weights, fill_gradients
from riskfed.trees.histogram import Records, count_gradients, fixed_point_bits, gather_counts, workspace
from riskfed.trees.logit import estimate_base_score, margin_of, sigmoid
from riskfed.trees.partition import RowRanges
from tests.trees.parties import Data, classification, deal, grow, growers, quantile_cuts


def gradients_of(margins, labels, weights, bits=40):
    gradients = np.empty(2 * len(margins), dtype=np.float32)
    totals = fill_gradients(
        np.asarray(margins, np.float32),
        np.asarray(labels, np.uint8),
        np.asarray(weights, np.float32),
        2.0**bits,
        np.array([[0, 1], [1, len(margins)]]),
        gradients,
    )
    return np.rint(gradients.reshape(-1, 2).astype(np.float64) * 2.0**bits).astype(np.int64), totals


def test_known_gradients():
    pairs, totals = gradients_of([0, 0, 200, -200], [0, 1, 1, 0], [1, 2, 1, 1], bits=60)
    one = 2**60
    assert pairs[0].tolist() == [one // 2, one // 4]
    assert pairs[1].tolist() == [-one, one // 2]
    # A certain and right prediction: no gradient, and the least hessian that XGBoost allows, 1e-16.
    assert pairs[2].tolist() == [0, round(float(np.float32(1e-16)) * one)]
    assert 0 <= pairs[3, 0] < one * 1e-38
    assert totals == (*pairs.sum(axis=0), 2)  # both certain ones are faint


def test_gradients_are_those_of_the_logistic_loss():
    rng = np.random.default_rng(0)
    margins, labels, weights = (
        rng.normal(0, 4, 2000).astype(np.float32),
        rng.integers(0, 2, 2000),
        rng.gamma(2, 1, 2000),
    )
    pairs, _ = gradients_of(margins, labels, weights)
    p = 1 / (1 + np.exp(-margins.astype(np.float64)))
    np.testing.assert_allclose(pairs[:, 0] / 2**40, (p - labels) * weights, rtol=0, atol=2e-6)
    np.testing.assert_allclose(pairs[:, 1] / 2**40, p * (1 - p) * weights, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("total", "bits"), [(1, 60), (3, 59), (4, 59), (1_000_000, 42), (0.001, 61), (2**21 - 1, 40), (2**21 - 8, 41)]
)
def test_bits_leave_room_for_the_sum_and_its_rounding(total, bits):
    assert fixed_point_bits(total) == bits
    assert total * 2**bits * (1 + 2**-20) + 2**32 <= 2**62


@pytest.mark.parametrize("total", [0, -1, np.nan, np.inf, 2.0**62])
def test_impossible_weights_are_refused(total):
    with pytest.raises(JobError):
        fixed_point_bits(total)


def test_more_bits_than_there_is_room_for_are_refused():
    assert fixed_point_bits(1000, 34) == 34
    with pytest.raises(ConfigurationError, match="1 to 52"):
        fixed_point_bits(1000, 53)


def test_labels_and_weights_are_checked_without_showing_them():
    ones, made = np.ones(2, np.float32), np.empty(2, np.float32)
    with pytest.raises(ContractError, match="1 labels are neither 0 nor 1"):
        effective_weights(np.array([0, 0.5]), ones, 1, made)
    with pytest.raises(ContractError, match="2 sample weights"):
        effective_weights(np.zeros(2), np.array([-1, np.nan]), 1, made)
    effective_weights(np.array([1, 0]), ones, 3, made)
    assert made.tolist() == [3, 1]


@settings(max_examples=60)
@given(
    st.integers(0, 400),
    st.lists(st.integers(1, 256), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_histograms_equal_plain_counting(n_rows, n_bins, n_nodes, n_segments, seed):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, bins, n_rows) for bins in n_bins], axis=1).astype(np.uint8)
    may_lack = np.array(n_bins) < 256
    codes[(rng.random(codes.shape) < 0.2) & may_lack] = 255
    gradients = rng.normal(size=(n_rows, 2)).astype(np.float32)
    whole = np.rint(gradients.astype(np.float64) * 2.0**40).astype(np.int64)
    rows = rng.permutation(n_rows).astype(np.int32)
    borders = np.append(np.sort(rng.integers(0, n_rows + 1, n_nodes * n_segments - 1)), n_rows)
    # Segment by segment, and in each node by node, as ranges lie.
    begins, ends = (
        np.ascontiguousarray(b.reshape(n_segments, n_nodes).T) for b in (np.append(0, borders[:-1]), borders)
    )
    counts, made = workspace(2, n_nodes, len(n_bins)), np.empty((n_nodes, 2 * sum(n_bins)), dtype=np.int64)
    records = Records(codes.reshape(-1), gradients.reshape(-1), 2.0**40)
    ranges = RowRanges(rows, begins, ends)
    for thread, segments in enumerate(([0], range(1, n_segments))):
        count_gradients(records, ranges, np.array(segments, dtype=np.int64), len(n_bins), counts[thread])
    for nodes in (np.arange(1, n_nodes), np.zeros(1, dtype=np.int64)):
        gather_counts(counts, np.array(n_bins), nodes, made)
    for node in range(n_nodes):
        members = np.concatenate([rows[b:e] for b, e in zip(begins[node], ends[node], strict=True)])
        plain = [
            whole[members[(codes[members, f] == b) & ((codes[members, f] != 255) | (n_bins[f] == 256))]].sum(axis=0)
            for f in range(len(n_bins))
            for b in range(n_bins[f])
        ]
        np.testing.assert_array_equal(made[node], np.concatenate(plain))
    assert not counts.any()


@settings(max_examples=20)
@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_pooled_sums_do_not_depend_on_who_holds_which_record(parties, seed):
    data = classification(400, missing=0.1)
    data = data._replace(weights=np.random.default_rng(0).gamma(2, 1, 400).astype(np.float32))
    job, cuts = HorizontalXgboost(n_estimators=2, max_depth=4), quantile_cuts(data.matrix)
    alone = grow(growers([data], cuts, job), 2)
    together = grow(growers(deal(data, parties, seed), cuts, job), 2)
    assert len(alone) == len(together)
    for one, several in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, several)


@given(st.floats(0.001, 0.999), st.sampled_from([0.1, 1.0, 30.0]), st.sampled_from([1e-3, 1.0, 1e6]))
def test_no_pooled_number_is_above_its_bound(default_rate, factor, weight):
    data = classification(300)
    data = Data(data.matrix, data.labels, np.full(300, weight, dtype=np.float32))
    job = HorizontalXgboost(n_estimators=2, max_depth=3, scale_pos_weight=factor, base_score=default_rate)
    parties = growers([data], quantile_cuts(data.matrix), job)
    bound = parties[0].sum_bound
    assert isinstance(bound, int)
    assert bound < 2**63
    assert all(abs(int(value)) <= bound for pooled in grow(parties, 2) for value in (pooled.min(), pooled.max()))


def test_margin_is_the_log_odds():
    for pd in (1e-6, 0.02, 0.5, 0.9):
        assert margin_of(pd) == pytest.approx(np.log(pd / (1 - pd)), rel=1e-5, abs=1e-6)
        assert sigmoid(np.array([margin_of(pd)]))[0] == pytest.approx(pd, rel=1e-5)
    with pytest.raises(JobError):
        margin_of(1.0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("factor", [1, 3.3])
def test_estimated_base_score_is_xgboosts(weighted, factor):
    """Bit for bit, but for weights together with a factor: there within 1 ULP."""
    rng = np.random.default_rng(7)
    for rows in (10, 333, 20_000):
        labels = np.append(rng.random(rows - 2) < 0.2, [0, 1]).astype(np.float32)
        weights = rng.gamma(2, 1, rows).astype(np.float32) if weighted else np.ones(rows, np.float32)
        matrix = xgboost.DMatrix(np.zeros((rows, 1)), labels, weight=weights)
        parameters = {"objective": "binary:logistic", "scale_pos_weight": factor, "max_depth": 1, "nthread": 1}
        model = json.loads(xgboost.train(parameters, matrix, 1).save_raw("json"))
        theirs = np.float32(json.loads(model["learner"]["learner_model_param"]["base_score"])[0])
        sums = [weights[labels == label].sum(dtype=np.float64) for label in (1, 0)]
        ours = estimate_base_score(*sums, factor)
        assert abs(ours - theirs) <= (np.spacing(theirs) if weighted and factor != 1 else 0)


def test_one_outcome_has_no_base_score():
    with pytest.raises(JobError, match="both defaulted and repaid"):
        estimate_base_score(0, 100)
