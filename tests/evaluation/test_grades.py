"""Grades keep the minimum cell rule on every count that they show or give away."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from riskfed.evaluation.grades import ScoreTable, grades_of, score_shift

COUNTS = st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=3, max_size=30)


@given(COUNTS, st.integers(1, 20))
def test_no_count_of_a_grade_is_small(counts: list[tuple[int, int, int, int]], least: int) -> None:
    development, goods, bads, recent = (np.array(column) for column in zip(*counts, strict=True))
    recent = np.minimum(recent, goods + bads)
    goods[0], development[0] = goods[0] + least, development[0] + least  # enough in all
    pds = 100 * (goods + bads)
    points = range(300, 300 + len(counts))
    table = ScoreTable(points, points, development, goods, bads, recent, pds, unit=1000.0)
    grades = grades_of(table, least, 10)
    assert (grades[0].low, grades[-1].high) == (300, 299 + len(counts))
    assert sum(grade.goods + grade.bads for grade in grades) == (goods + bads).sum()
    if len(grades) > 1:
        for grade in grades:
            rows = grade.goods + grade.bads
            assert min(rows, grade.development) >= least
            assert all(count == 0 or count >= least for count in (grade.recent, rows - grade.recent))
            assert grade.mean_pd == 0.1
    assert [row.expected for row in score_shift(grades).bins] == [grade.development for grade in grades]
