"""Trees grown over several parties' columns are xgboost's on the joined table, to the last bit."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from riskfed.errors import LocalProtocolError, RemoteProtocolError
from riskfed.jobs import HorizontalXgboost
from riskfed.trees.joint_tree import with_decision_columns
from riskfed.trees.predictor import Predictor
from riskfed.trees.reference import train_pooled
from tests.trees.joint import grow_tree, joint_json, joint_parties, part_cuts
from tests.trees.parties import Data, base_score, binned, classification, quantile_cuts


def reference(data, cuts, job):
    booster = train_pooled(data.matrix, data.labels, data.weights, cuts, job, base_score=None)
    return bytes(booster.save_raw("json"))


@pytest.mark.parametrize("widths", [(4, 4), (1, 7), (7, 1), (3, 2, 3), (2, 3, 1, 2)])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_as_xgboost(widths, missing):
    data = classification(1500, missing=missing, seed=len(widths))
    job = HorizontalXgboost(n_estimators=4, max_depth=5)
    cuts = quantile_cuts(data.matrix)
    assert joint_json(data, cuts, job, widths) == reference(data, cuts, job)


def test_duplicated_columns_and_few_values_give_ties_that_are_broken_as_xgboost_breaks_them():
    data = classification(800, 4, missing=0.1, seed=2)
    few = np.round(data.matrix)
    columns = few[:, [0, 1, 1, 0, 2, 2, 0, 3, 1, 2, 3, 3]]
    data = data._replace(matrix=np.where(np.arange(12) == 8, -columns, columns))  # a mirrored one ties too
    job, cuts = HorizontalXgboost(n_estimators=5, max_depth=4), quantile_cuts(data.matrix)
    for widths in [(12 - 8, 8), (2, 5, 5), (1, 4, 3, 4), (1, 11)]:
        assert joint_json(data, cuts, job, widths) == reference(data, cuts, job)


def test_constraints_on_all_sides_weights_and_scale():
    data = classification(1200, missing=0.1, seed=5)
    data = data._replace(weights=np.random.default_rng(0).choice([0.25, 1.0, 7.5], 1200).astype(np.float32))
    cuts = quantile_cuts(data.matrix)
    job = HorizontalXgboost(
        n_estimators=4,
        max_depth=5,
        reg_alpha=0.5,
        gamma=0.1,
        scale_pos_weight=3,
        base_score=0.4,
        monotone_constraints={"f0": 1, "f3": -1, "f5": 1, "f7": -1},
    )
    assert joint_json(data, cuts, job, (3, 2, 3)) == reference(data, cuts, job)


def test_held_out_rows_change_nothing_and_end_where_the_trees_send_them():
    data = classification(1000, missing=0.1, seed=7)
    development = np.random.default_rng(1).random(1000) < 0.7
    learned = data.rows(development)
    job, cuts = HorizontalXgboost(n_estimators=4, max_depth=4), quantile_cuts(learned.matrix)
    assert joint_json(data, cuts, job, (4, 4), development=development) == reference(learned, cuts, job)

    grower, partners = joint_parties(data, cuts, job, (4, 4), development=development)
    for _ in range(4):
        grow_tree(grower, partners, development)
    booster = train_pooled(learned.matrix, learned.labels, learned.weights, cuts, job)
    inside = (data.matrix < [points[-1] for points in cuts.values]) | np.isnan(data.matrix)
    inside = (inside & ~(data.matrix < cuts.min_values)).all(axis=1)  # others fall into the outermost bins
    import xgboost

    margins = booster.predict(
        xgboost.DMatrix(data.matrix[inside], feature_names=list(cuts.feature_names)), output_margin=True
    )
    assert np.array_equal(grower.margins[inside], margins)


def test_leaves_are_the_ways_of_decisions():
    """The label holder's trees over decision columns, filled from leaves, give the margins of training."""
    data = classification(900, missing=0.1, seed=3)
    job, cuts = HorizontalXgboost(n_estimators=5, max_depth=4), quantile_cuts(data.matrix)
    everyone = np.ones(900, dtype=bool)
    grower, partners = joint_parties(data, cuts, job, (3, 2, 3))
    for _ in range(5):
        grow_tree(grower, partners, everyone)
    trees = with_decision_columns(grower.grown, 3, 2)
    columns = [data.matrix[:, :3], *(tree.ways()[tree.leaves] for tree in grower.grown)]
    widths = np.cumsum([3, *(columns[i].shape[1] for i in range(1, 6))])
    matrix = np.zeros((900, widths[-1]), dtype=np.float32)
    matrix[:, :3] = data.matrix[:, :3]
    for joint, tree, ways in zip(grower.grown, trees, columns[1:], strict=True):
        matrix[:, tree.split_indices[joint.decision_nodes()]] = ways
    assert np.array_equal(Predictor(trees, base_score(data, job)).margins(matrix), grower.margins)
    assert [len(partner.made) for partner in partners] == [
        sum(tree.splits_of(number) for tree in grower.grown) for number in range(2)
    ]


def test_first_trees_alone_are_those_of_xgboost_without_the_partners_columns():
    data = classification(1000, seed=4)
    everyone, job = np.ones(1000, dtype=bool), HorizontalXgboost(n_estimators=4, max_depth=4)
    cuts = quantile_cuts(data.matrix)
    grower, partners = joint_parties(data, cuts, job, (4, 4))
    for number in range(4):
        grow_tree(grower, partners, everyone, alone=number < 2)
    own = part_cuts(cuts, slice(0, 4))
    local = train_pooled(data.matrix[:, :4], data.labels, None, own, job.model_copy(update={"n_estimators": 2}))
    import xgboost

    after = local.predict(
        xgboost.DMatrix(data.matrix[:, :4], feature_names=["f0", "f1", "f2", "f3"]), output_margin=True
    )
    margins = np.full(1000, 0, dtype=np.float32) + grower.margins
    for joint in reversed(grower.grown[2:]):
        assert joint.splits_of(0)
    assert not any(joint.splits_of(0) for joint in grower.grown[:2])
    fresh, _ = joint_parties(data, cuts, job, (4, 4))
    fresh.resume(grower.grown[:2])
    assert np.array_equal(fresh.margins, after)
    again, _ = joint_parties(data, cuts, job, (4, 4))
    again.resume(grower.grown)
    assert np.array_equal(again.margins, margins)


@pytest.mark.parametrize("after", [1, 3])
def test_resumed_trees_go_on_as_if_nothing_had_happened(after):
    data = classification(700, missing=0.1, seed=9)
    everyone, job = np.ones(700, dtype=bool), HorizontalXgboost(n_estimators=4, max_depth=4)
    cuts = quantile_cuts(data.matrix)
    whole, partners = joint_parties(data, cuts, job, (4, 4))
    for _ in range(4):
        grow_tree(whole, partners, everyone)
    later, others = joint_parties(data, cuts, job, (4, 4))
    later.resume(whole.grown[:after])
    for _ in range(4 - after):
        grow_tree(later, others, everyone)
    assert np.array_equal(later.margins, whole.margins)
    for ours, theirs in zip(later.grown, whole.grown, strict=True):
        assert np.array_equal(ours.rules, theirs.rules)
        assert np.array_equal(ours.leaves, theirs.leaves)


def test_sums_that_no_records_give_are_refused_by_name():
    data = classification(300, seed=1)
    everyone, job, cuts = np.ones(300, dtype=bool), HorizontalXgboost(max_depth=3), quantile_cuts(data.matrix, 8)
    grower, (partner,) = joint_parties(data, cuts, job, (4, 4))
    grower.begin_tree()
    sums = partner.sums(grower.gradients(), grower.asked(), everyone)
    for spoiled in [
        sums[:-1],
        sums.astype(float),
        np.where(np.arange(len(sums))[:, None] == 5, -(1 << 60), sums),
        sums * 2,
    ]:
        with pytest.raises(RemoteProtocolError, match="p0 answered"):
            joint = joint_parties(data, cuts, job, (4, 4))[0]
            joint.begin_tree()
            joint.search([spoiled])
    (offers,) = grower.search([sums])
    with pytest.raises(LocalProtocolError, match="descend"):
        grower.search([sums])
    if offers:
        with pytest.raises(LocalProtocolError, match="not decided"):
            grower.descend()
        for chosen, right in [([7], np.zeros(300, bool)), ([0], np.zeros(299, bool)), ([], np.zeros(300, bool))]:
            with pytest.raises(RemoteProtocolError, match="not offered"):
                grower.decide(0, chosen, right)


@st.composite
def tables(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, features = draw(st.integers(20, 250)), draw(st.integers(2, 7))
    numbers = np.round(rng.normal(size=(rows, features)), draw(st.sampled_from([0, 1, 6]))).astype(np.float32)
    if draw(st.booleans()):
        numbers[:, rng.integers(features)] = numbers[:, rng.integers(features)]
    numbers[rng.random(numbers.shape) < draw(st.sampled_from([0.0, 0.1, 0.6]))] = np.nan
    labels = (np.nan_to_num(numbers).sum(axis=1) + rng.normal(0, 2, rows) > 0).astype(np.float32)
    labels[:2] = 0, 1
    weights = rng.choice(draw(st.sampled_from([[1.0], [0.25, 1.0, 7.5]])), rows).astype(np.float32)
    cut = sorted(draw(st.sets(st.integers(1, features - 1), min_size=1, max_size=3)))
    widths = tuple(np.diff([0, *cut, features]).tolist())
    return Data(numbers, labels, weights), widths


@settings(max_examples=60)
@given(
    tables(),
    st.builds(
        HorizontalXgboost,
        n_estimators=st.integers(1, 4),
        max_depth=st.integers(1, 6),
        learning_rate=st.sampled_from([0.1, 0.3]),
        reg_lambda=st.sampled_from([0.5, 1.0, 10.0]),
        reg_alpha=st.sampled_from([0.0, 0.5]),
        gamma=st.sampled_from([0.0, 0.1]),
        min_child_weight=st.sampled_from([0.0, 1.0, 3.0]),
        scale_pos_weight=st.sampled_from([1.0, 4.0]),
        monotone_constraints=st.sampled_from([{}, {"f0": 1}, {"f0": -1, "f1": 1}]),
    ),
    st.sampled_from([2, 5, 64]),
)
def test_any_small_table(table, job, max_bin):
    data, widths = table
    cuts = quantile_cuts(data.matrix, max_bin)
    assume(all(len(points) < 256 for points in cuts.values))
    assert joint_json(data, cuts, job, widths) == reference(data, cuts, job)


def test_binned_codes_are_not_changed():
    """Spare columns are the grower's own: the codes that it was given stay as they are."""
    data = classification(200, seed=1)
    job, cuts = HorizontalXgboost(n_estimators=1, max_depth=3), quantile_cuts(data.matrix, 8)
    before = binned(cuts, data.matrix)
    joint_json(data, cuts, job, (4, 4))
    assert np.array_equal(before, binned(cuts, data.matrix))
