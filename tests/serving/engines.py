"""Real engines for the tests: plain xgboost on the Taiwan data, and a scorecard with every kind of bin."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import xgboost

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.schema import Schema
from riskfed.scorecard.card import CardBin, CardVariable, Fit, Scorecard
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.model_files import ModelFiles, ModelReference
from tests.serving.models import SCHEMA


def files_for(model: bytes, schema: Schema) -> ModelFiles:
    digest = hashlib.sha256(model).hexdigest()
    return ModelFiles(ModelReference("m", "1", "champion", "models:/x", digest), model, schema)


def engine_for(model: bytes, schema: Schema) -> ScoringEngine:
    return ScoringEngine(files_for(model, schema))


@cache
def taiwan_model(trees: int = 100, depth: int = 4) -> bytes:
    """JSON of a Booster on all accounts, a twentieth of the cells blanked."""
    frame, schema = load_taiwan(), taiwan_schema()
    data = xgboost.DMatrix(blanked(schema.encode(frame)), schema.labels(frame), feature_names=list(schema.columns))
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": depth, "eta": 0.1, "nthread": 1}
    return bytes(xgboost.train(parameters, data, trees).save_raw("json"))


def blanked(matrix: np.ndarray, share: float = 0.05, seed: int = 0) -> np.ndarray:
    """The rows with some of their cells missing."""
    return np.where(np.random.default_rng(seed).random(matrix.shape) < share, np.float32(np.nan), matrix)


def taiwan_rows(rows: int) -> np.ndarray:
    return blanked(taiwan_schema().encode(load_taiwan().iloc[:rows]), seed=1)


@cache
def scorecard() -> Scorecard:
    """A card over all five features of `SCHEMA`: intervals, a special value, ordered levels, groups of levels; weights drawn."""
    draw = np.random.default_rng(4)

    def variable(feature: str, columns: tuple[int, ...], bins: int, **fields: object) -> CardVariable:
        weights = draw.normal(size=bins)
        rows = tuple(
            CardBin(label=f"bin {n}", goods=90, bads=10, woe=woe, points=round(-20 * woe), exact_points=-20 * woe)
            for n, woe in enumerate(weights.tolist())
        )
        return CardVariable.model_validate(
            {
                **{"feature": feature, "columns": columns, "bins": rows, "iv": 0.1, "standard_error": 0.1, "wald_z": 1},
                **{"p_value": 0.1, "vif": None, "mean_woe": 0.1, "coefficient": -float(draw.uniform(0.5, 1.5))},
                **fields,
            }
        )

    variables = (
        variable("income", (0,), 5, edges=(12_000.5, 30_000.0, 60_000.0)),
        variable("balance/limit", (1,), 5, edges=(0.3, 0.9), special=(-0.1,)),
        variable("late payments", (2,), 4, edges=(0.5, 1.5)),
        variable("region", (3, 4, 5), 3, groups=((1,), (0, 2))),
        variable("free", (6,), 3, edges=(0.0,)),
    )
    figures = dict.fromkeys(("intercept_error", "log_likelihood", "null_log_likelihood", "aic", "bic", "ridge"), 0.0)
    fit = Fit.model_validate(
        {"rows": 100, "defaults": 10, "intercept": -2.2, "iterations": 5, "firth": False, **figures}
    )
    scale = {"base_score": 600.0, "base_odds": 50.0, "pdo": 20.0, "base_points": 500, "exact_base_points": 500.0}
    return Scorecard.model_validate(
        {"columns": SCHEMA.columns, "variables": variables, "candidates": (), "fit": fit, **scale}
    )
