"""A grower's own behaviour: order of calls, refusals, recovery, what is asked for, and how few bits suffice."""

import numpy as np
import pytest

from riskfed.errors import ConfigurationError, JobError, LocalProtocolError, RemoteProtocolError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.reference import identical_trees
from tests.trees.parties import base_score, binned, classification, deal, grow, growers, quantile_cuts

JOB = HorizontalXgboost(n_estimators=4, max_depth=4)
DATA = classification(800, missing=0.1)
CUTS = quantile_cuts(DATA.matrix)


def one_grower(**options):
    return growers([DATA], CUTS, JOB, **options)[0]


def test_calls_out_of_order_are_refused():
    grower = one_grower()
    for call in (grower.histograms, grower.bounds, grower.end_tree, lambda: grower.split(np.zeros(2, np.int64))):
        with pytest.raises(LocalProtocolError):
            call()
    grower.begin_tree()
    with pytest.raises(LocalProtocolError, match="unfinished"):
        grower.begin_tree()
    with pytest.raises(LocalProtocolError, match="open"):
        grower.end_tree()


def test_sums_of_another_shape_or_type_are_refused():
    grower = one_grower()
    grower.begin_tree()
    own = grower.histograms()
    for wrong in (own[:-1], own.astype(np.float64), own.reshape(1, -1)):
        with pytest.raises(RemoteProtocolError, match="expected int64"):
            grower.split(wrong)


@pytest.mark.parametrize("level", [0, 1])
def test_a_garbled_sum_is_refused_and_the_right_one_still_works(level):
    """A mask that did not cancel leaves random numbers: some hessian is negative, in the summed child or its sibling."""
    grower, other = one_grower(), one_grower()
    rng = np.random.default_rng(0)
    grow([other], 1)
    grower.begin_tree()
    if level:
        grower.split(grower.histograms())
    own = grower.histograms()
    for garbled in (rng.integers(-(2**62), 2**62, len(own)), own + (own != 0) * 2**58):
        if level or (garbled < 0).any():
            with pytest.raises(RemoteProtocolError, match="negative hessians"):
                grower.split(garbled)
    while grower.has_open_nodes():
        grower.split(grower.histograms())
    grower.end_tree()
    assert identical_trees(grower.trees, other.trees) == 1


def test_below_the_root_one_child_of_two_is_summed():
    grower = one_grower()
    grower.begin_tree()
    assert len(grower.histograms()) == 2 * CUTS.total_bins + 3
    grower.split(grower.histograms())
    assert len(grower.histograms()) == 2 * CUTS.total_bins
    grower.split(grower.histograms())
    assert len(grower.histograms()) == 2 * 2 * CUTS.total_bins


def test_children_too_light_to_split_are_not_asked_for():
    """A child splits only if it has twice min_child_weight; with 80 % of the root's hessian needed, no child has."""
    heavy = HorizontalXgboost(max_depth=6, min_child_weight=0.4 * 800 * 0.2)
    (grower,) = growers([DATA], CUTS, heavy)
    assert len(grow([grower], 1)) <= 2


def test_an_abandoned_tree_leaves_no_trace():
    grower, other = one_grower(), one_grower()
    grow([grower], 1)
    grower.begin_tree()
    grower.split(grower.histograms())
    grower.abandon_tree()
    grow([grower], 1)
    grow([other], 2)
    assert identical_trees(grower.trees, other.trees) == 2
    np.testing.assert_array_equal(grower.margins, other.margins)


@pytest.mark.parametrize("from_file", [False, True])
def test_growing_resumes_where_it_stopped(from_file):
    whole, first, second = one_grower(), one_grower(), one_grower()
    grow([whole], 4)
    grow([first], 2)
    trees = first.trees
    if from_file:
        trees = parse_booster(booster_json(trees, CUTS.feature_names, JOB, base_score(DATA, JOB))).trees
    second.resume(trees)
    grow([second], 2)
    assert identical_trees(second.trees, whole.trees) == 4
    np.testing.assert_array_equal(second.margins, whole.margins)
    with pytest.raises(LocalProtocolError):
        second.resume(trees)


def test_trees_of_other_cuts_cannot_be_resumed():
    whole = one_grower()
    grow([whole], 1)
    trees = parse_booster(booster_json(whole.trees, CUTS.feature_names, JOB, 0.5)).trees
    (other,) = growers([DATA], quantile_cuts(DATA.matrix + 0.01), JOB)
    with pytest.raises(LocalProtocolError, match="not among the cuts"):
        other.resume(trees)
    assert other.trees == []


def test_trees_follow_held_out_records_as_they_do_their_own():
    grower = one_grower()
    grow([grower], 3)
    codes = binned(CUTS, DATA.matrix)
    margins = np.full(codes.shape[1], one_grower().margins[0])
    for tree in grower.trees:
        leaves = tree.leaf_of(codes)
        assert tree.is_leaf[leaves].all()
        tree.add_margins(codes, margins)
    np.testing.assert_array_equal(margins, grower.margins)


def test_a_party_without_records_grows_the_same_trees():
    empty, full = growers([DATA.rows(slice(0)), DATA], CUTS, JOB)
    grow([empty, full], 2)
    assert identical_trees(empty.trees, full.trees) == 2
    assert len(empty.margins) == 0


def test_nodes_are_numbered_level_by_level():
    grower = one_grower()
    grow([grower], 1)
    tree = grower.trees[0]
    splits = np.flatnonzero(~tree.is_leaf)
    np.testing.assert_array_equal(tree.left_children[splits], 2 * np.arange(len(splits)) + 1)
    np.testing.assert_array_equal(tree.right_children[splits], tree.left_children[splits] + 1)
    assert tree.n_nodes == 2 * len(splits) + 1


def test_monotone_constraints_hold():
    job = HorizontalXgboost(n_estimators=10, monotone_constraints={"f0": 1, "f1": -1})
    (grower,) = growers([DATA], CUTS, job)
    grow([grower], 10)
    base = np.nan_to_num(DATA.matrix[:50])
    for column, sign in ((0, 1), (1, -1)):
        margins = []
        for value in np.linspace(-3, 3, 40):
            base[:, column] = value
            total = np.zeros(50, np.float32)
            for tree in grower.trees:
                tree.add_margins(binned(CUTS, base), total)
            margins.append(total)
        assert (sign * np.diff(margins, axis=0) >= -1e-6).all()


@pytest.mark.parametrize(("bits", "same_leaves", "tolerance"), [(40, True, 0), (34, True, 0), (24, False, 1e-3)])
def test_fewer_bits(bits, same_leaves, tolerance):
    data = classification(5000, missing=0.1)
    cuts = quantile_cuts(data.matrix)
    exact, narrow = growers(deal(data, 2), cuts, JOB), growers(deal(data, 2), cuts, JOB, bits=bits)
    grow(exact, 4)
    grow(narrow, 4)
    assert narrow[0].bits == bits
    assert (identical_trees(exact[0].trees, narrow[0].trees) == 4) == same_leaves
    assert narrow[0].sum_bound < 5001 * 2**bits * 1.001 + 2**33
    np.testing.assert_allclose(narrow[0].margins, exact[0].margins, atol=tolerance, rtol=0)


def test_arguments_are_checked():
    codes, ones = binned(CUTS, DATA.matrix), np.ones(800, np.float32)
    fits = {"total_weight": 800.0, "base_score": 0.3}
    make = type(one_grower())
    with pytest.raises(ConfigurationError, match="expected uint8"):
        make(codes.astype(np.int64), DATA.labels, ones, CUTS, JOB, **fits)
    with pytest.raises(ConfigurationError, match="expected uint8"):
        make(codes.T, DATA.labels, ones, CUTS, JOB, **fits)
    with pytest.raises(ConfigurationError, match="labels"):
        make(codes, DATA.labels[1:], ones, CUTS, JOB, **fits)
    with pytest.raises(ConfigurationError, match="0 threads"):
        make(codes, DATA.labels, ones, CUTS, JOB, threads=0, **fits)
    with pytest.raises(ConfigurationError, match="fractional bits"):
        make(codes, DATA.labels, ones, CUTS, JOB, bits=60, **fits)
    with pytest.raises(JobError, match="income"):
        make(codes, DATA.labels, ones, CUTS, HorizontalXgboost(monotone_constraints={"income": 1}), **fits)
