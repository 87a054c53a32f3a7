"""How values fall into bins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import SchemaError
from riskfed.schema import Feature, Schema
from riskfed.scorecard.bins import FeatureBins, check_bins

PURPOSE = Feature(name="purpose", encoding="onehot", levels=("car", "house", "debt", "other"))
MONTHS = Feature(name="months", special_values=(-1,))
GRADE = Feature(name="grade", encoding="ordinal", levels=("a", "b", "c", "d"))
SCHEMA = Schema(target="default", features=(PURPOSE, MONTHS, GRADE))
MONTH_BINS = FeatureBins("months", (4,), edges=(6.0, 12.0), special=(-1.0,))
PURPOSE_BINS = FeatureBins("purpose", (0, 1, 2, 3), groups=((1, 3), (0,), (2,)))


def codes(bins: FeatureBins, **values: list[object]) -> list[int]:
    rows = len(next(iter(values.values())))
    frame = pd.DataFrame({"purpose": ["car"] * rows, "months": [0.0] * rows, "grade": ["a"] * rows} | values)
    return bins.codes(SCHEMA.encode(frame).T.__getitem__).tolist()


def test_an_edge_belongs_to_the_interval_above_it() -> None:
    assert codes(MONTH_BINS, months=[5.9, 6.0, 11.99, 12.0, 1e30]) == [0, 1, 1, 2, 2]


def test_special_and_missing_values_have_bins_of_their_own() -> None:
    assert codes(MONTH_BINS, months=[-1.0, np.nan, -2.0, 0.0]) == [3, 4, 0, 0]
    assert len(MONTH_BINS) == 5
    assert MONTH_BINS.labels(MONTHS) == ("below 6", "[6, 12)", "12 and above", "-1", "missing")


def test_levels_fall_into_groups() -> None:
    assert codes(PURPOSE_BINS, purpose=["car", "house", "debt", "other", None]) == [1, 0, 2, 0, 3]
    assert PURPOSE_BINS.labels(PURPOSE) == ("house, other", "car", "debt", "missing")


def test_levels_with_order_are_cut_between_positions() -> None:
    bins = FeatureBins("grade", (5,), edges=(0.5, 2.5))
    assert codes(bins, grade=["a", "b", "c", "d", None]) == [0, 1, 1, 2, 3]
    assert bins.labels(GRADE) == ("a", "b, c", "d", "missing")


@given(st.lists(st.tuples(st.one_of(st.just(np.nan), st.floats(-3, 20, width=32)), st.booleans())))
def test_every_loan_is_counted_once(loans: list[tuple[float, bool]]) -> None:
    values, labels = (np.array([loan[i] for loan in loans], dtype=np.float32) for i in range(2))
    counts = MONTH_BINS.counts(lambda _: values, labels)
    assert counts.shape == (5, 2)
    assert counts.sum(axis=0).tolist() == [(labels == 0).sum(), (labels == 1).sum()]
    assert counts[-1].sum() == np.isnan(values).sum()


@pytest.mark.parametrize(
    "bins",
    [
        FeatureBins("age", (4,)),
        FeatureBins("months", (3,)),
        FeatureBins("months", (4,), groups=((0,),)),
        FeatureBins("purpose", (0, 1, 2, 3), edges=(0.5,)),
        FeatureBins("purpose", (0, 1, 2, 3), groups=((0, 1), (1, 2, 3))),
        FeatureBins("purpose", (0, 1, 2, 3), groups=((0, 1), (2,))),
    ],
)
def test_bins_of_another_schema_are_refused(bins: FeatureBins) -> None:
    for sound in (PURPOSE_BINS, MONTH_BINS):
        check_bins(sound, SCHEMA)
    with pytest.raises(SchemaError, match="do not suit the schema"):
        check_bins(bins, SCHEMA)
