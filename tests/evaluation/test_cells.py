"""The minimum cell rule on single tables: what is merged, what is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from riskfed.evaluation.cells import is_publishable, left_out, merge_neighbours, merge_smallest

LEAST = 10
TABLES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12).flatmap(
    lambda shape: hnp.arrays(np.int64, (shape[0], 2), elements=st.integers(0, 25))
)


def is_sound(counts: Sequence[int]) -> bool:
    return counts[0] >= LEAST and is_publishable(counts[1], LEAST)


@given(TABLES, st.one_of(st.none(), st.integers(1, 10)))
def test_neighbours_are_merged_until_all_are_sound(counts: np.ndarray, most: int | None) -> None:
    spans = merge_neighbours(counts, is_sound, most)
    assert [at for span in spans for at in range(*span)] == list(range(len(counts)))
    sums = [counts[slice(*span)].sum(axis=0) for span in spans]
    assert len(spans) == 1 or all(is_sound(row) for row in sums)
    assert most is None or len(spans) <= most


def test_bands_have_about_equal_shares() -> None:
    counts = np.full((100, 2), 10)
    assert merge_neighbours(counts, is_sound, 10) == [(at, at + 10) for at in range(0, 100, 10)]
    # One heavy point takes the shares that it spans, and the next band begins at the next share.
    counts[50] = 1000
    assert merge_neighbours(counts, is_sound, 10) == [(0, 20), (20, 40), (40, 51), (51, 61), (61, 81), (81, 100)]


def test_empty_cells_belong_to_the_cell_below() -> None:
    counts = np.array([[0, 0], [20, 20], [0, 0], [0, 0], [30, 30], [0, 0], [3, 0], [9, 9]])
    assert merge_neighbours(counts, is_sound, None) == [(0, 4), (4, 8)]


@given(TABLES, st.integers(1, 10))
def test_unordered_cells_are_merged_until_all_are_sound_and_few_enough(counts: np.ndarray, most: int) -> None:
    groups = merge_smallest(counts, is_sound, most)
    assert sorted(at for group in groups for at in group) == list(range(len(counts)))
    assert len(groups) <= most
    assert len(groups) == 1 or all(is_sound(counts[list(group)].sum(axis=0)) for group in groups)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_what_is_left_out_cannot_be_had_by_subtraction(rows: list[int]) -> None:
    out = left_out(rows, LEAST)
    shown = [count for at, count in enumerate(rows) if count and at not in out]
    assert all(count >= LEAST for count in shown)
    if out and shown:
        assert len(out) >= 2
        assert sum(rows[at] for at in out) >= LEAST


@pytest.mark.parametrize(
    ("rows", "out"), [([50, 40, 3], {1, 2}), ([50, 4, 3], {0, 1, 2}), ([50, 6, 5], {1, 2}), ([50, 0, 30], set())]
)
def test_known_tables(rows: list[int], out: set[int]) -> None:
    assert left_out(rows, LEAST) == out
