"""Customers' ids stay with their rows, whatever is taken of them; unfit ones are refused by count."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.contract import Batch
from riskfed.errors import ContractError
from riskfed.protocols.records import Records
from riskfed.schema import Attribute, CustomerId, Feature, Schema
from riskfed.storage import MEMORY, Scratch

JOINT = Schema(
    target="default",
    weight="w",
    features=(Feature(name="number"), Feature(name="grade", encoding="onehot", levels=("A", "B"))),
    attributes=(Attribute(name="band", edges=(0.5,)),),
)
SCHEMA = Schema.vertical(
    JOINT, {"lender": ["number"], "shop": ["grade"]}, "lender", CustomerId(normalise=("strip", "upper"))
)
LENDER, SHOP = SCHEMA.part_of("lender"), SCHEMA.part_of("shop")


def customers(rows: int) -> pd.DataFrame:
    """Row k is customer 000k, and everything else of it tells k too."""
    place = np.arange(rows)
    return pd.DataFrame(
        {
            "customer_id": [f" c{k:04d}" for k in place],
            "number": place,
            "grade": np.array(["A", "B"])[place % 2],
            "default": place % 2,
            "w": place + 1,
            "band": place / rows,
        }
    )


def assert_belong_together(records: Records, places: np.ndarray) -> None:
    """The records are customers `places`, in that order."""
    assert records.ids is not None
    assert records.ids.tolist() == [f"C{k:04d}".encode() for k in places]
    assert records.column(0).tolist() == places.tolist()
    assert records.labels.tolist() == (places % 2).tolist()
    assert records.weights.tolist() == (places + 1).tolist()
    np.testing.assert_array_equal(records.attribute(0), np.float32(places / 50))
    assert len(records) == len(places)


@given(st.data())
def test_rows_are_taken_as_a_whole(data: st.DataObject) -> None:
    borders = sorted(data.draw(st.lists(st.integers(0, 50), max_size=3)))
    frame = customers(50)
    batches = [Batch(frame.iloc[start:stop]) for start, stop in pairwise([0, *borders, 50])]
    records, places = Records.from_batches(batches, LENDER), np.arange(50)
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            chosen = np.array(
                data.draw(st.lists(st.booleans(), min_size=len(places), max_size=len(places))), dtype=bool
            )
            records, places = records.where(chosen), places[chosen]
        else:
            positions = data.draw(st.lists(st.integers(0, len(places) - 1), max_size=60)) if len(places) else []
            order = np.array(positions, dtype=np.int64)
            records, places = records.take(order), places[order]
        assert_belong_together(records, places)


def test_what_is_taken_lies_where_the_records_lie(tmp_path: Path) -> None:
    frame, order = customers(50), np.random.default_rng(3).permutation(50)
    stored = Records.from_batches([Batch(frame)], LENDER, Scratch(tmp_path))
    taken = stored.where(np.arange(50) >= 10).take(order[order < 40])
    assert_belong_together(taken, order[order < 40] + 10)
    assert taken.storage is stored.storage
    assert taken.rows is None
    in_memory = Records.from_batches([Batch(frame)], LENDER, MEMORY).take(order)
    assert in_memory.digest() == stored.digest(), "the order of rows is not in the digest"


def test_a_feature_holder_needs_nothing_of_the_labels() -> None:
    records = Records.from_frame(customers(4)[["customer_id", "grade"]], SHOP)
    assert records.labels.tolist() == [0, 0, 0, 0]
    assert records.weights.tolist() == [1, 1, 1, 1]
    assert records.matrix.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert records.take(np.array([3], dtype=np.int64)).ids is not None


def test_ids_are_not_in_the_digest() -> None:
    frame = customers(50)
    others = Records.from_frame(frame.assign(customer_id=frame["customer_id"] + "x"), LENDER)
    assert others.digest() == Records.from_frame(frame, LENDER).digest()
    assert Records.from_frame(frame, JOINT).ids is None


def test_unfit_ids_are_refused_by_count_over_all_batches() -> None:
    frame = customers(30)
    frame.loc[[4, 20], "customer_id"] = None
    frame.loc[[25, 26], "customer_id"] = "ZEBRA"
    frame.loc[3, "customer_id"] = "zebra  "
    batches = [Batch(frame.iloc[:10]), Batch(frame.iloc[10:])]
    with pytest.raises(ContractError) as caught:
        Records.from_batches(batches, SHOP)
    assert "2 rows" in str(caught.value)
    assert "3 rows" in str(caught.value)
    assert "ZEBRA" not in str(caught.value).upper()
    with pytest.raises(ContractError, match="missing column: column customer_id"):
        Records.from_frame(frame.drop(columns="customer_id"), SHOP)
