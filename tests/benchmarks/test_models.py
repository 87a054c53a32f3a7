"""The comparison with Flower's stock strategies is a fair one: their real messages, the same rows, figures that agree with libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

import riskfed
from benchmarks import flower_stock, models, sba
from benchmarks.model_figures import calibration, quality
from riskfed.datasets import iid_split, load_taiwan, taiwan_schema
from riskfed.protocols.records import Records

JOB = riskfed.HorizontalXgboost(n_estimators=4, max_depth=3, learning_rate=0.3, max_bin=16)


@pytest.fixture(scope="module")
def development() -> dict[str, Records]:
    banks = iid_split(load_taiwan().iloc[:3000], 3, seed=0)
    return {bank: Records.from_frame(frame, taiwan_schema()) for bank, frame in banks.items()}


@pytest.mark.parametrize("spread", [0.3, 1.0, 40.0])  # far too extreme margins make a plain Newton step diverge
def test_figures_agree_with_scikit_learn_and_statsmodels(spread: float) -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(-1, 1, 2000)
    labels = (rng.random(2000) < 1 / (1 + np.exp(-true))).astype(np.float32)
    margins = (spread * true + rng.normal(0, 0.3, 2000)).astype(np.float32)
    found = quality(margins, labels)
    pds = 1 / (1 + np.exp(-margins.astype(np.float64)))
    assert found.auc == pytest.approx(roc_auc_score(labels, margins), abs=1e-12)
    if spread < 10:  # scikit-learn cuts PDs off at machine precision
        assert found.log_loss == pytest.approx(log_loss(labels, pds), abs=1e-12)
    fit = sm.GLM(labels, sm.add_constant(margins.astype(np.float64)), family=sm.families.Binomial()).fit(tol=1e-12)
    assert calibration(margins.astype(np.float64), labels) == pytest.approx(tuple(fit.params), rel=1e-7)
    assert found.calibration_slope == pytest.approx(fit.params[1], rel=1e-7)


def test_separated_labels_have_no_calibration() -> None:
    margins = np.linspace(-1, 1, 50)
    with pytest.raises(ArithmeticError):
        calibration(margins, (margins > 0).astype(np.float64))


def test_bagging_sends_one_tree_of_each_bank_and_keeps_all(development: dict[str, Records]) -> None:
    run = flower_stock.bagging(development, taiwan_schema().columns, JOB, rounds=4)
    assert run.booster.num_boosted_rounds() == 4 * len(development)
    replies = [message for message in run.messages if message.direction == "received"]
    assert len(replies) == len(run.messages) / 2 == 4 * len(development)
    for message in replies:
        model = json.loads(flower_stock.model_json(message.content.array_records["arrays"]))
        assert len(model["learner"]["gradient_booster"]["model"]["trees"]) == 1
    assert run.bytes == sum(len(message.data) for message in run.messages)


def test_a_later_tree_fits_what_the_global_model_leaves(development: dict[str, Records]) -> None:
    """A bank whose parameters were lost with the loaded model would go on with XGBoost's defaults."""
    run = flower_stock.cyclic(development, taiwan_schema().columns, JOB, rounds=4)
    assert run.booster.num_boosted_rounds() == 4
    table = run.booster.trees_to_dataframe()
    assert table.groupby("Tree")["Node"].max().max() <= 2 ** (JOB.max_depth + 1) - 2
    spread = [table[(table["Tree"] == tree) & (table["Feature"] == "Leaf")]["Gain"].abs().max() for tree in range(4)]
    assert max(spread) < 4 * JOB.learning_rate  # a learning rate of 0.3, not of 1


def test_cyclic_takes_the_banks_in_turn(development: dict[str, Records]) -> None:
    run = flower_stock.cyclic(development, taiwan_schema().columns, JOB, rounds=6)
    order = [message.bank for message in run.messages if message.direction == "received"]
    assert set(order[:3]) == set(development)
    assert order[:3] == order[3:]


def test_cyclic_over_banks_with_the_same_records_is_plain_boosting(development: dict[str, Records]) -> None:
    records = next(iter(development.values()))
    run = flower_stock.cyclic({"a": records, "b": records}, taiwan_schema().columns, JOB, rounds=JOB.n_estimators)
    plain = flower_stock.xgboost.train(
        flower_stock.xgboost_parameters(JOB, taiwan_schema().columns) | {"nthread": 1},
        flower_stock.xgboost.DMatrix(
            records.matrix, records.labels, weight=records.weights, feature_names=list(taiwan_schema().columns)
        ),
        JOB.n_estimators,
    )
    rows = flower_stock.xgboost.DMatrix(records.matrix, feature_names=list(taiwan_schema().columns))
    np.testing.assert_allclose(
        run.booster.predict(rows, output_margin=True), plain.predict(rows, output_margin=True), atol=1e-5
    )


def test_federated_averaging_of_equal_banks_is_the_pooled_fit() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(500, 3))
    labels = (rng.random(500) < 1 / (1 + np.exp(-features[:, 0]))).astype(np.float64)
    banks = {"a": (features, labels), "b": (features, labels)}
    _, coefficients, intercept = flower_stock.averaged_logistic(banks, rounds=60, local_epochs=5)
    pooled = LogisticRegression(tol=1e-10).fit(features, labels)
    assert [*coefficients, intercept] == pytest.approx([*pooled.coef_[0], pooled.intercept_[0]], abs=1e-3)


def test_linear_features_belong_to_the_rows_that_trees_hold_out() -> None:
    banks = iid_split(load_taiwan().iloc[:3000], 3, seed=0)
    bench = models.Bench("small", banks, taiwan_schema())
    features, held_out = models.linear_features(banks, taiwan_schema())
    assert {bank: len(x) for bank, x in features.items()} == {bank: len(r) for bank, r in bench.development.items()}
    assert len(held_out) == len(bench.labels)
    pooled = np.concatenate(list(features.values()))
    assert np.isfinite(pooled).all()
    np.testing.assert_allclose(pooled.mean(axis=0), 0, atol=1e-9)
    limit = taiwan_schema().columns.index("limit_bal")
    rank = pd.Series(held_out[:, limit]).corr(pd.Series(bench.held_out.get_data().toarray()[:, limit]), "spearman")
    assert rank == pytest.approx(1)


@given(st.lists(st.sampled_from("abcdefg"), min_size=7, max_size=60), st.integers(2, 8))
def test_every_sba_loan_lies_at_one_bank(lenders: list[str], banks: int) -> None:
    frame = pd.DataFrame({"bank": lenders, "loan": range(len(lenders))})
    split = sba.sba_banks(frame, banks)
    assert len(split) <= banks
    assert sorted(loan for own in split.values() for loan in own["loan"]) == list(range(len(lenders)))
    own = [frame for name, frame in split.items() if name != sba.OTHERS]
    assert all(frame["bank"].nunique() == 1 for frame in own)
    rest = split[sba.OTHERS]["bank"].value_counts().max() if len(split[sba.OTHERS]) else 0
    assert min(len(frame) for frame in own) >= rest


def test_a_table_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(sba.VARIABLE, raising=False)
    assert sba.load_sba() is None
    path = tmp_path / "loans.parquet"
    pd.DataFrame({"bank": ["a"], "amount_approved": [8.0], "amount_sba_guaranteed": [2.0]}).to_parquet(path)
    monkeypatch.setenv(sba.VARIABLE, str(path))
    loans = sba.load_sba()
    assert loans is not None
    assert loans["guaranteed_share"].tolist() == [0.25]
