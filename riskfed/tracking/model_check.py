"""Is a model that came back from the registry the one that went in, and does it score alike everywhere?"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from riskfed.errors import RiskfedError
from riskfed.schema import Schema
from riskfed.tracking.registry import encoded_example
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.predictor import Predictor
from riskfed.trees.tree import Tree

_PROBES = 256
_TOLERANCE = 1e-6
"""On a PD: float32 rounding of the logistic function. A wrong leaf shows by orders of magnitude more."""


def model_faults(folder: Path, stated_sha256: str) -> tuple[str, ...]:
    """What is wrong with a downloaded MLflow model; empty if it is sound.

    Args:
        folder: MLflow's model folder, with ``model.json`` and ``extra_files/schema.json``.
        stated_sha256: sha256 (hex) of the booster, as the registry states it.
    """
    try:
        booster = (folder / "model.json").read_bytes()
        schema = Schema(**json.loads((folder / "extra_files" / "schema.json").read_bytes()))
        trees, base_score, columns = parse_booster(booster)
    except (OSError, ValueError, TypeError, RiskfedError) as error:
        return (f"model or schema cannot be read ({type(error).__name__})",)
    faults = []
    if hashlib.sha256(booster).hexdigest() != stated_sha256:
        faults.append("the booster is not the one that the banks released (sha256)")
    if tuple(columns) != schema.columns:
        return (*faults, "the booster's columns are not the schema's")
    rows = np.concatenate([encoded_example(schema).to_numpy(dtype=np.float32), threshold_rows(trees, len(columns))])
    return (*faults, *_disagreement(folder, rows, schema.columns, Predictor(trees, base_score)))


def _disagreement(folder: Path, rows: np.ndarray, columns: Sequence[str], predictor: Predictor) -> tuple[str, ...]:
    import mlflow.pyfunc

    # As any user of the registry loads it, signature included. Warnings about this process's own packages are not of interest here.
    logging.getLogger("mlflow.utils.requirements_utils").setLevel(logging.ERROR)
    try:
        model = mlflow.pyfunc.load_model(str(folder))
        expected = np.asarray(model.predict(pd.DataFrame(rows.astype(np.float64), columns=list(columns))))
    except Exception as error:  # a broken model may raise anything
        return (f"cannot be loaded back and scored ({type(error).__name__})",)
    if not np.isfinite(expected).all():
        return ("gives a PD that is not finite",)
    differing = int((np.abs(predictor.pd(rows) - expected) > _TOLERANCE).sum())
    return (f"xgboost and the scoring engine disagree on {differing} of {len(rows)} rows",) if differing else ()


def threshold_rows(trees: Sequence[Tree], n_columns: int) -> np.ndarray:
    """Rows that tell a model from a slightly different one: thresholds, the values just below them, and missing ones, mixed.

    The model itself is the only source, so the rows disclose nothing more. The mixture is the same at every call.

    Returns:
        (256, n_columns) float32.
    """
    mixing = np.random.default_rng(0)
    rows = np.zeros((_PROBES, n_columns), dtype=np.float32)
    split = [tree.left_children >= 0 for tree in trees]
    pairs = list(zip(trees, split, strict=True))
    features = np.concatenate([np.empty(0, np.int32), *(tree.split_indices[at] for tree, at in pairs)])
    thresholds = np.concatenate([np.empty(0, np.float32), *(tree.split_conditions[at] for tree, at in pairs)])
    for column in range(n_columns):
        values = np.unique(thresholds[features == column])
        choices = np.concatenate(
            [values, np.nextafter(values, np.float32(-np.inf)), np.array([np.nan], dtype=np.float32)]
        )
        rows[:, column] = mixing.choice(choices, _PROBES)
    return rows
