import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.order_search import (
    FAN_OUT_BITS,
    ColumnCounts,
    RankSearch,
    count_children,
    from_sort_keys,
    sort_keys,
)
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.schema import Feature, Schema
from tests.helpers import add_up

finite = st.floats(-(2.0**99), 2.0**99, width=32)
numbers = hnp.arrays(np.float32, st.integers(1, 60), elements=finite)


def numeric_schema(n_features=1, **fields):
    return Schema(target="y", features=tuple(Feature(name=f"x{i}", **fields) for i in range(n_features)))


def records_of(matrix):
    """Bank records of an (n, f) matrix."""
    matrix = np.asarray(matrix, dtype=np.float32)
    ones = np.ones(len(matrix), np.float32)
    return Records(np.ascontiguousarray(matrix.T), ones, ones)


@given(numbers)
def test_keys_sort_as_the_numbers_do_and_come_back(values):
    keys = sort_keys(values)
    assert (np.sort(values) == values[np.argsort(keys, kind="stable")]).all()
    assert (from_sort_keys(keys) == values).all()


def test_both_zeros_have_one_key():
    assert sort_keys(np.float32([0.0]))[0] == sort_keys(np.float32([-0.0]))[0]


@given(numbers, st.integers(0, 4))
def test_eight_rounds_find_every_order_statistic_of_the_pool(values, cut):
    parts = [np.sort(sort_keys(part)) for part in np.array_split(values, cut + 1)]
    search = RankSearch.for_ranks(np.arange(len(values)), len(values))
    for _ in range(8):
        counts = [count_children(part, search.open_prefixes, search.bits, FAN_OUT_BITS) for part in parts]
        pooled = np.sum(counts, axis=0)
        assert (pooled.ravel() <= search.bounds()).all()
        search.narrow(pooled)
    assert (from_sort_keys(search.prefixes.astype(np.uint32)) == np.sort(values)).all()


@given(
    hnp.arrays(np.float32, st.integers(0, 80), elements=st.floats(width=32)),
    hnp.arrays(np.int64, st.integers(1, 9), elements=st.integers(0, 79)),
)
def test_going_through_a_column_counts_as_sorting_it_does(values, ranks):
    """Zeros of both signs, infinities and missing values among them."""
    there = np.sort(sort_keys(values[~np.isnan(values)]))
    counts = ColumnCounts(lambda: values)
    assert len(counts) == len(there)
    if not len(there):
        return
    search = RankSearch.for_ranks(np.unique(ranks % len(there)), len(there))
    for _ in range(8):
        plain = count_children(there, search.open_prefixes, search.bits, FAN_OUT_BITS)
        np.testing.assert_array_equal(counts.children(search.open_prefixes, search.bits), plain)
        search.narrow(plain)


@pytest.mark.parametrize("rounds", [4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_cuts_do_not_depend_on_who_has_which_row(rounds, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(400, 3)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    job = HorizontalXgboost(max_bin=16, cut_rounds=rounds)
    schema = numeric_schema(3)
    alone = run_alone(shared_cuts(records_of(matrix), schema, job))
    assert run_alone(shared_cuts(records_of(matrix), schema, job, threads=2)).to_dict() == alone.to_dict()
    parts = np.array_split(matrix[rng.permutation(400)], [1, 50, 50, 300])  # a bank with one row, one with none
    for cuts in add_up([shared_cuts(records_of(part), schema, job) for part in parts]):
        assert cuts.to_dict() == alone.to_dict()


def test_eight_rounds_give_exact_quantiles():
    values = np.random.default_rng(1).normal(size=1001).astype(np.float32)
    job = HorizontalXgboost(max_bin=11, cut_rounds=8)
    cuts = run_alone(shared_cuts(records_of(values[:, None]), numeric_schema(), job)).values[0]
    assert (cuts[:-1] == np.sort(values)[100::100]).all()
    assert cuts[-1] > values.max()


def test_four_rounds_disclose_no_exact_value():
    values = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    job = HorizontalXgboost(max_bin=200, cut_rounds=4)
    cuts = run_alone(shared_cuts(records_of(values[:, None]), numeric_schema(), job)).values[0]
    assert not set(cuts.tolist()) & set(values.tolist())
    assert (cuts[:-1].view(np.uint32) & 0xFFFF == 0).all()  # eight significant bits, no more
    counts = np.diff(np.searchsorted(np.sort(values), cuts[:-1]))
    assert counts.max() < 25  # near 5 for exact quantiles; the cells are as fine as bfloat16 allows


def test_few_distinct_values_each_get_a_bin():
    matrix = np.repeat(np.float32([-2, -1, 0, 1, 2, 8]), 50)[:, None]
    for rounds in (4, 8):
        job = HorizontalXgboost(max_bin=64, cut_rounds=rounds)
        codes = run_alone(shared_cuts(records_of(matrix), numeric_schema(), job)).bin(matrix.T.__getitem__, 300)
        assert len(np.unique(codes)) == 6


def test_public_levels_need_no_search():
    schema = Schema(
        target="y",
        features=(
            Feature(name="grade", encoding="ordinal", levels=("a", "b", "c")),
            Feature(name="home", encoding="onehot", levels=("own", "rent")),
        ),
    )
    cuts = run_alone(shared_cuts(records_of(np.zeros((0, 3))), schema, HorizontalXgboost()))
    assert [len(values) for values in cuts.values] == [3, 2, 2]
    assert cuts.values[0][:2].tolist() == [1.0, 2.0]
    assert cuts.bin([[2.0], [1.0], [0.0]].__getitem__, 1).tolist() == [[2], [1], [0]]


def test_a_feature_that_nobody_has():
    matrix = np.full((10, 1), np.nan, np.float32)
    cuts = run_alone(shared_cuts(records_of(matrix), numeric_schema(), HorizontalXgboost()))
    assert len(cuts.values[0]) == 1


@pytest.mark.parametrize(("nullable", "most"), [(True, 255), (False, 256)])
def test_no_more_bins_than_codes(nullable, most):
    matrix = np.arange(5000, dtype=np.float32)[:, None]
    job = HorizontalXgboost(max_bin=256, cut_rounds=8)
    assert len(run_alone(shared_cuts(records_of(matrix), numeric_schema(nullable=nullable), job)).values[0]) == most
