"""Scores loan records with a scorecard or a linear model. MLflow keeps this file in the model's folder and runs it there, without riskfed.

``model.json`` and ``extra_files/schema.json`` lie beside it. Needs mlflow, numpy and pandas only. The arithmetic is that of
`riskfed.scorecard.card.Scorecard` or `riskfed.linear_model.VerticalLogisticModel`, in the same order, so that the PDs are the same.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

_LEAST_POINTS, _MOST_POINTS = 300, 850


class ScorecardModel(PythonModel):
    """PD and points of loan records."""

    def load_context(self, context: Any) -> None:
        """Read the files that lie beside this one."""
        del context
        folder = Path(__file__).parent
        self._model = json.loads((folder / "model.json").read_bytes())
        schema = json.loads((folder / "extra_files" / "schema.json").read_bytes())
        self._features = {feature["name"]: feature for feature in schema["features"]}
        self._starts = _first_columns(schema["features"])
        if "own" in self._model:
            self._intercept, self._terms = self._model["intercept"], self._model["own"]["terms"]
        else:
            self._intercept = self._model["fit"]["intercept"]
            self._terms = [{**v, "woes": [row["woe"] for row in v["bins"]]} for v in self._model["variables"]]

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score records.

        Args:
            context: MLflow's; not used.
            model_input: (n, any) records with the schema's columns; those of the model's terms are read, and of a model in parts each
                partner's score, in log-odds, from the column that is named like the partner. Integers, floats and texts are taken as they
                come from a file; missing values are None or NaN. A missing score counts as the average loan's.
            params: MLflow's; not used.

        Returns:
            (n, 2): ``pd`` float64, probability of default; ``points`` int64, higher is better.

        Raises:
            ValueError: records do not meet the schema; names rule, column and count, never a value.
        """
        del context, params
        margins = np.full(len(model_input), self._intercept)
        for term in self._terms:
            feature = self._features[term["feature"]]
            values = _checked(model_input, feature)
            if "woes" in term:
                margins += (np.array(term["woes"]) * term["coefficient"])[_bins(values, term, feature)]
            else:
                margins += _standardised(values, term, feature, term["column"] - self._starts[term["feature"]])
        for partner in self._model.get("partners", ()):
            margins += np.nan_to_num(_checked(model_input, self._features[partner]).astype(np.float64))
        return pd.DataFrame(
            {"pd": 1 / (1 + np.exp(-margins)), "points": self._points(margins)}, index=model_input.index
        )

    def _points(self, margins: np.ndarray) -> np.ndarray:
        factor = self._model["pdo"] / math.log(2)
        offset = self._model["base_score"] - factor * math.log(self._model["base_odds"])
        points: np.ndarray = np.rint(np.clip(offset - factor * margins, _LEAST_POINTS, _MOST_POINTS)).astype(np.int64)
        return points


def _checked(frame: pd.DataFrame, feature: dict[str, Any]) -> np.ndarray:
    """(n,) float32 values of a numeric feature, or positions of levels; NaN where missing."""
    name = feature["name"]
    if name not in frame.columns:
        raise ValueError(f"column {name} is missing")
    values = _levels(frame[name], feature) if feature["levels"] else _numbers(frame[name], feature)
    if not feature["nullable"] and np.isnan(values).any():
        raise ValueError(f"column {name}: {int(np.isnan(values).sum())} missing values, none are allowed")
    return values


def _numbers(column: pd.Series, feature: dict[str, Any]) -> np.ndarray:
    try:
        exact = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        raise ValueError(f"column {feature['name']} holds values that are no numbers") from None
    low = -math.inf if feature["minimum"] is None else feature["minimum"]
    high = math.inf if feature["maximum"] is None else feature["maximum"]
    outside = int(((exact < low) | (exact > high) | np.isinf(exact)).sum())
    if outside:
        raise ValueError(f"column {feature['name']}: {outside} values are outside of the schema's range")
    return exact.astype(np.float32)


def _levels(column: pd.Series, feature: dict[str, Any]) -> np.ndarray:
    positions = {level: position for position, level in enumerate(feature["levels"])}
    missing = column.isna().to_numpy()
    found = [positions.get(_level(value), -1) for value in column]
    codes = np.where(missing, np.nan, np.array(found, dtype=np.float64))
    unknown = int((codes < 0).sum())
    if unknown:
        raise ValueError(f"column {feature['name']}: {unknown} values are no level of the schema")
    return codes.astype(np.float32)


def _level(value: Any) -> Any:
    """pandas turns the integers of a column with gaps into floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _bins(values: np.ndarray, variable: dict[str, Any], feature: dict[str, Any]) -> np.ndarray:
    """(n,) position of each value's bin: intervals or groups of levels, special values, and last the missing ones."""
    missing = len(variable["woes"]) - 1
    if variable["groups"]:
        group_of = np.zeros(len(feature["levels"]), dtype=np.int64)
        for number, levels in enumerate(variable["groups"]):
            group_of[levels] = number
        return np.where(np.isnan(values), missing, group_of[np.nan_to_num(values).astype(np.int64)])
    codes = np.searchsorted(np.array(variable["edges"], dtype=np.float32), values, side="right")
    for number, special in enumerate(variable["special"]):
        codes[values == np.float32(special)] = len(variable["edges"]) + 1 + number
    codes[np.isnan(values)] = missing
    return codes


def _standardised(values: np.ndarray, term: dict[str, Any], feature: dict[str, Any], place: int) -> np.ndarray:
    """(n,) share of a column in units of its standard deviation; of a one-hot feature, the column of the level at `place`."""
    column = values.astype(np.float64)
    if feature["encoding"] == "onehot":
        column = np.where(np.isnan(column), np.nan, column == place)
    shares = term["coefficient"] * ((column - term["mean"]) / term["scale"])
    return np.where(np.isnan(column), 0.0, shares)


def _first_columns(features: list[dict[str, Any]]) -> dict[str, int]:
    """Feature -> position of its first encoded column."""
    starts, end = {}, 0
    for feature in features:
        starts[feature["name"]] = end
        end += len(feature["levels"]) if feature["encoding"] == "onehot" else 1
    return starts


set_model(ScorecardModel())
