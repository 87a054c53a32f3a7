"""The Taiwan data by columns: different but overlapping customers, ids written differently, and the join that nobody can make."""

import numpy as np
import pandas as pd
import pytest

from riskfed.datasets import load_taiwan, vertical_blocks
from riskfed.datasets.vertical import LENDER, joined, taiwan_holders, taiwan_parties, taiwan_vertical_schema
from riskfed.errors import ConfigurationError
from riskfed.protocols.records import Records

# Customers whom both parties have, of taiwan_parties(seed=0): published figures name the seed only.
KNOWN_COMMON = 24_278


@pytest.fixture(scope="module")
def parties() -> dict[str, pd.DataFrame]:
    return taiwan_parties()


def _people(ids: pd.Series) -> set[int]:
    return set(ids.str.extract(r"(\d+)")[0].astype(int))


def test_each_party_has_its_columns_and_the_lender_the_outcome(parties):
    blocks = vertical_blocks()
    assert list(parties) == ["lender", "payments"]
    assert set(parties["lender"]) == {*blocks.label_holder, "default", "customer_id"}
    assert set(parties["payments"]) == {*blocks.feature_holder, "customer_id"}
    assert {len(frame) for frame in parties.values()} == {27_000}


def test_customers_overlap_and_each_party_has_some_of_its_own(parties):
    ours, theirs = (_people(frame["customer_id"]) for frame in parties.values())
    assert len(ours) == len(theirs) == 27_000
    assert len(ours & theirs) == KNOWN_COMMON
    assert ours - theirs
    assert theirs - ours


def test_ids_meet_only_once_they_are_normalised(parties):
    raw = [set(frame["customer_id"]) for frame in parties.values()]
    assert not raw[0] & raw[1]
    rule = taiwan_vertical_schema().customer_id
    ours, theirs = (set(rule.normalised(frame["customer_id"]).tolist()) for frame in parties.values())
    assert len(ours & theirs) == KNOWN_COMMON


def test_the_joined_table_is_the_published_one(parties):
    table = joined(parties, taiwan_vertical_schema())
    numbers = table["customer_id"].str[2:].astype(int).to_numpy()
    assert (np.diff(numbers) > 0).all()
    expected = load_taiwan().set_index("id").loc[numbers].reset_index(drop=True)
    pd.testing.assert_frame_equal(table.drop(columns="customer_id")[list(expected)], expected)


def test_a_draw_can_be_had_again_and_another_seed_gives_another(parties):
    for party, again in taiwan_parties(seed=0).items():
        pd.testing.assert_frame_equal(again, parties[party])
    assert not taiwan_parties(seed=1)["lender"]["customer_id"].equals(parties["lender"]["customer_id"])


@pytest.mark.parametrize("partners", [1, 2])
def test_every_party_meets_its_part_of_the_schema(partners):
    schema = taiwan_vertical_schema(partners)
    frames = taiwan_parties(partners, rows=300)
    assert set(frames) == set(schema.holders) == set(taiwan_holders(partners))
    for party, frame in frames.items():
        records = Records.from_frame(frame, schema.part_of(party))
        assert len(records) == 270
        assert records.labels.any() == (party == LENDER)


def test_three_parties_have_about_three_quarters_of_the_people_in_common():
    table = joined(taiwan_parties(2, rows=3000), taiwan_vertical_schema(2))
    assert 0.7 < len(table) / 3000 < 0.76
    assert set(table) == {*(c for block in taiwan_holders(2).values() for c in block), "default", "customer_id"}


@pytest.mark.parametrize(("partners", "rows"), [(0, None), (3, None), (1, 0), (1, 30_001)])
def test_what_cannot_be_is_refused(partners, rows):
    with pytest.raises(ConfigurationError):
        taiwan_parties(partners, rows=rows)
