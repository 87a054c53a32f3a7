"""Splits: every row at one bank, the same at every call, and blind to the label."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.datasets import (
    iid_split,
    load_taiwan,
    split_by_affinity,
    taiwan_affinities,
    taiwan_consortium,
    vertical_blocks,
)
from riskfed.errors import ConfigurationError

# Sum of the ids at each bank of taiwan_consortium(seed=0).
KNOWN_ID_SUMS = {
    "universal": 227_451_691,
    "premier": 111_820_209,
    "digital": 52_418_385,
    "community": 36_314_812,
    "specialty": 22_009_903,
}


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return load_taiwan()


@pytest.fixture(scope="module")
def consortium(records) -> dict[str, pd.DataFrame]:
    return taiwan_consortium(seed=0)


def _ids(banks: dict[str, pd.DataFrame]) -> dict[str, list[int]]:
    return {bank: frame["id"].tolist() for bank, frame in banks.items()}


def test_five_banks_of_the_agreed_sizes(consortium):
    sizes = {bank: len(frame) for bank, frame in consortium.items()}
    assert sizes == {"universal": 15_000, "premier": 7_500, "digital": 3_600, "community": 2_400, "specialty": 1_500}


def test_every_record_is_at_one_bank_unchanged(records, consortium):
    together = pd.concat(consortium.values()).sort_index()
    pd.testing.assert_frame_equal(together, records)


def test_same_seed_same_banks_and_other_seed_other_banks(consortium):
    assert _ids(taiwan_consortium(seed=0)) == _ids(consortium)
    other = _ids(taiwan_consortium(seed=1))
    assert all(other[bank] != ids for bank, ids in _ids(consortium).items())


def test_known_answer(consortium):
    """Fails if NumPy's stream or the recipe changes: published results name the seed only."""
    assert {bank: frame["id"].sum() for bank, frame in consortium.items()} == KNOWN_ID_SUMS


def test_the_label_is_not_looked_at(records, consortium):
    shuffled = records.assign(default=np.random.default_rng(5).permutation(records["default"].to_numpy()))
    assert _ids(taiwan_consortium(seed=0, frame=shuffled)) == _ids(consortium)
    assert _ids(taiwan_consortium(seed=0, frame=records.drop(columns="default"))) == _ids(consortium)


def test_banks_are_what_their_names_say(records, consortium):
    mean = pd.DataFrame({bank: frame.mean() for bank, frame in consortium.items()})
    late = {bank: (frame["pay_0"] > 0).mean() for bank, frame in consortium.items()}
    assert mean.loc["limit_bal"].idxmax() == "premier"
    assert mean.loc["age"].idxmin() == "digital"
    assert mean.loc["age"].idxmax() == "community"
    assert max(late, key=late.get) == "specialty"
    rates = mean.loc["default"]
    assert rates["premier"] < records["default"].mean() < rates["specialty"]


@st.composite
def _splits(draw):
    n_rows = draw(st.integers(20, 200))
    weights = draw(st.lists(st.integers(2, 9), min_size=1, max_size=4))
    shares = {f"bank {i}": weight / sum(weights) for i, weight in enumerate(weights)}
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return n_rows, shares, {bank: rng.normal(size=n_rows) * 3 for bank in shares}


@settings(max_examples=60, deadline=None)
@given(_splits(), st.integers(0, 2**32))
def test_split_is_a_partition_in_the_given_order(split, seed):
    n_rows, shares, affinities = split
    frame = pd.DataFrame({"row": np.arange(n_rows)}, index=np.arange(n_rows) + 1_000)
    banks = split_by_affinity(frame, affinities, shares, seed)
    assert list(banks) == list(shares)
    assert sorted(row for bank in banks.values() for row in bank["row"]) == list(range(n_rows))
    largest = max(reversed(shares), key=shares.get)
    for bank, part in banks.items():
        assert part["row"].is_monotonic_increasing
        assert (part.index == part["row"] + 1_000).all()
        if bank != largest:
            assert len(part) == round(shares[bank] * n_rows)


def test_draw_odds_follow_the_exponential_of_the_affinity():
    """A bank of 1 row among n draws row i with probability exp(a_i) / sum exp(a)."""
    frame = pd.DataFrame({"row": range(4)})
    affinity = np.log([1.0, 2.0, 3.0, 4.0])
    drawn = [
        split_by_affinity(frame, {"small": affinity}, {"small": 0.25, "rest": 0.75}, seed)["small"]["row"].iloc[0]
        for seed in range(2_000)
    ]
    share = np.bincount(drawn, minlength=4) / 2_000
    assert np.abs(share - [0.1, 0.2, 0.3, 0.4]).max() < 4 * np.sqrt(0.4 * 0.6 / 2_000)


@pytest.mark.parametrize(
    ("shares", "affinities", "message"),
    [
        ({"a": 0.5, "b": 0.6}, {"a": np.zeros(10)}, "add up to 1"),
        ({"a": 0.0, "b": 1.0}, {"a": np.zeros(10)}, "above 0"),
        ({}, {}, "add up to 1"),
        ({"a": 0.4, "b": 0.6}, {}, "no affinity for bank a"),
        ({"a": 0.4, "b": 0.6}, {"a": np.zeros(9)}, r"shape \(9,\); expected \(10,\)"),
        ({"a": 0.4, "b": 0.6}, {"a": np.full(10, np.nan)}, "every number finite"),
        ({"a": 0.01, "b": 0.99}, {"a": np.zeros(10)}, "too few for 2 banks"),
    ],
)
def test_split_refuses_what_it_cannot_do(shares, affinities, message):
    with pytest.raises(ConfigurationError, match=message):
        split_by_affinity(pd.DataFrame({"row": range(10)}), affinities, shares, seed=0)


def test_affinities_read_neither_label_nor_id(records):
    with_all, without = taiwan_affinities(records), taiwan_affinities(records.drop(columns=["id", "default"]))
    assert all((with_all[bank] == without[bank]).all() for bank in with_all)


def test_iid_split_deals_all_rows_evenly_and_alike(records):
    banks = iid_split(records, 7, seed=3)
    assert {len(frame) for frame in banks.values()} == {4_285, 4_286}
    pd.testing.assert_frame_equal(pd.concat(banks.values()).sort_index(), records)
    assert _ids(iid_split(records, 7, seed=3)) == _ids(banks)
    assert _ids(iid_split(records, 7, seed=4)) != _ids(banks)
    rates = [frame["default"].mean() for frame in banks.values()]
    assert max(rates) - min(rates) < 0.04


@pytest.mark.parametrize("n_banks", [0, 30_001])
def test_iid_split_refuses_an_impossible_number_of_banks(records, n_banks):
    with pytest.raises(ConfigurationError, match=f"n_banks is {n_banks}"):
        iid_split(records, n_banks, seed=0)


def test_vertical_blocks_part_the_features(records):
    lender, partner = vertical_blocks()
    assert not set(lender) & set(partner)
    assert set(lender) | set(partner) == set(records.columns) - {"id", "default"}
    assert vertical_blocks().label_holder == lender
    assert "pay_0" in partner
    assert "bill_amt1" in lender
