"""What a feature holder's answers tell the label holder of a customer: how finely they part customers, and how narrowly they bound a value.

The label holder knows neither thresholds nor names of columns. From training it knows which splits are on the same column, and their order,
so it knows in which of a column's intervals a customer's value lies.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from riskfed.trees.leaf_sets import LeafMask
from riskfed.vertical_model import FeaturePart


@dataclass(frozen=True, slots=True)
class Told:
    """What answers on n customers tell.

    Attributes:
        bits: of an answer.
        groups: different answers.
        alone: share of customers whose answer is no other's.
    """

    bits: int
    groups: int
    alone: float


@dataclass(frozen=True, slots=True)
class Bounded:
    """How narrowly decisions bound the values of a column.

    Attributes:
        column: its name, which the label holder does not know.
        intervals: into which the thresholds part it.
        mean_share: of customers that lie in the same interval as a customer does, itself included: 1 if nothing is told.
    """

    column: str
    intervals: int
    mean_share: float


def told(part: FeaturePart, rows: NDArray[np.float32], masks: tuple[LeafMask, ...] = ()) -> Told:
    """What the answers of a part on (n, f) encoded records tell.

    Args:
        part: a feature holder's.
        rows: its records.
        masks: answer with leaf sets by these masks; with decisions if there are none.
    """
    answering = replace(part, leaf_masks=masks)
    answers = [answering.answer(row) for row in rows]
    _, counts = np.unique(np.array(answers, dtype=object).astype("S"), return_counts=True)
    sizes = {mask.tree: mask.n_leaves for mask in masks}
    return Told(sum(sizes.values()) or len(part.rules), len(counts), float((counts == 1).sum() / len(rows)))


def bounded(part: FeaturePart, rows: NDArray[np.float32]) -> list[Bounded]:
    """How narrowly decisions bound each column that has a split, narrowest first."""
    thresholds = defaultdict(set)
    for rule in part.rules:
        thresholds[rule.column].add(rule.threshold)
    found = []
    for column, points in thresholds.items():
        values = rows[:, part.schema.columns.index(column)]
        counts = np.bincount(np.searchsorted(sorted(points), values, side="right"))
        found.append(Bounded(column, len(points) + 1, float((counts**2).sum() / len(rows) ** 2)))
    return sorted(found, key=lambda one: one.mean_share)
