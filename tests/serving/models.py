"""Small real models for the tests: plain xgboost on generated loans, released as the banks would release them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import xgboost
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

from riskfed.protocols.release import ModelRelease
from riskfed.schema import Feature, Schema

SCHEMA = Schema(
    name="test-loans",
    version="3",
    target="default",
    features=(
        Feature(name="income", minimum=0, maximum=1_000_000, nullable=False, description="a year, in EUR"),
        Feature(name="balance/limit", minimum=-1, maximum=5),
        Feature(name="late payments", encoding="ordinal", levels=("none", "one", "many"), nullable=False),
        Feature(name="region", encoding="onehot", levels=(1, 2, 3)),
        Feature(name="free", nullable=True),
    ),
)


def loans(rows: int, seed: int) -> pd.DataFrame:
    """Generated loans that meet SCHEMA, missing values included."""
    draw = np.random.default_rng(seed)
    income = draw.gamma(2, 20_000, rows).round(2).clip(0, 1_000_000)
    use = draw.uniform(-0.5, 2, rows)
    late = draw.choice(["none", "one", "many"], rows, p=[0.7, 0.2, 0.1])
    region = draw.choice([1, 2, 3], rows).astype(object)
    free = draw.normal(size=rows)
    risk = 1.5 * use - income / 40_000 + 1.2 * (late == "one") + 2.5 * (late == "many") + 0.5 * (region == 3) - 0.5
    default = (risk + draw.logistic(size=rows) > 1).astype(int)
    use[draw.random(rows) < 0.1] = np.nan
    region[draw.random(rows) < 0.1] = None
    columns = {"income": income, "balance/limit": use, "late payments": late, "region": region, "free": free}
    return pd.DataFrame({**columns, "default": default})


@cache
def make_release(trees: int = 20, seed: int = 0, depth: int = 4) -> ModelRelease:
    """A release as a run would give it; more trees make it better."""
    training, held_out = loans(3000, seed), loans(2000, seed + 1000)
    names = list(SCHEMA.columns)
    matrix = xgboost.DMatrix(SCHEMA.encode(training), SCHEMA.labels(training), feature_names=names)
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": depth, "eta": 0.1, "nthread": 1}
    booster = xgboost.train(parameters, matrix, trees)
    rows, labels = xgboost.DMatrix(SCHEMA.encode(held_out), feature_names=names), SCHEMA.labels(held_out)
    steps = [booster.predict(rows, iteration_range=(0, tree)) for tree in range(1, trees + 1)]
    history = [{"logloss": float(log_loss(labels, p)), "brier": float(brier_score_loss(labels, p))} for p in steps]
    false_positive, true_positive, _ = roc_curve(labels, steps[-1])
    metrics = {
        "auc": float(roc_auc_score(labels, steps[-1])),
        "ks": float((true_positive - false_positive).max()),
        **history[-1],
        "rows": float(len(labels)),
        "defaults": float(labels.sum()),
    }
    return ModelRelease(
        bytes(booster.save_raw("json")), SCHEMA, metrics, history, score_cells(steps[-1], labels), fixed_point_bits=40
    )


def score_cells(pds: np.ndarray, labels: np.ndarray, size: int = 50) -> list[tuple[float, int, int]]:
    """(upper PD, goods, bads) in cells of at least `size` loans that never part equal PDs."""
    order = np.argsort(pds, kind="stable")
    pds, labels = pds[order], labels[order]
    cells, start = [], 0
    for end in range(1, len(pds) + 1):
        if end == len(pds) or (end - start >= size and pds[end] != pds[end - 1]):
            bads = int(labels[start:end].sum())
            cells.append((float(pds[end - 1]), end - start - bads, bads))
            start = end
    return cells


def booster_of(release: ModelRelease) -> xgboost.Booster:
    """The release as an xgboost object."""
    return xgboost.Booster(model_file=bytearray(release.model))
