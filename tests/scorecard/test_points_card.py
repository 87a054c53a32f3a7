"""The card as people read it: points, tables and text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.errors import ConfigurationError, RegistryError
from riskfed.jobs import HorizontalScorecard
from riskfed.protocols.horizontal_scorecard import train
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.scorecard.card import Scorecard

JOB = HorizontalScorecard(
    features=("pay_0", "limit_bal", "sex", "education"), base_score=500, base_odds=20, pdo=40, validation_fraction=0.2
)


@pytest.fixture(scope="module")
def records() -> Records:
    return Records.from_frame(load_taiwan().iloc[::5], taiwan_schema())


@pytest.fixture(scope="module")
def card(records: Records) -> Scorecard:
    return run_alone(train(records, taiwan_schema(), JOB)).card


def test_points_are_those_of_the_scale(card: Scorecard, records: Records) -> None:
    points = np.full(len(records), card.exact_base_points)
    for variable in card.variables:
        exact = np.array([bin_.exact_points for bin_ in variable.bins])
        points += exact[variable.feature_bins.codes(records.column)]
    odds = (1 - card.pd(records.matrix)) / card.pd(records.matrix)
    assert points == pytest.approx(500 + 40 * np.log2(odds / 20), abs=1e-9)
    assert (card.scale.points(card.pd(records.matrix)) == np.rint(np.clip(points, 300, 850))).all()


def test_the_printed_card_is_within_its_rounding(card: Scorecard, records: Records) -> None:
    printed = np.full(len(records), card.base_points)
    for variable in card.variables:
        whole = np.array([bin_.points for bin_ in variable.bins])
        printed += whole[variable.feature_bins.codes(records.column)]
    off = np.abs(printed - (card.scale.offset - card.scale.factor * card.margins(records.matrix)))
    assert off.max() <= card.rounding + 1e-9
    assert card.rounding <= 0.5 * (len(card.variables) + 1)


def test_safer_bins_have_more_points(card: Scorecard) -> None:
    for variable in card.variables:
        assert variable.coefficient < 0
        ranked = sorted(variable.bins, key=lambda bin_: bin_.woe)
        assert [bin_.points for bin_ in ranked] == sorted(bin_.points for bin_ in ranked)


def test_the_points_card_as_a_table(card: Scorecard) -> None:
    table = card.points_card()
    assert list(table.columns) == ["variable", "bin", "goods", "bads", "share", "default_rate", "woe", "points"]
    assert table.iloc[0][["variable", "points"]].tolist() == ["base points", card.base_points]
    for variable in card.variables:
        rows = table[table["variable"] == variable.feature]
        assert rows["bin"].iloc[-1] == "missing"
        assert rows["share"].sum() == pytest.approx(1)
        assert rows["goods"].sum() + rows["bads"].sum() == card.fit.rows
        assert rows["bads"].sum() == card.fit.defaults
    counted = table.dropna(subset="default_rate")
    assert (counted["default_rate"] == (counted["bads"] / (counted["goods"] + counted["bads"]))).all()


def test_the_binning_table_adds_up_to_the_information_value(card: Scorecard) -> None:
    assert [candidate.feature for candidate in card.candidates] == ["limit_bal", "sex", "education", "pay_0"]
    for candidate in card.candidates:
        assert card.binning_table(candidate.feature)["iv"].sum() == pytest.approx(candidate.iv, abs=1e-12)
    left_out = {candidate.feature: candidate.left_out for candidate in card.candidates if candidate.left_out}
    assert left_out.keys() == {"sex", "education"} - {variable.feature for variable in card.variables}
    assert all("is under 0.02" in reason for reason in left_out.values())
    assert set(card.binning_table("sex")["points"]) == {0}
    with pytest.raises(ConfigurationError, match="age was no candidate"):
        card.binning_table("age")


def test_the_coefficients_as_a_table(card: Scorecard) -> None:
    table = card.coefficients_table().set_index("variable")
    assert table.index.tolist() == ["intercept", *(variable.feature for variable in card.variables)]
    assert table["coefficient"].iloc[0] == card.fit.intercept
    shown = table.iloc[1:]
    assert (shown["wald_z"] == shown["coefficient"] / shown["standard_error"]).all()
    assert (shown["sign"] == "right").all()
    assert (shown["vif"] >= 1).all()


def test_the_card_as_text(card: Scorecard) -> None:
    text = card.as_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in table}) == 1, "columns align"
    assert len(table) == 2 + sum(len(variable.bins) for variable in card.variables)
    assert f"Everyone begins with {card.base_points} points" in text
    assert "500 points are odds of 20 to 1; 40 points double the odds" in text
    assert max(map(len, text.splitlines())) < 120


def test_there_and_back(card: Scorecard, records: Records) -> None:
    again = Scorecard.from_bytes(card.to_bytes())
    assert again == card
    assert again.to_bytes() == card.to_bytes()
    assert (again.margins(records.matrix) == card.margins(records.matrix)).all()


def test_a_card_without_counts_still_prints(card: Scorecard) -> None:
    bare = card.without_counts()
    assert bare.points_card()["goods"].isna().all()
    assert bare.points_card()["points"].tolist() == card.points_card()["points"].tolist()
    assert bare.binning_table("pay_0")["iv"].isna().all()
    assert f"{card.variables[0].bins[0].woe:.3f}" in bare.as_text()


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_card_is_refused_or_whole(at: int, junk: bytes) -> None:
    data = b'{"format": "riskfed scorecard 1", "columns": ["a"], "variables": []}'
    with pytest.raises(RegistryError, match="damaged"):
        Scorecard.from_bytes(data[: at % len(data)] + junk + data[at % len(data) :])


def test_bins_that_do_not_belong_together_are_refused(card: Scorecard) -> None:
    variable = card.variables[0].model_copy(update={"bins": card.variables[0].bins[1:]})
    with pytest.raises(RegistryError, match="do not belong together"):
        Scorecard.from_bytes(card.model_copy(update={"variables": (variable,)}).to_bytes())


def test_the_fit_in_figures(card: Scorecard) -> None:
    fit = card.fit
    rate = fit.defaults / fit.rows
    null = fit.rows * (rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    assert fit.null_log_likelihood == pytest.approx(null, rel=1e-12)
    assert fit.log_likelihood > null
    assert fit.aic == pytest.approx(2 * (1 + len(card.variables)) - 2 * fit.log_likelihood, rel=1e-12)
