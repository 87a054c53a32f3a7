"""Rows that several banks hold are found, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.protocols.contribution.copied_rows import Distinct, row_hashes, without_copies
from riskfed.protocols.program import Program, Sum
from riskfed.protocols.records import Records
from tests.protocols.contributing import SCHEMA, honest, loans, shuffled, together


def sieved(*banks: pd.DataFrame) -> list[Distinct]:
    sides = {str(at): without_copies(Records.from_frame(frame, SCHEMA)) for at, frame in enumerate(banks)}
    return list(together(sides).values())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=40), min_size=2, max_size=4))
def test_what_is_left_is_what_one_bank_alone_holds(drawn: list[list[int]]) -> None:
    pool = loans(61, 5)
    got = sieved(*(pool.iloc[rows].reset_index(drop=True) for rows in drawn))
    for at, (rows, distinct) in enumerate(zip(drawn, got, strict=True)):
        others = {row for other, held in enumerate(drawn) if other != at for row in held}
        alone = sorted(set(rows) - others)
        assert sorted(distinct.records.column(1).tolist()) == sorted(pool["debt"].iloc[alone].tolist())
        assert (distinct.copies, distinct.repeats) == (len(set(rows) & others), len(rows) - len(set(rows)))


def test_labels_and_order_do_not_hide_a_copy() -> None:
    frame = loans(3000, 1)
    copied = shuffled(frame).sample(frac=1.0, random_state=1)
    assert [len(one.records) for one in sieved(frame, copied, loans(500, 2))] == [0, 0, 500]


def test_of_many_rows_none_is_taken_for_a_copy_by_chance() -> None:
    got = sieved(*(loans(6000, seed) for seed in range(4)))
    assert [(one.copies, one.repeats) for one in got] == [(0, 0)] * 4


def test_missing_values_and_zeros_of_both_signs_hash_alike() -> None:
    frame = pd.DataFrame({"income": [np.nan, 1.0], "debt": [0.0, -0.0], "grade": ["a", "a"], "default": [0, 1]})
    other = frame.assign(debt=[-0.0, 0.0], default=[1, 1])
    one, two = (row_hashes(Records.from_frame(each, SCHEMA), b"k" * 32) for each in (frame, other))
    assert np.array_equal(one, two)
    assert len(np.unique(one[:, 0])) == 2


def test_without_the_key_cells_say_nothing() -> None:
    records = Records.from_frame(loans(50, 1), SCHEMA)
    one, two = (row_hashes(records, key * 32) for key in (b"k", b"l"))
    assert not set(one.ravel().tolist()) & set(two.ravel().tolist())


def test_a_bank_tells_counts_by_cell_and_the_tables_shrink() -> None:
    asked: list[Any] = []

    def heard(program: Program[Distinct]) -> Program[Distinct]:
        answer = None
        while True:
            try:
                request = program.send(answer)
            except StopIteration as stop:
                found: Distinct = stop.value
                return found
            asked.append(request)
            answer = yield request

    first, *others = honest(3, rows=9000).values()
    sides = [without_copies(Records.from_frame(frame, SCHEMA)) for frame in (*others, first[:1000])]
    together(dict(enumerate([heard(sides[0]), *sides[1:]])))  # type: ignore[arg-type]
    tables = [request.values for request in asked if isinstance(request, Sum) and len(request.values) > 1]
    assert tables[0].sum() == 9000
    assert len(tables[0]) == 1 << 18  # eight cells a row of all banks, rounded up
    assert all(len(after) < len(tables[0]) / 4 for after in tables[1:])
