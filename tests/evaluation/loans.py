"""Generated loans with all sorts of columns, a model that is a formula, and what they give when pooled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from riskfed.jobs import HorizontalXgboost, Job
from riskfed.protocols.measuring.validation import validate
from riskfed.protocols.records import Records
from riskfed.schema import Attribute, Feature, Schema
from riskfed.scorecard.grid import public_grid
from riskfed.scorecard.points import ScoreScale

SCHEMA = Schema(
    target="default",
    features=(
        Feature(name="income", minimum=0, maximum=100_000),
        Feature(name="months", minimum=-2, maximum=60, special_values=(-2.0, -1.0)),
        Feature(name="grade", encoding="ordinal", levels=("A", "B", "C", "D")),
        Feature(name="purpose", encoding="onehot", levels=("car", "house", "travel", "other")),
    ),
    attributes=(
        Attribute(name="region", encoding="ordinal", levels=("north", "south", "east", "west", "isle")),
        Attribute(name="age", role="protected", edges=(30.0, 60.0), reference=1),
        Attribute(name="year", role="cohort", encoding="ordinal", levels=(2021, 2022, 2023), recent=(2023,)),
    ),
)
SCALE = ScoreScale()
BINS = public_grid(SCHEMA, 64)
JOB = HorizontalXgboost(least_cell=20, approval_rate=0.7)


@dataclass(frozen=True)
class Formula:
    """Scores by a weighted sum; `dtype` float32 as trees score, float64 as scorecards do."""

    weight: float = 1.0
    level: float = -2.0
    dtype: Any = np.float32

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        return (self.level + self.reason_contributions(matrix).sum(axis=1)).astype(self.dtype)

    def pd(self, matrix: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-self.margins(matrix)))

    def reason_contributions(self, matrix: np.ndarray) -> np.ndarray:
        income, months, grade, *purpose = np.nan_to_num(np.asarray(matrix, np.float64)).T
        parts = [-income / 40_000 + 0.8, -months / 40 + 0.4, 0.5 * grade - 0.7, 0.6 * purpose[2] - 0.1]
        return self.weight * np.stack(parts, axis=1)


def loans(rows: int, seed: int = 0, schema: Schema = SCHEMA) -> pd.DataFrame:
    """Loans whose default depends on what the formula sees, and some noise; the last year earns more."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"income": draw.gamma(4, 8000, rows).clip(0, 100_000).round(-2)})
    frame["months"] = np.where(draw.random(rows) < 0.1, -1.0, draw.integers(0, 60, rows)).astype(float)
    frame["grade"] = draw.choice(["A", "B", "C", "D"], rows, p=[0.4, 0.3, 0.2, 0.1])
    frame["purpose"] = draw.choice(["car", "house", "travel", "other"], rows, p=[0.5, 0.3, 0.17, 0.03])
    frame["region"] = draw.choice(["north", "south", "east", "west", "isle"], rows, p=[0.4, 0.3, 0.2, 0.095, 0.005])
    frame["age"] = draw.integers(18, 80, rows).astype(float)
    frame["year"] = draw.choice([2021, 2022, 2023], rows)
    frame.loc[frame["year"] == 2023, "income"] *= 0.9
    frame.loc[draw.random(rows) < 0.08, "income"] = np.nan
    frame.loc[draw.random(rows) < 0.02, "age"] = np.nan
    margins = Formula().margins(schema.encode(frame)) * 0.8 + 0.3 + draw.normal(0, 0.7, rows)
    frame["default"] = (draw.random(rows) < 1 / (1 + np.exp(-margins))).astype(int)
    return frame


def parts(frame: pd.DataFrame, banks: int, seed: int = 1) -> list[pd.DataFrame]:
    """Rows dealt to banks, the last of which has none where there are more than two."""
    owner = np.random.default_rng(seed).integers(0, max(1, banks - (banks > 2)), len(frame))
    return [frame[owner == bank] for bank in range(banks)]


def programs(
    development: pd.DataFrame, held_out: pd.DataFrame, banks: int, *, model: Any = None, job: Job = JOB, **more: Any
) -> list[Any]:
    """Every bank's side of a validation."""
    model = Formula() if model is None else model
    schema = more.pop("schema", SCHEMA)
    pairs = zip(parts(development, banks), parts(held_out, banks, seed=2), strict=True)
    records = [[Records.from_frame(frame, schema) for frame in pair] for pair in pairs]
    settings = {"bins": BINS, "scale": SCALE, **more}
    return [validate(model, *own, schema, job, **settings) for own in records]
