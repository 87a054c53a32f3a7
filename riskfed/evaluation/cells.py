"""The minimum cell rule: no published table has a cell with fewer than so many loans, unless it has none.

What is small is merged with a neighbour where cells have an order, and left out where they have none. A cell left out alone could be had
by subtraction from the total, so the next smallest goes with it, until all that is left out is no small cell either.

What this protects: nobody learns of a table that few loans are in a cell, nor which. What it does not: of a cell's loans, few may have
defaulted or been declined; and two tables over the same loans whose edges nearly meet can be subtracted from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def is_publishable(rows: int, least: int) -> bool:
    """Whether a cell may be shown."""
    return rows == 0 or rows >= least


def merge_neighbours(
    counts: NDArray[np.int64], is_sound: Callable[[Sequence[int]], bool], most: int | None = None
) -> list[tuple[int, int]]:
    """Merge neighbouring cells until each is sound.

    Args:
        counts: (c, k) int64, k counts of each of c cells in order, c 1 or more.
        is_sound: whether a cell with such k counts may be shown.
        most: most cells wanted, of about equal shares of the first count; None for as many as are sound.

    Returns:
        (first, one after the last) of each merged cell; together they are all cells. One that is not sound is the only one.
    """
    rows: list[list[int]] = counts.tolist()
    weight = sum(row[0] for row in rows)
    merged: list[tuple[int, int]] = []
    start = reached = 0
    total = [0] * counts.shape[1]
    step = 1
    for at, row in enumerate(rows):
        if merged and start == at and not any(row):
            # Empty cells belong to what is below, so that a cell begins where its loans do: at 1 and not at 0.1.
            merged[-1], start = (merged[-1][0], at + 1), at + 1
            continue
        total = [a + b for a, b in zip(total, row, strict=True)]
        reached += row[0]
        if (most is None or reached * most >= step * weight) and is_sound(total):
            merged.append((start, at + 1))
            start, total = at + 1, [0] * len(total)
            step = 1 if most is None or not weight else reached * most // weight + 1
    if start < len(rows):
        first = merged.pop()[0] if merged else 0
        merged.append((first, len(rows)))
    while len(merged) > 1 and not is_sound(counts[slice(*merged[-1])].sum(axis=0).tolist()):
        (first, _), (_, end) = merged[-2:]
        merged[-2:] = [(first, end)]
    return merged


def merge_smallest(
    counts: NDArray[np.int64], is_sound: Callable[[Sequence[int]], bool], most: int
) -> list[tuple[int, ...]]:
    """Merge cells that have no order: the smallest with the next smallest, while one is not sound or there are too many.

    Arguments as in `merge_neighbours`.

    Returns:
        the members of each merged cell, rising; cells in the order of their first members.
    """
    groups: list[tuple[tuple[int, ...], list[int]]] = [((at,), row) for at, row in enumerate(counts.tolist())]
    while len(groups) > 1:
        small = sorted(groups, key=lambda group: (is_sound(group[1]), group[1][0], group[0]))
        if is_sound(small[0][1]) and len(groups) <= most:
            break
        others = sorted(small[1:], key=lambda group: (group[1][0], group[0]))
        (members, row), (more, other) = small[0], others[0]
        groups = [*others[1:], (tuple(sorted(members + more)), [a + b for a, b in zip(row, other, strict=True)])]
    return sorted(members for members, _ in groups)


def left_out(rows: Sequence[int], least: int) -> set[int]:
    """Which cells of a table that adds up to a known total are not to be shown.

    Args:
        rows: loans in each cell.
        least: the least count above 0.

    Returns:
        positions of cells with loans; none, or two at least that together have `least` loans at least, or all.
    """
    filled = sorted((at for at, count in enumerate(rows) if count), key=lambda at: (rows[at], at))
    out = [at for at in filled if rows[at] < least]
    while out and len(out) < len(filled) and (len(out) == 1 or sum(rows[at] for at in out) < least):
        out.append(filled[len(out)])
    return set(out)
