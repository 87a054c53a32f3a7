"""A small vertical model for tests: a lender, a payments company and a shop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
import xgboost

from benchmarks.joint_models import VerticalModel, take_apart
from riskfed.customer_id import CustomerId
from riskfed.schema import Feature, Schema
from riskfed.vertical_model import Answers

SCHEMA = Schema.vertical(
    Schema(
        name="joint-loans",
        target="default",
        features=(
            Feature(name="income", minimum=0, maximum=1_000_000, nullable=False),
            Feature(name="late payments", encoding="ordinal", levels=("none", "one", "many"), nullable=False),
            Feature(name="turnover"),
            Feature(name="region", encoding="onehot", levels=("north", "south")),
            Feature(name="orders"),
        ),
    ),
    {"lender": ["income", "late payments"], "payments": ["turnover", "region"], "shop": ["orders"]},
    "lender",
    CustomerId(column="customer_id", normalise=("strip", "upper"), least_length=4),
)


def customers(rows: int, seed: int = 0) -> pd.DataFrame:
    """Generated customers whom all parties know, missing values included."""
    draw = np.random.default_rng(seed)
    income, turnover, orders = draw.gamma(2, 20_000, rows).round(2), draw.normal(size=rows), draw.poisson(3, rows) * 1.0
    late, region = draw.choice(["none", "one", "many"], rows), draw.choice(["north", "south"], rows).astype(object)
    risk = turnover - orders / 3 + (late == "many") - income / 40_000 + (region == "south")
    default = (risk + draw.logistic(size=rows) > 0).astype(int)
    turnover[draw.random(rows) < 0.1] = np.nan
    orders[draw.random(rows) < 0.1] = np.nan
    region[draw.random(rows) < 0.1] = None
    ids = [f"Q{number:05d}" for number in draw.permutation(rows)]
    return pd.DataFrame(
        {
            **{"customer_id": ids, "income": income.clip(0, 1_000_000), "late payments": late, "turnover": turnover},
            **{"region": region, "orders": orders, "default": default},
        }
    )


def trained(schema: Schema, frame: pd.DataFrame, columns: Sequence[str], trees: int, depth: int) -> bytes:
    """Plain xgboost on some of the schema's columns."""
    places = [schema.columns.index(column) for column in columns]
    matrix = xgboost.DMatrix(schema.encode(frame)[:, places], schema.labels(frame), feature_names=list(columns))
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": depth, "eta": 0.3, "nthread": 1}
    return bytes(xgboost.train(parameters, matrix, trees).save_raw("json"))


def vertical_model(answers: Answers = "decisions") -> VerticalModel:
    """A model of lender, payments and shop; the same one at each call."""
    return _made(answers)


@cache
def _made(answers: Answers, trees: int = 12, depth: int = 4) -> VerticalModel:
    frame = customers(2_000)
    booster = trained(SCHEMA, frame, SCHEMA.joined_columns, trees, depth)
    own = trained(SCHEMA, frame, SCHEMA.part_of("lender").columns, trees, depth)
    return take_apart(SCHEMA, booster, own, answers)


def joint_margins(model: VerticalModel, frame: pd.DataFrame) -> np.ndarray:
    """xgboost's margins with the joint Booster on the joined table."""
    places = [SCHEMA.columns.index(column) for column in SCHEMA.joined_columns]
    matrix = xgboost.DMatrix(SCHEMA.encode(frame)[:, places], feature_names=list(SCHEMA.joined_columns))
    booster = xgboost.Booster(model_file=bytearray(model.booster))
    return np.asarray(booster.predict(matrix, output_margin=True))
