"""A federated scorecard equals the one that pooling all records would give, for any split of the rows and every protection."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.outliers_influence import variance_inflation_factor

from riskfed.datasets import iid_split, load_taiwan, taiwan_consortium, taiwan_schema
from riskfed.errors import ConfigurationError, JobError
from riskfed.jobs import HorizontalScorecard
from riskfed.protocols import binning
from riskfed.protocols.horizontal_scorecard import Fitted, train
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.scorecard.card import Scorecard
from riskfed.secure import paillier_key
from riskfed.simulation import simulate
from tests.helpers import add_up, pooled
from tests.scorecard.loans import PooledFit, german_banks, sba_banks

JOB = HorizontalScorecard(validation_fraction=0.2)
SMALL = HorizontalScorecard(features=("limit_bal", "pay_0", "education", "pay_amt1"), min_iv=0.0)


def federated(banks: Mapping[str, pd.DataFrame], schema: Schema, job: HorizontalScorecard) -> list[Fitted]:
    return add_up([train(Records.from_frame(frame, schema), schema, job) for frame in banks.values()])


def assert_equals_pooled(
    card: Scorecard, banks: Mapping[str, pd.DataFrame], schema: Schema, fraction: float
) -> PooledFit:
    """The bars of the product: coefficients 1e-9, standard errors 1e-7, PD 1e-9."""
    development, _ = Records.from_frame(pooled(banks), schema).hold_out(fraction, 0)
    fit = PooledFit.of(card, development)
    assert np.abs(fit.result.params - fit.coefficients).max() < 1e-9
    assert np.abs(fit.result.bse - fit.standard_errors).max() < 1e-7
    assert np.abs(fit.result.predict() - card.pd(development.matrix)).max() < 1e-9
    assert card.fit.log_likelihood == pytest.approx(fit.result.llf, abs=1e-6)
    assert card.fit.aic == pytest.approx(fit.result.aic, abs=1e-6)
    assert [v.p_value for v in card.variables] == pytest.approx(fit.result.pvalues[1:], abs=1e-9)
    return fit


@pytest.fixture(scope="module")
def taiwan() -> pd.DataFrame:
    return load_taiwan().iloc[::4].reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.parametrize("n_banks", [3, 5, 8])
def test_all_of_taiwan(n_banks: int) -> None:
    banks = taiwan_consortium() if n_banks == 5 else iid_split(load_taiwan(), n_banks, seed=1)
    result = simulate(banks, taiwan_schema(), JOB)
    assert len(result.scorecard.variables) == 13
    assert result.metrics["auc"] > 0.76
    assert_equals_pooled(result.scorecard, banks, taiwan_schema(), 0.2)


def test_taiwan_at_five_unlike_banks_under_masking() -> None:
    banks, schema = taiwan_consortium(frame=load_taiwan().iloc[::2]), taiwan_schema()
    job = JOB.model_copy(update={"features": ("limit_bal", "age", "pay_0", "pay_2", "pay_amt1", "pay_amt2")})
    result = simulate(banks, schema, job)
    fit = assert_equals_pooled(result.scorecard, banks, schema, 0.2)
    inflation = [variance_inflation_factor(fit.result.model.exog, i + 1) for i in range(fit.design.shape[1])]
    assert [v.vif for v in result.scorecard.variables] == pytest.approx(inflation, rel=1e-9)
    _, held_out = Records.from_frame(pooled(banks), schema).hold_out(0.2, 0)
    margins = result.scorecard.margins(held_out.matrix).astype(np.float32)
    assert result.metrics["auc"] == pytest.approx(roc_auc_score(held_out.labels, margins), abs=1e-12)
    assert result.evaluation is not None
    assert result.evaluation.figures().items() <= result.metrics.items()


@pytest.mark.parametrize("n_banks", [3, 8])
def test_the_card_does_not_depend_on_who_has_which_loan(taiwan: pd.DataFrame, n_banks: int) -> None:
    schema = taiwan_schema()
    alone = run_alone(train(Records.from_frame(taiwan, schema), schema, SMALL))
    outcomes = federated(iid_split(taiwan, n_banks, seed=n_banks), schema, SMALL)
    assert {outcome.full.model for outcome in outcomes} == {alone.full.model}
    by_label = taiwan.sort_values("default")
    banks = {str(bank): by_label.iloc[bank * 1500 : bank * 1500 + 1500] for bank in range(-1, 5)}  # the first has none
    assert federated(banks, schema, SMALL)[0].release.to_bytes() == outcomes[-1].release.to_bytes()


def test_german_credit() -> None:
    banks, schema = german_banks()
    job = HorizontalScorecard(min_iv=0.05, sign_check=False, max_bins=4)
    card = federated(banks, schema, job)[0].card
    assert any(variable.groups for variable in card.variables)
    assert_equals_pooled(card, banks, schema, 0.0)


def test_sba_at_its_lenders() -> None:
    banks, schema = sba_banks()
    job = HorizontalScorecard(selection="stepwise", validation_fraction=0.2)
    outcomes = federated(banks, schema, job)
    assert len({outcome.release.to_bytes() for outcome in outcomes}) == 1
    card = outcomes[0].card
    assert [step.action for step in card.selection].count("enter") >= len(card.variables)
    assert_equals_pooled(card, banks, schema, 0.2)


def test_paillier_gives_the_same_card(taiwan: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)
    banks, schema = iid_split(taiwan, 3, seed=0), taiwan_schema()
    job = SMALL.model_copy(update={"features": ("pay_0", "education")})
    by_paillier = simulate(banks, schema, job, "paillier", key_bits=1024)
    assert by_paillier.full.model == federated(banks, schema, job)[0].full.model


def test_no_wrong_sign_stays_and_it_is_said_why(taiwan: pd.DataFrame) -> None:
    schema, features = taiwan_schema(), ("bill_amt1", "bill_amt2", "bill_amt3", "limit_bal", "pay_0")
    records, job = Records.from_frame(taiwan, schema), HorizontalScorecard(features=features, min_iv=0.0)
    kept = run_alone(train(records, schema, job.model_copy(update={"sign_check": False}))).card
    assert [v.feature for v in kept.variables if v.coefficient > 0] == ["bill_amt1"]
    assert kept.coefficients_table().set_index("variable").loc["bill_amt1", "sign"] == "wrong"
    checked = run_alone(train(records, schema, job)).card
    assert all(v.coefficient < 0 for v in checked.variables)
    left_out = {c.feature: c.left_out for c in checked.candidates if c.left_out}
    assert left_out.keys() == {"bill_amt1"}
    assert "its coefficient has the wrong sign" in left_out["bill_amt1"]
    assert [(step.action, step.feature) for step in checked.selection] == [("wrong sign", "bill_amt1")]


def test_the_analysts_own_edges(taiwan: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binning, "optimal_bins", None)  # the solver is not asked
    schema = taiwan_schema()
    job = HorizontalScorecard(
        features=("age", "education"), bins={"age": (25.0, 40.5), "education": (0.5, 1.5)}, min_iv=0.0
    )
    card = run_alone(train(Records.from_frame(taiwan, schema), schema, job)).card
    age, education = (card.binning_table(name) for name in ("age", "education"))
    assert age["bin"].tolist() == ["below 25", "[25, 40.5)", "40.5 and above", "missing"]
    young = taiwan[taiwan["age"] < 25]
    assert age["bads"].tolist()[:2] == [young["default"].sum(), taiwan.query("25 <= age < 40.5")["default"].sum()]
    assert education["bin"].tolist() == ["1", "2", "3, 4, 5, 6, 0", "missing"]


def test_small_special_bins_stay_hidden(taiwan: pd.DataFrame) -> None:
    features = [
        feature.model_copy(update={"special_values": (-2.0, 8.0)}) if feature.name == "pay_0" else feature
        for feature in taiwan_schema().features
    ]
    schema = Schema(target="default", features=tuple(features))
    job = SMALL.model_copy(update={"least_cell": 30})
    assert 0 < (taiwan["pay_0"] == 8).sum() < 30
    card = run_alone(train(Records.from_frame(taiwan, schema), schema, job)).card
    table = card.binning_table("pay_0").set_index("bin")
    assert pd.isna(table.loc["8", "goods"])
    assert table.loc["8", "woe"] == table.loc["8", "points"] == 0
    assert table.loc["-2", "goods"] == (taiwan.query("pay_0 == -2")["default"] == 0).sum()
    for candidate in card.candidates:
        counts = [bin_.goods + bin_.bads for bin_ in candidate.bins if bin_.goods is not None and bin_.bads is not None]
        assert all(count == 0 or count >= 30 for count in counts)
        assert sum(counts) == card.fit.rows, "nothing comes out by subtraction"


def test_what_is_released(taiwan: pd.DataFrame) -> None:
    records, schema = Records.from_frame(taiwan, taiwan_schema()), taiwan_schema()
    by_form = {
        form: run_alone(train(records, schema, SMALL.model_copy(update={"release": form})))
        for form in ("full", "reduced", "withheld")
    }
    full = by_form["full"].release
    assert {outcome.full.model_sha256 for outcome in by_form.values()} == {full.model_sha256}
    assert Scorecard.from_bytes(full.model) == by_form["full"].card
    assert by_form["withheld"].release.model == b""
    reduced = Scorecard.from_bytes(by_form["reduced"].release.model)
    every = [*reduced.variables, *reduced.candidates]
    assert all(bin_.goods is None and bin_.bads is None for part in every for bin_ in part.bins)
    assert (reduced.margins(records.matrix) == by_form["full"].card.margins(records.matrix)).all()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"features": ("limit_bal", "wealth")}, "wealth"),
        ({"features": ("sex", "education"), "min_iv": 5.0}, "no feature reaches an information value of 5"),
        ({"bins": {"age": (19.0, 20.0)}}, "of the 3 bins that the job gives for age, number 1, 2 holds fewer than 20"),
        ({"bins": {"age": (30.0, 30.0000001)}}, "the same float32 number"),
        ({"features": ("sex", "education"), "selection": "forward", "entry_p": 1e-300}, "left no variable"),
    ],
)
def test_what_cannot_be_is_refused(taiwan: pd.DataFrame, fields: dict[str, object], reason: str) -> None:
    schema, job = taiwan_schema(), HorizontalScorecard(**{"min_iv": 0.0} | fields)
    with pytest.raises(JobError, match=reason):
        run_alone(train(Records.from_frame(taiwan[taiwan["age"] > 20], schema), schema, job))


def test_weights_and_edges_of_levels_are_refused() -> None:
    banks, schema = german_banks()
    records = Records.from_frame(pooled(banks), schema)
    with pytest.raises(JobError, match="its levels have no order"):
        run_alone(train(records, schema, HorizontalScorecard(bins={"purpose": (0.5,)})))
    weighted = schema.model_copy(update={"weight": "exposure"})
    with pytest.raises(JobError, match="weights rows by exposure"):
        run_alone(train(records, weighted, HorizontalScorecard()))


def test_a_singular_fit_names_the_feature(taiwan: pd.DataFrame) -> None:
    frame = taiwan.assign(pay_3=taiwan["pay_2"])
    job = HorizontalScorecard(features=("limit_bal", "pay_2", "pay_3"))
    with pytest.raises(JobError, match=r"pay_3 is constant, .*the analyst must drop pay_3"):
        run_alone(train(Records.from_frame(frame, taiwan_schema()), taiwan_schema(), job))


def test_banks_whose_solvers_differ_stop(taiwan: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, found = taiwan_schema(), iter([1, 2, 3])
    real = binning.optimal_bins

    def other_at_the_third(*args: object, **options: object) -> object:
        options["max_bins"] = 2 if next(found) == 3 else 8
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(binning, "optimal_bins", other_at_the_third)
    with pytest.raises(ConfigurationError, match="must install the same versions of optbinning, ortools"):
        federated(iid_split(taiwan, 3, seed=0), schema, SMALL.model_copy(update={"features": ("limit_bal",)}))
