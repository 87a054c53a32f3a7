"""Portfolios for the tests of scorecards, and a scorecard's regression fitted in the open on pooled rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

from benchmarks import sba
from riskfed.datasets import iid_split
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema
from riskfed.scorecard.card import CardVariable, Scorecard
from tests.federation.german_credit import german_credit

LEAST_CELL = 20
"""The jobs' default."""


def german_banks(banks: int = 3) -> tuple[dict[str, pd.DataFrame], Schema]:
    """German credit, or a table like it, over some banks."""
    frame = german_credit()
    ranges = {"duration_months": (0, 120), "credit_amount": (0, 100_000), "age": (18, 100)}
    return iid_split(frame, banks, seed=0), Schema.from_frame(frame, target="default", ranges=ranges)


def sba_banks() -> tuple[dict[str, pd.DataFrame], Schema]:
    """Loans of the US Small Business Administration at their real lenders, or a table like it with lenders of very unlike size."""
    schema, frame = sba.sba_schema(), sba.load_sba()
    return sba.sba_banks(_drawn(schema) if frame is None else frame), schema


def _drawn(schema: Schema, rows: int = 6000) -> pd.DataFrame:
    rng = np.random.default_rng(1953)
    signal = np.zeros(rows)
    columns: dict[str, Any] = {}
    for feature in schema.features:
        if feature.levels:
            codes = rng.choice(len(feature.levels), rows, p=rng.dirichlet(np.full(len(feature.levels), 0.5)))
            columns[feature.name] = np.array(feature.levels)[codes]
            signal += rng.normal(0, 0.4, len(feature.levels))[codes]
        else:
            columns[feature.name] = values = _numbers(feature, rows, rng)
            signal += rng.normal(0, 0.5) * np.nan_to_num(pd.Series(values).rank(pct=True).to_numpy(), nan=0.5)
    columns["default"] = (rng.random(rows) < 1 / (1 + np.exp(1.4 - 2 * (signal - signal.mean())))).astype(np.int8)
    columns["bank"] = np.array([f"LENDER {number}" for number in range(40)])[
        np.minimum(rng.exponential(4, rows), 39).astype(int)
    ]
    return pd.DataFrame(columns)


def _numbers(feature: Feature, rows: int, rng: np.random.Generator) -> np.ndarray:
    if feature.maximum == 1:
        return np.where(rng.random(rows) < 0.02, np.nan if feature.nullable else 0.0, rng.integers(0, 2, rows))
    if feature.name == "approval_fy":
        return rng.integers(1985, 2015, rows).astype(float)
    return np.floor(np.exp(rng.normal(np.log(feature.maximum or 1e6) / 2, 1.5, rows))).clip(0, feature.maximum)


@dataclass(frozen=True)
class PooledFit:
    """A scorecard's regression by statsmodels on all rows."""

    card: Scorecard
    design: np.ndarray
    result: Any

    @classmethod
    def of(cls, card: Scorecard, records: Records) -> PooledFit:
        """Weigh the pooled development rows anew, by other means than riskfed's, and fit."""
        labels = records.labels.astype(np.float64)
        design = np.column_stack([weighed(v, records, labels) for v in card.variables])
        model = sm.Logit(labels, sm.add_constant(design))
        return cls(card, design, model.fit(disp=0, method="newton", maxiter=50, tol=1e-14))

    @property
    def coefficients(self) -> list[float]:
        """As the card has them, the intercept first."""
        return [self.card.fit.intercept, *(v.coefficient for v in self.card.variables)]

    @property
    def standard_errors(self) -> list[float]:
        """As the card has them, the intercept first."""
        return [self.card.fit.intercept_error, *(v.standard_error for v in self.card.variables)]


def weighed(variable: CardVariable, records: Records, labels: np.ndarray) -> np.ndarray:
    """(n,) WoE of the rows, from pandas' own binning and counting; small bins weigh nothing and count with the largest."""
    if variable.groups:
        hot = pd.DataFrame({at: records.column(column) for at, column in enumerate(variable.columns)})
        level = hot.idxmax(axis=1, skipna=True) if not hot.isna().all(axis=1).any() else hot.fillna(-1).idxmax(axis=1)
        group = {at: number for number, levels in enumerate(variable.groups) for at in levels}
        bins = level.map(group).where(hot[0].notna(), "missing").astype(str)
    else:
        values = pd.Series(records.column(variable.columns[0]).astype(np.float64))
        bins = pd.cut(values, [-np.inf, *variable.edges, np.inf], right=False, labels=False).astype(str)
        bins = bins.where(values.notna(), "missing")
        for value in variable.special:
            bins = bins.where(values != value, f"special {value}")
    table = pd.crosstab(bins.to_numpy(), labels)
    rows = table.sum(axis=1)
    for small in rows.index[rows < LEAST_CELL]:
        table.loc[rows.idxmax()] += table.loc[small]
        table.loc[small] = 0
    totals = table.sum()
    table = table.where((table != 0).all(axis=1), table + 0.5, axis=0)  # a pure bin
    with np.errstate(all="ignore"):
        woe = np.log((table[0.0] / totals[0.0]) / (table[1.0] / totals[1.0]))
    return bins.map(woe.where(rows >= LEAST_CELL, 0.0)).to_numpy(dtype=np.float64)
