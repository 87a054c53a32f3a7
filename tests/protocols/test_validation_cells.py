"""The minimum cell rule over the whole record, and how bins of features are merged for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.evaluation.record import Evaluation, Shift
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.measuring import reason_shares
from riskfed.protocols.measuring.feature_shift import BinCounts, feature_shift, of_schema
from riskfed.protocols.measuring.reason_shares import reasons_of
from riskfed.protocols.records import Records
from riskfed.schema import Feature
from riskfed.scorecard.bins import FeatureBins
from tests.evaluation.loans import BINS, SCHEMA, Formula, loans, programs
from tests.helpers import add_up

INCOME, MONTHS, GRADE, PURPOSE = SCHEMA.features


def cells_of(record: Evaluation) -> Iterator[tuple[str, int]]:
    """Every published count of loans, and every one that a table's own total gives away."""
    total = record.population.rows
    recent = sum(grade.recent for grade in record.grades)
    yield "recent loans", recent
    yield "loans that are not recent", total - recent
    for grade in record.grades:
        rows = grade.goods + grade.bads
        for what, count in (("rows", rows), ("development", grade.development), ("recent", grade.recent)):
            yield f"{what} of grade {grade.low}", count
        yield f"other than recent of grade {grade.low}", (rows - grade.recent) if recent else 0
    for cell in record.cells:
        yield "score cell", cell.goods + cell.bads
    for shift in record.features:
        for row in shift.bins:
            yield f"{shift.name} {row.label} at development", row.expected
            yield f"{shift.name} {row.label} lately", row.actual
    yield "approved", round(total * record.approval_rate)
    yield "declined", total - round(total * record.approval_rate)
    for attribute in SCHEMA.attributes:
        shown = [group.rows for group in record.groups if group.attribute == attribute.name]
        yield from ((f"a level of {attribute.name}", rows) for rows in shown)
        yield f"levels of {attribute.name} left out", total - sum(shown)
    yield from (("vintage", vintage.rows) for vintage in record.vintages)
    if record.swap is not None and record.swap.both_goods is not None:
        for side in ("both", "in", "out", "neither"):
            yield side, getattr(record.swap, f"{side}_goods") + getattr(record.swap, f"{side}_bads")


@settings(max_examples=25, deadline=None)
@given(st.integers(40, 600), st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([0.2, 0.8, 0.97]))
def test_no_published_cell_is_smaller(rows: int, least: int, seed: int, rate: float) -> None:
    job = HorizontalXgboost(least_cell=least, approval_rate=rate, champion_sha256="c" * 64)
    champion = Formula(weight=0.7)
    record = add_up(programs(loans(2 * rows, seed), loans(rows, seed + 1), 1, job=job, champion=champion))[0]
    if record is None:
        return
    assert record.least_cell == least
    assert [what for what, count in cells_of(record) if 0 < count < least] == []
    for shift in record.features:
        assert sum(row.expected for row in shift.bins) == 2 * rows, "what is merged is not lost"
    contributions = Formula().reason_contributions(SCHEMA.encode(loans(rows, seed + 1)))
    told = (contributions.max(axis=1) > 0).sum()
    assert all(count == 0 or round(count * told) >= least for r in record.reasons for count in (r.first, r.among_four))


def shift(bins: FeatureBins, feature: Feature, expected: list[int], actual: list[int], most: int | None = 10) -> Shift:
    return feature_shift(BinCounts(bins, np.array(expected)), np.array(actual), feature, 10, most)


def counts(found: Shift) -> list[tuple[int, int]]:
    return [(row.expected, row.actual) for row in found.bins]


def test_a_special_value_with_few_loans_falls_into_its_interval() -> None:
    bins = FeatureBins("months", (1,), edges=(0.0, 12.0), special=(-2.0, -1.0))
    found = shift(bins, MONTHS, [20, 30, 40, 3, 50, 0], [20, 30, 40, 0, 12, 0])
    assert (found.edges, found.special, found.missing_in) == ((0.0, 12.0), (-1.0,), None)
    assert counts(found) == [(23, 20), (30, 30), (40, 40), (50, 12), (0, 0)]
    assert [row.label for row in found.bins] == ["below 0", "[0, 12)", "12 and above", "-1", "missing"]


def test_few_missing_values_join_the_largest_bin() -> None:
    bins = FeatureBins("months", (1,), edges=(0.0, 12.0))
    found = shift(bins, MONTHS, [20, 60, 40, 30], [20, 30, 40, 2])
    assert found.missing_in == 1
    assert counts(found) == [(20, 20), (90, 32), (40, 40)]
    assert found.bins[1].label == "[0, 12) or missing"


def test_hardly_any_value_at_all_makes_one_bin() -> None:
    bins = FeatureBins("months", (1,), edges=(0.0, 12.0), special=(-1.0,))
    found = shift(bins, MONTHS, [1, 2, 3, 40, 500], [1, 0, 0, 30, 300])
    assert counts(found) == [(546, 331)]
    assert (found.index, found.noise) == (0.0, 0.0)
    assert shift(bins, MONTHS, [0, 0, 0, 40, 500], [0, 0, 0, 30, 300]).special == (-1.0,)


def test_levels_with_few_loans_are_put_together() -> None:
    bins = FeatureBins("purpose", (3, 4, 5, 6), groups=((0,), (1,), (2,), (3,)))
    found = shift(bins, PURPOSE, [50, 4, 30, 7, 0], [50, 4, 30, 3, 0])
    assert found.groups == ((0,), (1, 2, 3))
    assert counts(found) == [(50, 50), (41, 37), (0, 0)]


def test_missing_values_stay_with_their_bin_when_it_is_merged() -> None:
    bins = FeatureBins("months", (1,), edges=(0.0, 12.0, 24.0))
    development = BinCounts(bins, np.array([100, 20, 60, 20, 0]), missing_in=2)
    found = feature_shift(development, np.array([50, 50, 5, 50, 3]), MONTHS, 10, None)
    assert (found.edges, found.missing_in) == ((0.0, 12.0), 2)
    assert counts(found) == [(100, 50), (20, 50), (80, 58)]


def test_a_reason_given_to_few_is_left_out_and_another_with_it() -> None:
    reasons, out = reasons_of(np.array([[50, 80], [30, 70], [3, 60], [0, 7]]), SCHEMA, 10)
    assert [(r.feature, r.first, r.among_four) for r in reasons] == [("income", 50 / 83, 80 / 83)]
    assert out == 3
    assert reasons_of(np.zeros((4, 2), np.int64), SCHEMA, 10) == ((), 0)


def test_reasons_of_many_loans_are_those_of_a_sample_whoever_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = loans(4000, 3)
    whole = add_up(programs(frame[:200], frame, 1))[0].reasons
    monkeypatch.setattr(reason_shares, "MOST_LOANS", 1000)
    one, three = (add_up(programs(frame[:200], frame, banks))[0].reasons for banks in (1, 3))
    assert one == three != whole
    for some, all_ in zip(one, whole, strict=True):
        assert (some.feature, some.first, some.among_four) == (
            all_.feature,
            pytest.approx(all_.first, abs=0.05),
            pytest.approx(all_.among_four, abs=0.05),
        )
    records = Records.from_frame(frame, SCHEMA)
    assert 900 < len(reason_shares.sampled(records, len(frame), 0)) < 1100
    held_out = records.hold_out(0.25, 0)[1]
    assert 200 < len(reason_shares.sampled(held_out, len(frame), 0)) < 300, "not the hash that holds out"


def test_neighbouring_intervals_are_merged_to_ten() -> None:
    bins = BINS[0]
    spread = np.random.default_rng(0).multinomial(5000, np.full(len(bins), 1 / len(bins)))
    found = shift(bins, INCOME, spread.tolist(), (spread // 2).tolist())
    assert len(found.bins) <= 11
    assert set(found.edges) <= set(bins.edges)
    assert shift(bins, INCOME, spread.tolist(), (spread // 2).tolist(), None).edges == bins.edges


@pytest.mark.parametrize("feature", SCHEMA.features, ids=lambda feature: feature.name)
def test_the_record_says_how_to_bin_new_loans(feature: Feature) -> None:
    """Whatever was merged: binned anew by what the record holds, the same loans give the same counts."""
    number = SCHEMA.features.index(feature)
    frame = pd.concat([loans(400, 5), loans(6, 6).assign(months=-2.0, purpose=None, grade=None)], ignore_index=True)
    encoded = SCHEMA.encode(frame)
    own = np.bincount(BINS[number].codes(lambda at: encoded[:, at]), minlength=len(BINS[number]))
    first = shift(BINS[number], feature, own.tolist(), own.tolist())
    known = of_schema(first, SCHEMA)
    again = np.bincount(known.bins.codes(lambda at: encoded[:, at]), minlength=len(known.bins))
    assert feature_shift(known, again, feature, 10, None) == first
