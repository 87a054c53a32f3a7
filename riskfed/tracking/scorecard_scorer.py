"""Scores loan records with a scorecard. MLflow keeps this file in the model's folder and runs it there, without riskfed.

``model.json`` (the scorecard) and ``extra_files/schema.json`` lie beside it. Needs mlflow, numpy and pandas only. The arithmetic is that of
`riskfed.scorecard.card.Scorecard`, in the same order, so that the PDs are the same.
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
        self._card = json.loads((folder / "model.json").read_bytes())
        schema = json.loads((folder / "extra_files" / "schema.json").read_bytes())
        self._features = {feature["name"]: feature for feature in schema["features"]}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score records.

        Args:
            context: MLflow's; not used.
            model_input: (n, any) records with the schema's columns; those of the card's variables are read. Integers, floats and texts are
                taken as they come from a file; missing values are None or NaN.
            params: MLflow's; not used.

        Returns:
            (n, 2): ``pd`` float64, probability of default; ``points`` int64, higher is better.

        Raises:
            ValueError: records do not meet the schema; names rule, column and count, never a value.
        """
        del context, params
        margins = np.full(len(model_input), self._card["fit"]["intercept"])
        for variable in self._card["variables"]:
            feature = self._features[variable["feature"]]
            woe = np.array([row["woe"] for row in variable["bins"]]) * variable["coefficient"]
            margins += woe[_bins(_checked(model_input, feature), variable, feature)]
        return pd.DataFrame(
            {"pd": 1 / (1 + np.exp(-margins)), "points": self._points(margins)}, index=model_input.index
        )

    def _points(self, margins: np.ndarray) -> np.ndarray:
        factor = self._card["pdo"] / math.log(2)
        offset = self._card["base_score"] - factor * math.log(self._card["base_odds"])
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
    missing = len(variable["bins"]) - 1
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


set_model(ScorecardModel())
