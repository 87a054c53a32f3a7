"""Is a model that came back from the registry the one that went in, and does it score alike everywhere?"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from riskfed.errors import RiskfedError
from riskfed.linear_model import VerticalLogisticModel, WoeTerm, is_vertical_logistic
from riskfed.schema import Feature, Schema
from riskfed.scorecard.card import Scorecard
from riskfed.scoring import is_scorecard, read_model
from riskfed.tracking.flavours import encoded_example, record_example
from riskfed.tracking.joint import part_faults
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.predictor import Predictor
from riskfed.trees.tree import Tree

_PROBES = 256
_TREE_TOLERANCE = 1e-6
"""On a PD: float32 rounding of the logistic function. A wrong leaf shows by orders of magnitude more."""
_CARD_TOLERANCE = 1e-12
"""On the PD of a scorecard or linear model, which both sides compute in float64 and in the same order."""


def model_faults(folder: Path, stated: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with a downloaded MLflow model; empty if it is sound.

    Args:
        folder: MLflow's model folder, with ``model.json`` and ``extra_files/schema.json``.
        stated: tags of the registered version; ``model_sha256`` is that of the model's JSON.
    """
    try:
        model = (folder / "model.json").read_bytes()
        schema = Schema(**json.loads((folder / "extra_files" / "schema.json").read_bytes()))
        probes = _probes(model, schema)
    except (OSError, ValueError, TypeError, RiskfedError) as error:
        return (f"model or schema cannot be read ({type(error).__name__})",)
    faults = []
    if hashlib.sha256(model).hexdigest() != stated.get("model_sha256", ""):
        faults.append("the model is not the one that the banks released (sha256)")
    faults += part_faults(folder, schema, stated)
    if probes is None:
        return (*faults, "the model's columns are not the schema's")
    return (*faults, *_disagreement(folder, *probes))


_Probes = tuple[pd.DataFrame, np.ndarray, float]
"""What to score, the PDs of riskfed's own scoring engine, and how far the registered model's may be from them."""


def _probes(model: bytes, schema: Schema) -> _Probes | None:
    """None where the model's columns are not the schema's."""
    if is_scorecard(model):
        card = Scorecard.from_bytes(model)
        return _record_probes(model, schema, edge_records(card, schema)) if card.columns == schema.columns else None
    if is_vertical_logistic(model):
        linear = VerticalLogisticModel.from_bytes(model)
        records = telling_records(_telling(linear), schema)
        return _record_probes(model, schema, records) if linear.columns == schema.columns else None
    return _tree_probes(model, schema)


def _tree_probes(model: bytes, schema: Schema) -> _Probes | None:
    trees, base_score, columns = parse_booster(model)
    if tuple(columns) != schema.columns:
        return None
    rows = np.concatenate([encoded_example(schema).to_numpy(dtype=np.float32), threshold_rows(trees, len(columns))])
    frame = pd.DataFrame(rows.astype(np.float64), columns=list(columns))
    return frame, Predictor(trees, base_score).pd(rows), _TREE_TOLERANCE


def _record_probes(model: bytes, schema: Schema, records: pd.DataFrame) -> _Probes:
    frame = pd.concat([record_example(schema), records], ignore_index=True)
    return frame, read_model(model, schema).pd(schema.encode(frame)), _CARD_TOLERANCE


def _telling(model: VerticalLogisticModel) -> dict[str, tuple[float, ...]]:
    """Feature -> values at which a linear model's terms show; of a partner, scores of either sign."""
    values: dict[str, tuple[float, ...]] = dict.fromkeys(model.partners, (-1.5, 0.25))
    for term in model.own.terms:
        seen = values.get(term.feature, ())
        ends = (*term.edges, *term.special) if isinstance(term, WoeTerm) else (term.mean, term.mean + term.scale)
        values[term.feature] = (*seen, *ends)
    return values


def _disagreement(folder: Path, rows: pd.DataFrame, expected: np.ndarray, tolerance: float) -> tuple[str, ...]:
    import mlflow.pyfunc

    # As any user of the registry loads it, signature included. Warnings about this process's own packages are not of interest here.
    logging.getLogger("mlflow.utils.requirements_utils").setLevel(logging.ERROR)
    try:
        answer = mlflow.pyfunc.load_model(str(folder)).predict(rows)
        found = np.asarray(answer["pd"] if isinstance(answer, pd.DataFrame) else answer, dtype=np.float64)
    except Exception as error:  # a broken model may raise anything
        return (f"cannot be loaded back and scored ({type(error).__name__})",)
    if not np.isfinite(found).all():
        return ("gives a PD that is not finite",)
    differing = int((np.abs(expected - found) > tolerance).sum())
    return (
        (f"the registered model and the scoring engine disagree on {differing} of {len(rows)} rows",)
        if differing
        else ()
    )


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


def edge_records(card: Scorecard, schema: Schema) -> pd.DataFrame:
    """`telling_records` of a scorecard: its edges and special values."""
    return telling_records({v.feature: (*v.edges, *v.special) for v in card.variables}, schema)


def telling_records(values: Mapping[str, Sequence[float]], schema: Schema) -> pd.DataFrame:
    """256 records that meet the schema and tell a model from a slightly different one, as `threshold_rows` does for trees.

    Args:
        values: feature -> values at which the model changes. They and the values just below them are mixed with levels, bounds and
            missing values.
        schema: of the records.
    """
    mixing = np.random.default_rng(0)
    columns = {f.name: _choices(f, values.get(f.name, ())) for f in schema.features}
    mixed = {
        name: [choices[at] for at in mixing.integers(len(choices), size=_PROBES)] for name, choices in columns.items()
    }
    return pd.DataFrame({name: pd.Series(values, dtype=_dtype(values)) for name, values in mixed.items()})


def _choices(feature: Feature, telling: Sequence[float]) -> list[Any]:
    """Values that the schema allows; missing ones where it does."""
    missing: list[Any] = [None] if feature.nullable else []
    if feature.levels:
        return [*feature.levels, *missing]
    edges = np.array(telling, dtype=np.float32)
    near = np.concatenate([edges, np.nextafter(edges, np.float32(-np.inf))]).astype(np.float64)
    low, high = (
        fallback if b is None else b for b, fallback in ((feature.minimum, -np.inf), (feature.maximum, np.inf))
    )
    bounds = [bound for bound in (low, high) if np.isfinite(bound)]
    return [*(value for value in near.tolist() if low <= value <= high), *(bounds or [0.0]), *missing]


def _dtype(values: Sequence[Any]) -> str:
    return "float64" if all(value is None or isinstance(value, float) for value in values) else "object"
