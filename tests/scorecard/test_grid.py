"""The public grid: round edges, from the schema alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.datasets import taiwan_schema
from riskfed.schema import Feature, Schema
from riskfed.scorecard.grid import CELLS, public_grid


def edges_of(**fields: object) -> list[float]:
    (grid,) = public_grid(Schema(target="default", features=(Feature(name="x", **fields),)))
    return list(grid.edges)


def is_round(edge: float) -> bool:
    """Whether a float32 number is, to float32's precision, a number of three significant digits."""
    return bool(np.float32(float(f"{edge:.3g}")) == np.float32(edge))


def test_a_narrow_range_gets_even_cells_with_an_edge_at_each_whole_number() -> None:
    age = edges_of(minimum=18, maximum=120)
    assert {float(year) for year in range(19, 120)} <= set(age)
    assert np.ptp(np.diff(age)) < 1e-4
    share = edges_of(minimum=0, maximum=1)
    assert share[:2] == [np.float32(0.002), np.float32(0.004)]
    assert share[-1] == 1.0, "a flag is cut into 0 and 1"


def test_a_score_far_from_zero_gets_even_cells() -> None:
    assert edges_of(minimum=300, maximum=850) == [float(score) for score in range(302, 852, 2)]


def test_amounts_get_round_edges_that_grow_with_the_amount() -> None:
    edges = edges_of(minimum=0, maximum=10_000_000)
    assert {1.0, 10.0, 2_000.0, 5_000.0, 80_000.0, 1_000_000.0} <= set(edges)
    assert all(map(is_round, edges))
    shares = np.diff(edges) / edges[:-1]
    assert shares.max() <= 0.0501
    assert shares.min() >= 0.0199


def test_without_a_range_both_signs_have_cells_of_all_magnitudes() -> None:
    edges = edges_of()
    assert edges == [-edge for edge in edges[::-1]]
    assert 0.0 in edges
    assert edges[-1] > 9e11


def test_levels_special_values_and_a_grid_of_the_schema() -> None:
    schema = Schema(
        target="default",
        features=(
            Feature(name="grade", encoding="ordinal", levels=("a", "b", "c")),
            Feature(name="purpose", encoding="onehot", levels=("car", "house")),
            Feature(name="months", minimum=0, maximum=600, special_values=(-1, -2), grid=(6, 12, 36)),
        ),
    )
    grade, purpose, months = public_grid(schema)
    assert (grade.columns, grade.edges, len(grade)) == ((0,), (0.5, 1.5), 4)
    assert (purpose.columns, purpose.groups, len(purpose)) == ((1, 2), ((0,), (1,)), 3)
    assert (months.edges, months.special, len(months)) == ((6, 12, 36), (-1, -2), 7)


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_edges_rise_inside_of_the_range_and_are_not_too_many(low: float, width: float) -> None:
    edges = np.array(edges_of(minimum=low, maximum=low + width))
    assert (np.diff(edges) > 0).all()
    assert (edges == edges.astype(np.float32)).all()
    assert (edges >= np.float32(low)).all()
    assert (edges <= np.float32(low + width)).all()
    assert max((edges < 0).sum(), (edges > 0).sum()) <= CELLS


@pytest.mark.parametrize("cells", [16, 128, 512, 2048])
def test_the_number_of_cells_can_be_chosen(cells: int) -> None:
    sizes = [
        max(sum(e < 0 for e in grid.edges), sum(e > 0 for e in grid.edges))
        for grid in public_grid(taiwan_schema(), cells)
    ]
    assert max(sizes) <= cells
    assert max(sizes) > cells / 4
