"""Rows for tests of logistic regression, and how they are dealt to banks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from riskfed.datasets import load_taiwan
from riskfed.protocols.program import Program, Sum
from tests.helpers import add_up

Rows = tuple[np.ndarray, np.ndarray]


def drawn(rows: int = 2000, columns: int = 4, seed: int = 0, coefficients: Any = None) -> Rows:
    """Correlated columns within [-5, 5], and defaults by a logistic model."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(rows, columns)) @ (np.eye(columns) + 0.2 * np.tri(columns, k=-1))
    design = design.clip(-5, 5)
    slopes = rng.normal(scale=0.4, size=columns) if coefficients is None else np.asarray(coefficients, dtype=np.float64)
    return design, (rng.random(rows) < 1 / (1 + np.exp(1.5 - design @ slopes))).astype(np.float64)


def taiwan(columns: tuple[str, ...] = ("pay_0", "pay_2", "limit_bal", "pay_amt1", "age", "education")) -> Rows:
    """Weights of evidence ln(good share / bad share) of some features of the Taiwan data, by value or by tenths of the rows."""
    frame = load_taiwan()
    labels = frame["default"].to_numpy(np.float64)
    design = []
    for name in columns:
        values = frame[name].to_numpy()
        edges = (
            np.unique(values)
            if len(np.unique(values)) <= 12
            else np.unique(np.quantile(values, np.arange(0.1, 1, 0.1)))
        )
        bins = np.searchsorted(edges, values)
        bads = np.bincount(bins, labels, len(edges) + 1) + 0.5
        goods = np.bincount(bins, 1 - labels, len(edges) + 1) + 0.5
        design.append(np.log(goods / goods.sum() / (bads / bads.sum()))[bins])
    return np.column_stack(design), labels


def dealt(rows: Rows, banks: int, seed: int = 0, empty: bool = False) -> list[Rows]:
    """Rows of each bank: of uneven size, unlike each other; with `empty`, the last bank has none."""
    design, labels = rows
    rng = np.random.default_rng(seed)
    rank = (
        np.argsort(np.argsort(design[:, 0] + rng.normal(size=len(design))))
        if design.shape[1]
        else np.arange(len(design))
    )
    owner = np.minimum((rank / len(rank)) ** 1.5 * (banks - empty), banks - empty - 1).astype(int)
    return [(design[owner == bank], labels[owner == bank]) for bank in range(banks)]


def together(
    rows: Rows, program: Callable[..., Program[Any]], banks: int = 3, empty: bool = False, **fields: Any
) -> Any:
    """What all banks of a federation get from a program, which must be equal; sums are checked against their bounds."""
    bound = float(np.abs(rows[0]).max(initial=1.0))
    results = add_up([program(x, y, len(rows[0]), bound, **fields) for x, y in dealt(rows, banks, empty=empty)])
    assert all(result == results[0] for result in results)
    return results[0]


def sums_asked(program: Program[Any], into: list[int]) -> Program[Any]:
    """The same program; every sum that it asks for adds one to `into`."""
    answer = None
    while True:
        try:
            request = program.send(answer)
        except StopIteration as stop:
            return stop.value
        into.append(len(request.values) if isinstance(request, Sum) else 0)
        answer = yield request
