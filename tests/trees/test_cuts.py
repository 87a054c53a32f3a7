"""Cut points and bins in XGBoost's convention."""

import json

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, ContractError, JobError
from riskfed.schema import Feature, Schema
from riskfed.storage import Scratch
from riskfed.trees.cuts import MISSING, Cuts, cuts_from_order_statistics
from riskfed.trees.reference import cuts_of
from tests.trees.parties import binned, classification, quantile_cuts

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


def cuts(*columns: list[float]) -> Cuts:
    values = tuple(np.array(column, dtype=np.float32) for column in columns)
    return Cuts(values, np.array([column[0] - 1 for column in columns], dtype=np.float32))


def test_a_value_on_a_cut_belongs_to_the_bin_above():
    matrix = np.array([[-9], [0], [0.5], [1], [1.5], [2], [99], [np.nan]])
    assert binned(cuts([0, 1, 2]), matrix).ravel().tolist() == [0, 1, 1, 2, 2, 2, 2, MISSING]


def test_codes_are_unsigned_bytes_column_by_column():
    codes = binned(cuts([0, 1], [5]), np.zeros((3, 2)))
    assert codes.dtype == np.uint8
    assert codes.shape == (2, 3)
    assert codes.flags.c_contiguous


def test_values_are_rounded_to_float32_first():
    just_below = np.nextafter(np.float64(1), 0)
    assert binned(cuts([1, 2]), [[just_below]])[0, 0] == 1


@given(
    st.lists(FLOATS, min_size=1, max_size=256, unique=True),
    st.lists(st.one_of(FLOATS, st.just(np.nan)), max_size=50),
    st.integers(1, 3),
)
def test_codes_count_the_cuts_at_or_below_a_value(points, values, threads):
    points = sorted({float(point) for point in points} - {0.0})[:255] or [1.0]
    shared = Cuts((np.array(points, np.float32),) * 3, np.full(3, -(2.0**101), np.float32))
    column = np.array([*values, *points], dtype=np.float32)
    codes = shared.bin(lambda _: column, len(column), threads=threads)
    below = np.minimum((np.array(points, np.float32) <= column[:, None]).sum(axis=1), len(points) - 1)
    np.testing.assert_array_equal(codes, [np.where(np.isnan(column), MISSING, below)] * 3)


def test_codes_may_lie_in_a_mapped_file(tmp_path):
    data = classification(3000, 3, missing=0.1)
    shared, scratch = quantile_cuts(data.matrix, 50), Scratch(tmp_path)
    columns = scratch.empty((3, 3000), np.float32)
    columns[:] = data.matrix.T
    codes = shared.bin(columns.__getitem__, 3000, scratch)
    assert isinstance(codes.base, np.memmap)
    np.testing.assert_array_equal(codes, binned(shared, data.matrix))
    np.testing.assert_array_equal(columns, data.matrix.T)


@given(st.lists(FLOATS, min_size=1, max_size=60))
def test_all_distinct_values_give_xgboosts_own_cuts(values):
    column = np.array(values, dtype=np.float32)
    points, below = cuts_from_order_statistics(column.min(), column, column.max())
    theirs = cuts_of(xgboost.QuantileDMatrix(column.reshape(-1, 1), max_bin=256))
    np.testing.assert_array_equal(points, theirs.values[0])
    assert below == theirs.min_values[0]


def test_a_column_without_any_value_gets_what_xgboost_gives_it():
    points, below = cuts_from_order_statistics(np.nan, [], np.nan)
    theirs = cuts_of(xgboost.QuantileDMatrix(np.array([[np.nan, 1], [np.nan, 2]], dtype=np.float32)))
    np.testing.assert_array_equal(points, theirs.values[0])
    assert below == theirs.min_values[0]


@given(st.lists(FLOATS, min_size=1), st.lists(FLOATS))
def test_cuts_enclose_every_value(values, inner):
    column = np.array(values, dtype=np.float32)
    low, high = column.min(), column.max()
    points, below = cuts_from_order_statistics(low, [v for v in inner if low <= np.float32(v) <= high], high)
    assert below < low
    assert points[-1] > high
    assert (np.diff(points) > 0).all()


def test_numbers_without_room_above_them_are_refused():
    with pytest.raises(ContractError, match="too large"):
        cuts_from_order_statistics(0, [], 3e38)


def test_json_keeps_every_bit():
    schema = Schema(
        target="default", features=(Feature(name="income"), Feature(name="home", encoding="onehot", levels=("a", "b")))
    )
    shared = quantile_cuts(classification(500, 3).matrix, 200)
    shared = Cuts(shared.values, shared.min_values, schema)
    again = Cuts.from_dict(json.loads(json.dumps(shared.to_dict())))
    assert again.schema == schema
    assert again.feature_names == ("income", "home=a", "home=b")
    assert all(a.tobytes() == b.tobytes() for a, b in zip(again.values, shared.values, strict=True))
    assert again.min_values.tobytes() == shared.min_values.tobytes()


def test_offsets_count_bins():
    shared = cuts([0, 1, 2], [5], [1, 2])
    assert shared.offsets.tolist() == [0, 3, 4, 6]
    assert shared.total_bins == 6
    assert shared.feature_names == ("f0", "f1", "f2")


def test_missing_values_need_a_free_code():
    full = cuts(list(range(256)))
    assert binned(full, [[300.0]])[0, 0] == 255
    with pytest.raises(JobError, match="max_bin=255"):
        binned(full, [[np.nan]])


def test_infinite_values_are_refused_without_showing_the_record():
    with pytest.raises(ContractError, match="f0: 2 values are infinite"):
        binned(cuts([1]), [[np.inf], [0.25], [-np.inf]])


@pytest.mark.parametrize(
    ("columns", "below"),
    [
        ([[1, 1]], [0]),
        ([[2, 1]], [0]),
        ([[1, np.inf]], [0]),
        ([[]], [0]),
        ([list(range(1, 258))], [0]),
        ([[1]], [1]),
        ([[1]], [0, 0]),
    ],
)
def test_impossible_cuts_are_refused(columns, below):
    values = tuple(np.array(column, dtype=np.float32) for column in columns)
    with pytest.raises(ConfigurationError):
        Cuts(values, np.array(below, dtype=np.float32))


def test_other_columns_and_other_dictionaries_are_refused():
    for column in (np.zeros(2), np.zeros((3, 1))):
        with pytest.raises(ConfigurationError, match="expected"):
            cuts([1]).bin([column].__getitem__, 3)
    with pytest.raises(ConfigurationError, match="to_dict"):
        Cuts.from_dict({"values": [["a"]], "min_values": [0], "schema": None})
