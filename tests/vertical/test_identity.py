"""The claim: both sides' parts together are the booster that XGBoost trains on the joined table, byte for byte."""

import numpy as np
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.program import Exchange
from riskfed.scoring import read_model
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.reference import identical_trees, train_on_bins, train_pooled
from riskfed.vertical_model import LeafSets, columns_of_decisions
from tests.vertical.setting import LENDER, numbers, taiwan

pytestmark = pytest.mark.usefixtures("plain")


def job(**fields):
    return VerticalXgboost(**{"label_holder": LENDER, "n_estimators": 5, "max_depth": 4, **fields})


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(
    "fields",
    [
        {"validation_fraction": 0.2},
        {"max_bin": 32, "max_depth": 3, "cut_rounds": 8, "eta": 0.1},
        {"scale_pos_weight": 3, "reg_alpha": 0.5, "gamma": 0.2, "monotone_constraints": {"limit_bal": -1, "pay_0": 1}},
        {"base_score": 0.4, "min_child_weight": 0, "max_depth": 6, "validation_fraction": 0.3},
    ],
)
def test_taiwan(parties, fields):
    setting = taiwan(job(**fields), parties=parties)
    outcomes = setting.run()
    setting.assert_identical(outcomes)
    splits = [len(outcomes[name].part.rules) for name in setting.roster if name != LENDER]
    assert all(splits)
    assert [reference.splits for reference in outcomes[LENDER].release.partners] == splits


@pytest.mark.parametrize("metric", ["logloss", "auc"])
def test_early_stopping_stops_where_xgboost_does(metric):
    fields = {"n_estimators": 100, "early_stopping_rounds": 4, "eval_metric": metric, "validation_fraction": 0.3}
    setting = taiwan(job(**fields), rows=2000, parties=3)
    outcomes = setting.run()
    setting.assert_identical(outcomes)
    release = outcomes[LENDER].release
    trees = len(parse_booster(release.model).trees)
    assert 2 < trees < 90
    assert len(release.history) == trees + 4
    for reference in release.partners:  # splits of trees that were given up are not kept
        assert reference.splits == len(outcomes[reference.party].part.rules)


@pytest.mark.parametrize("stopping", [None, 3])
def test_merged_bins_give_the_trees_that_xgboost_grows_on_the_numbers_of_the_bins(stopping):
    fields = {"least_bin": 40, "early_stopping_rounds": stopping, "n_estimators": 20, "validation_fraction": 0.3}
    setting = taiwan(job(**fields), rows=1500, parties=3)
    outcomes = setting.run()
    learned, watched = setting.joined_records()
    cuts, pair = setting.cuts(outcomes), (watched.matrix, watched.labels)
    assert setting.joined(outcomes) == train_on_bins(
        learned.matrix, learned.labels, None, cuts, setting.job, watched=pair
    )
    with pytest.raises(ConfigurationError, match="cannot be given the cuts"):
        setting.reference(outcomes)


def test_training_on_numbers_of_bins_changes_nothing_where_xgboost_takes_the_cuts():
    setting = taiwan(job(min_child_weight=0), rows=800)
    outcomes = setting.run()
    learned, _ = setting.joined_records()
    on_bins = train_on_bins(learned.matrix, learned.labels, None, setting.cuts(outcomes), setting.job)
    assert on_bins == bytes(setting.reference(outcomes).save_raw("json"))


def test_missing_values_ties_and_weights_between_parties():
    rng = np.random.default_rng(0)
    few = np.round(rng.normal(size=(900, 3)), 0).astype(np.float32)
    matrix = few[:, [0, 1, 1, 2, 0, 2, 1, 0, 2]]
    matrix[:, 4] *= -1
    matrix[rng.random(900) < 0.1] = np.nan
    matrix[rng.random(matrix.shape) < 0.02] = np.nan
    labels = np.nan_to_num(few).sum(axis=1) + rng.normal(size=900) > 0
    weights = rng.choice([0.25, 1.0, 7.5], 900).astype(np.float32)
    for widths in [(1, 8), (2, 3, 4), (8, 1)]:
        setting = numbers(matrix, labels, widths, job(max_depth=5), weights)
        setting.assert_identical(setting.run())


def test_a_constant_and_an_empty_column_are_never_split():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(400, 5)).astype(np.float32)
    matrix[:, 2], matrix[:, 3] = 7, np.nan
    setting = numbers(matrix, matrix[:, 0] + matrix[:, 4] > 0, (2, 3), job())
    outcomes = setting.run()
    setting.assert_identical(outcomes)
    assert {rule.column for rule in outcomes["p1"].part.rules} == {"f4"}


def test_first_trees_alone_ask_nobody():
    setting, asked = taiwan(job(label_holder_trees=2), rows=1500), []
    outcomes = setting.run(lambda party, request: asked.append((party, request)))
    booster = parse_booster(outcomes[LENDER].release.model)
    own = len(setting.schema.part_of(LENDER).columns)
    assert all((tree.split_indices < own).all() for tree in booster.trees[:2])
    assert any((tree.split_indices >= own).any() for tree in booster.trees[2:])
    orders = [
        r.payloads["partner"][:1] for party, r in asked if party == LENDER and isinstance(r, Exchange) and r.payloads
    ]
    assert orders.count(b"G") == 3
    # The first trees are those of the fallback, which is the lender's own model.
    local = parse_booster(outcomes[LENDER].release.fallback).trees
    assert identical_trees(local[:2], booster.trees[:2]) == 2
    alone = taiwan(job(label_holder_trees=5), rows=1500).run()[LENDER].release
    assert alone.model == alone.fallback
    assert [partner.splits for partner in alone.partners] == [0]


def test_the_fallback_is_xgboosts_model_of_the_lenders_columns():
    setting = taiwan(job(validation_fraction=0.2))
    outcomes = setting.run()
    learned, _ = setting.joined_records()
    cuts = outcomes[LENDER].cuts
    reference = train_pooled(learned.matrix[:, : cuts.n_features], learned.labels, None, cuts, setting.job)
    assert outcomes[LENDER].release.fallback == bytes(reference.save_raw("json"))


@pytest.mark.parametrize("answers", ["decisions", "leaf_sets"])
def test_the_lenders_booster_with_the_partners_answers_scores_as_xgboost(answers):
    setting = taiwan(job(answers=answers), rows=1500, parties=3)
    outcomes = setting.run()
    release = outcomes[LENDER].release
    rows = setting.table.iloc[:50]
    columns = [setting.schema.part_of(LENDER).encode(rows)]
    for reference in release.partners:
        part = outcomes[reference.party].part
        assert (part.sha256, part.answers) == (reference.sha256, answers)
        answered = [part.answer(row) for row in part.schema.encode(rows)]
        if answers == "decisions":
            columns.append(np.stack([columns_of_decisions(data, reference.splits) for data in answered]))
        else:
            columns.append(np.stack([LeafSets(part.leaf_masks).columns(data) for data in answered]))
    margins = read_model(release.model, release.schema).margins(np.concatenate(columns, axis=1))
    learned, _ = setting.joined_records()
    matrix = xgboost.DMatrix(learned.matrix[:50], feature_names=list(setting.schema.joined_columns))
    assert np.array_equal(margins, setting.reference(outcomes).predict(matrix, output_margin=True))


@st.composite
def tables(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, features = draw(st.integers(30, 200)), draw(st.integers(2, 6))
    matrix = np.round(rng.normal(size=(rows, features)), draw(st.sampled_from([0, 1, 6]))).astype(np.float32)
    matrix[rng.random(matrix.shape) < draw(st.sampled_from([0.0, 0.1, 0.5]))] = np.nan
    if draw(st.booleans()):
        matrix[:, rng.integers(features)] = matrix[:, rng.integers(features)]
    labels = np.nan_to_num(matrix).sum(axis=1) + rng.normal(0, 2, rows) > 0
    labels[:2] = True, False
    cut = sorted(draw(st.sets(st.integers(1, features - 1), min_size=1, max_size=3)))
    return matrix, labels, tuple(np.diff([0, *cut, features]).tolist())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    tables(),
    st.fixed_dictionaries(
        {
            "n_estimators": st.integers(1, 3),
            "max_depth": st.integers(1, 5),
            "reg_lambda": st.sampled_from([0.5, 1.0, 10.0]),
            "reg_alpha": st.sampled_from([0.0, 0.5]),
            "min_child_weight": st.sampled_from([0.0, 1.0, 3.0]),
            "max_bin": st.sampled_from([2, 5, 255]),
            "scale_pos_weight": st.sampled_from([1.0, 4.0]),
            "cut_rounds": st.sampled_from([4, 8]),
            "monotone_constraints": st.sampled_from([{}, {"f0": 1}, {"f0": -1, "f1": 1}]),
        }
    ),
)
def test_any_small_table(table, fields):
    matrix, labels, widths = table
    setting = numbers(matrix, labels, widths, job(**fields))
    setting.assert_identical(setting.run())
