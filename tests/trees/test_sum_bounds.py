"""Bounds of histograms: no sum is above them, whatever the records, and what cannot be there is not sent."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.jobs import HorizontalXgboost
from riskfed.trees.sum_bounds import PARTIES, _exp_bound
from tests.trees.parties import Data, classification, deal, grow, growers, quantile_cuts

DATA = classification(3000, missing=0.1)
CUTS = quantile_cuts(DATA.matrix)
JOB = HorizontalXgboost(max_depth=5)


def bits(bounds):
    """Bits of slots for numbers of these bounds."""
    return sum(int(bound).bit_length() + 1 for bound in bounds if bound)


@settings(max_examples=20)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([[1.0], [0.0, 1.0], [1e-20, 1.0], [3e-12, 0.0, 1.0, 50.0], [1e-6, 1e3]]),
    st.sampled_from([1e-7, 1e-4, 0.02, 0.5, 0.97, 1 - 1e-6]),
    st.sampled_from([0.1, 1.0]),
    st.sampled_from([1.0, 8.0]),
)
def test_no_sum_is_above_its_bound(seed, weights, prior, rate, factor):
    """`grow` holds every party's numbers and every sum against the bounds. Without regularisation margins go to extremes."""
    rng = np.random.default_rng(seed)
    data = classification(120, 3, missing=0.2, seed=seed % 7)
    data = data._replace(weights=rng.choice(weights, 120).astype(np.float32))
    data.weights[0] = 1
    job = HorizontalXgboost(
        max_depth=4, min_child_weight=0, reg_lambda=0.01, learning_rate=rate, scale_pos_weight=factor, base_score=prior
    )
    grow(growers(deal(data, 3, seed % 5), quantile_cuts(data.matrix, 16), job), 5)


def with_a_faint_record() -> Data:
    """The last record is alone in a bin. Its weight is 1.6 units: h, 0.4, is rounded to nothing, and g, 0.8, to one unit."""
    matrix = np.repeat(np.arange(10, dtype=np.float32), 20)[:, None]
    matrix = np.append(matrix, [[99.0]], axis=0).astype(np.float32)
    labels = np.append(np.tile([0, 0, 0, 1], 50), 1).astype(np.float32)
    labels[:60] = 0
    weights = np.append(np.ones(200), 1.6 * 2.0**-54).astype(np.float32)
    return Data(matrix, labels, weights)


def test_records_too_faint_to_be_seen_in_the_hessians_are_not_left_out():
    data = with_a_faint_record()
    job = HorizontalXgboost(max_depth=3, base_score=0.5)
    grower, other = growers(deal(data, 2), quantile_cuts(data.matrix), job)
    assert grower.bits == 54
    for party in (grower, other):
        party.begin_tree()
    pooled = grower.histograms() + other.histograms()
    assert pooled[-1] == 1  # one party has faint records
    last = pooled[-5:-3]
    assert last.tolist() == [-1, 0]
    for party in (grower, other):
        party.split(pooled)
    assert grower.bounds()[-2:].tolist() == [grower.sum_bound, 0]


def test_a_later_tree_without_faint_records_leaves_empty_cells_out():
    (grower,) = growers([DATA], CUTS, JOB)
    grow([grower], 1)
    grower.begin_tree()
    root = grower.histograms()
    assert root[-1] == 0
    assert grower.bounds()[-1] == PARTIES
    while grower.has_open_nodes():
        bounds, sums = grower.bounds(), grower.histograms()
        if len(sums) > len(root):  # from the third level on
            pairs = bounds[: len(bounds) // 2 * 2].reshape(-1, 2)
            assert (pairs == 0).all(axis=1).mean() > 0.05
            assert ((pairs == 0).all(axis=1) == (pairs[:, 1] == 0)).all()
            assert bits(bounds) < 0.85 * 64 * len(bounds)
        grower.split(sums)


def test_bounds_after_taking_trees_over():
    """Weights by cell are not known then, but all else is; `grow` checks them."""
    whole, resumed = growers([DATA], CUTS, JOB)[0], growers([DATA], CUTS, JOB)[0]
    grow([whole], 3)
    resumed.resume(whole.trees[:2])
    grow([resumed], 1)
    np.testing.assert_array_equal(resumed.trees[2].split_conditions, whole.trees[2].split_conditions)
    for grower in (whole, resumed):
        grower.begin_tree()
    fresh, later = bits(whole.bounds()), bits(resumed.bounds())
    assert fresh < later <= 64 * len(resumed.bounds())


@given(st.floats(-600, 600))
def test_the_bound_of_exp_is_just_above_it(exponent):
    assert math.exp(exponent) <= _exp_bound(exponent) <= math.exp(exponent) * 1.07


@pytest.mark.parametrize("exponent", [0.0, 1e-12, -1e-12, math.log(2), -math.log(2), 1e6])
def test_the_bound_of_exp_at_edges(exponent):
    assert _exp_bound(exponent) >= math.exp(min(exponent, 600))
