"""A federated logistic regression equals the pooled one of statsmodels, whatever the banks."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from riskfed.errors import ContractError, JobError
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import Program, Release, run_alone
from riskfed.protocols.regression.logistic_regression import LogisticFit, fit_logistic, most_fit_rounds
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Feature, Schema
from riskfed.scorecard.likelihood import SUM_BOUND, FixedPoint, likelihood_sums
from riskfed.secure import paillier_key
from tests.helpers import BANKS, add_up, parties_for, plan_for
from tests.scorecard.logistic_data import Rows, dealt, drawn, sums_asked, taiwan, together

SCHEMA = Schema(target="y", features=(Feature(name="x"),))


def pooled_fit(rows: Rows, columns: Any = slice(None)) -> Any:
    design, labels = rows
    return sm.Logit(labels, sm.add_constant(design[:, columns], has_constant="add")).fit(
        disp=0, method="newton", tol=1e-14
    )


def assert_equal_to_pooled(fit: LogisticFit, rows: Rows) -> None:
    expected = pooled_fit(rows, list(fit.columns))
    np.testing.assert_allclose(fit.coefficients, expected.params, rtol=0, atol=1e-11)
    np.testing.assert_allclose(fit.standard_errors, expected.bse, rtol=0, atol=1e-11)
    np.testing.assert_allclose(fit.covariance, expected.cov_params(), rtol=0, atol=1e-11)
    np.testing.assert_allclose(fit.wald_z, expected.tvalues, rtol=1e-9)
    np.testing.assert_allclose(fit.p_values, expected.pvalues, rtol=1e-7)
    assert fit.log_likelihood == pytest.approx(expected.llf, rel=1e-12)
    defaults, repaid = rows[1].sum(), (1 - rows[1]).sum()
    null = defaults * np.log(defaults / len(rows[1])) + repaid * np.log(repaid / len(rows[1]))
    assert fit.null_log_likelihood == pytest.approx(null, rel=1e-12)
    assert (fit.aic, fit.bic) == pytest.approx((expected.aic, expected.bic), rel=1e-12)
    assert (fit.rows, fit.defaults) == (len(rows[1]), defaults)
    design = sm.add_constant(rows[0][:, fit.columns], has_constant="add")
    pooled = sm.GLM(rows[1], design, sm.families.Binomial()).fit(tol=1e-13, maxiter=100)
    np.testing.assert_allclose(1 / (1 + np.exp(-design @ fit.coefficients)), pooled.predict(design), atol=1e-11)


def test_real_records() -> None:
    rows = taiwan()
    fits = [together(rows, fit_logistic, banks, empty=banks == 8) for banks in (3, 5, 8)]
    assert fits[0] == fits[1] == fits[2]
    assert_equal_to_pooled(fits[0], rows)
    assert fits[0].rounds == fits[0].iterations + 1 <= 8
    assert max(fits[0].coefficients[1:]) < 0  # a higher weight of evidence is safer


@given(st.integers(0, 100), st.integers(1, 6), st.sampled_from([0.001, 1.0, 300.0]))
@settings(max_examples=15)
def test_any_scale_and_number_of_columns(seed: int, columns: int, scale: float) -> None:
    design, labels = drawn(600, columns, seed)
    fit = together((design * scale, labels), fit_logistic, 4)
    expected = pooled_fit((design, labels))
    units = np.array([1, *[scale] * columns])
    np.testing.assert_allclose(fit.coefficients * units, expected.params, atol=1e-10)
    np.testing.assert_allclose(fit.standard_errors * units, expected.bse, atol=1e-10)


@given(st.lists(st.integers(0, 7), min_size=60, max_size=60), st.booleans())
@settings(max_examples=15)
def test_the_same_to_the_last_bit_for_every_partition(owners: list[int], firth: bool) -> None:
    design, labels = drawn(60, 2, seed=3)
    owner = np.array(owners)
    parts = [(design[owner == bank], labels[owner == bank]) for bank in range(8)]
    fits = add_up([fit_logistic(x, y, 60, 5.0, firth=firth) for x, y in parts])
    assert {*fits} == {run_alone(fit_logistic(design[::-1], labels[::-1], 60, 5.0, firth=firth))}


@given(
    st.lists(st.tuples(st.sampled_from([-1.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=5),
    st.sampled_from([1e-3, 1.0, 3.9999, 4.0, 1e4]),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2),
)
def test_no_pooled_sum_leaves_its_bound(
    rows: list[tuple[float, float]], bound: float, coefficients: list[float]
) -> None:
    design, labels = np.array(rows)[:, :1] * bound, np.array(rows)[:, 1]
    for pooled_rows in (len(rows), 1 << 40):
        sums = likelihood_sums(design, labels, coefficients, FixedPoint.of(pooled_rows, bound, coefficients))
        largest = max(abs(int(value)) for value in sums)
        assert largest * -(-pooled_rows // len(rows)) <= SUM_BOUND


def test_some_columns_only() -> None:
    rows = drawn(columns=5)
    fit = together(rows, fit_logistic, columns=[4, 1])
    assert fit.columns == (1, 4)
    assert_equal_to_pooled(fit, rows)
    asked: list[int] = []
    run_alone(sums_asked(fit_logistic(*rows, 2000, 5.0, columns=[4, 1]), asked))
    assert set(asked) == {3 + 3 + 6}, "nothing is summed of the columns that are left out"


def test_no_column_at_all() -> None:
    rows = drawn()
    fit = together(rows, fit_logistic, columns=[])
    assert fit.coefficients[0] == pytest.approx(np.log(rows[1].mean() / (1 - rows[1].mean())), abs=1e-12)
    assert fit.log_likelihood == pytest.approx(fit.null_log_likelihood, abs=1e-9)


def test_calibration_of_margins_starts_where_they_would_be_right() -> None:
    margins, labels = drawn(5000, 1, coefficients=[1.3])
    fit = together((margins, labels), fit_logistic, start=[0.0, 1.0])
    assert_equal_to_pooled(fit, (margins, labels))


def test_steps_are_halved_where_newton_alone_diverges() -> None:
    design, labels = drawn(500, 2, seed=1)
    start, ones = np.array([4.0, -5.0, 6.0]), sm.add_constant(design)
    plain = start.copy()
    for _ in range(3):
        p = expit(ones @ plain)
        plain = plain + np.linalg.lstsq((ones.T * (p * (1 - p))) @ ones, ones.T @ (labels - p), rcond=None)[0]
    assert np.abs(plain).max() > 1000, "the case is no test of halving"
    fit = together((design, labels), fit_logistic, start=start.tolist())
    assert fit.rounds > fit.iterations + 1
    assert_equal_to_pooled(fit, (design, labels))


def test_rounding_does_not_halve_steps() -> None:
    # A bound far above the values leaves the log-likelihood few bits; it then falls by rounding alone near the maximum.
    design, labels = drawn(3000, 2)
    fit = run_alone(fit_logistic(design, labels, 3000, 1e7))
    assert fit.rounds == fit.iterations + 1
    np.testing.assert_allclose(fit.coefficients, pooled_fit((design, labels)).params, atol=1e-8)


def released(rows: Rows, pooled_rows: int) -> Program[LogisticFit]:
    fit = yield from fit_logistic(*rows, pooled_rows, 5.0)
    yield Release(ModelRelease(json.dumps(fit.coefficients).encode(), SCHEMA, {}, [], [], 0).to_bytes())
    return fit


@pytest.mark.parametrize("protection", ["masking", "paillier"])
def test_under_protection(protection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)
    rows = drawn(300, 2)
    plan = plan_for(protection=protection)
    programs = {name: partial(released, own, 300) for name, own in zip(BANKS, dealt(rows, 3, empty=True), strict=True)}
    parties = parties_for(plan, programs)
    LocalSwitchboard(Switchboard(plan, transport="local"), parties, BANKS).run()
    assert {party.outcome for party in parties.values()} == {run_alone(fit_logistic(*rows, 300, 5.0))}


def separated() -> Rows:
    design, labels = drawn(400, 3)
    design[:, 1] = np.arange(400) % 20 == 0
    return design, np.where(design[:, 1] == 1, 0.0, labels)


def test_separation_is_told_with_its_column_and_what_to_do() -> None:
    asked: list[int] = []
    with pytest.raises(JobError, match=r"column 1 moves most.*\(separation\).*firth or a ridge, drop column 1"):
        run_alone(sums_asked(fit_logistic(*separated(), 400, 5.0, most_iterations=40), asked))
    assert len(asked) == most_fit_rounds(40)


def test_complete_separation() -> None:
    design, _ = drawn(400, 3)
    with pytest.raises(JobError, match="column 2 moves most"):
        together((design, (design[:, 2] > 0).astype(np.float64)), fit_logistic, most_iterations=100)


@pytest.mark.parametrize("of_others", [True, False])
def test_dependent_columns_are_named(of_others: bool) -> None:
    design, labels = drawn(400, 3)
    design[:, 2] = (design[:, 0] - design[:, 1]) / 2 if of_others else 0.7
    with pytest.raises(
        JobError,
        match="column 2 is constant, a linear combination of columns before it,.*drop column 2, or set a ridge",
    ):
        together((design, labels), fit_logistic)
    with pytest.raises(JobError, match="column 2 is constant"):
        together((design, labels), fit_logistic, columns=[0, 1, 2] if of_others else [2])


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"labels": np.zeros(30)}, JobError, "hold 0 defaults"),
        ({"labels": np.full(30, 2.0)}, ContractError, "30 labels"),
        ({"labels": np.zeros(29)}, ContractError, "does not go with"),
        ({"design": np.full((30, 2), np.nan)}, ContractError, "2 columns hold missing values"),
        ({"bound": 0.5}, ContractError, "above the public bound"),
        ({"bound": 0.0}, JobError, "bound on the design"),
        ({"pooled_rows": 31}, JobError, "have 30 rows; the regression was set up for 31"),
        ({"pooled_rows": 29}, ContractError, "of 29 rows at all banks"),
        ({"pooled_rows": 0}, JobError, "needs 1 to"),
        ({"ridge": 1.0, "firth": True}, JobError, "set one of them"),
        ({"ridge": -1.0}, JobError, "ridge is -1.0"),
        ({"columns": [0, 2]}, JobError, "the design has 2"),
        ({"start": [0.0, 1.0]}, JobError, "expected 3 finite"),
        ({"start": [900.0, 0.0, 0.0]}, JobError, "start nearer to 0"),
    ],
)
def test_what_cannot_be_fitted(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    design, labels = drawn(30, 2)
    given_ = {"design": design, "labels": labels, "pooled_rows": 30, "bound": 5.0, **fields}
    with pytest.raises(error, match=message):
        run_alone(fit_logistic(**given_))
