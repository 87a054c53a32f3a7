"""What `mlflow models serve` serves in `benchmarks.serving`: the PD and the reasons of an applicant, as riskfed's service gives them.

Two ways, of which the benchmark takes the one that costs MLflow less: riskfed's own engine, or xgboost with its pred_contribs, grouped over
one-hot columns. Neither authenticates, audits or refuses wrong values; MLflow's server has none of it. MLflow runs a copy of
this file that ends with a call of `set_model`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from riskfed.evaluation.reasons import NO_REASON, adverse_reasons, grouped
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale


class ScoredWithXgboost(PythonModel):
    """PD, points and reasons, by xgboost."""

    def load_context(self, context: Any) -> None:
        """Read the model's files."""
        import xgboost

        self._booster = xgboost.Booster({"nthread": 1}, model_file=context.artifacts["model"])
        self._schema = Schema(**json.loads(Path(context.artifacts["schema"]).read_bytes()))
        self._names = [feature.name for feature in self._schema.features]
        self._numeric = all(feature.encoding == "numeric" for feature in self._schema.features)
        self._scale = ScoreScale()

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[Any]:
        """Score the applicants, one a row."""
        import xgboost

        del context, params
        matrix = self._schema.encode(model_input)
        rows = xgboost.DMatrix(matrix, feature_names=list(self._schema.columns))
        # SHAP values add up to the margin, so one pass gives both.
        contributions = self._booster.predict(rows, pred_contribs=True)
        margins = contributions.sum(axis=1)
        by_feature = grouped(contributions, self._schema)
        lost = by_feature * (self._scale.pdo / np.log(2))
        return [
            {
                "pd": float(1 / (1 + np.exp(-margin))),
                "score": int(points),
                "reasons": [
                    {
                        "code": f"R{feature + 1:02d}",
                        "text": self._schema.features[feature].description or self._names[feature],
                        "feature": self._names[feature],
                        "rank": rank,
                        "points_lost": round(float(losses[feature]), 1),
                    }
                    for rank, feature in enumerate(reasons, 1)
                    if feature != NO_REASON
                ],
            }
            for margin, points, reasons, losses in zip(
                margins, self._scale.points_of_log_odds(margins), adverse_reasons(by_feature), lost, strict=True
            )
        ]


class ScoredWithRiskfed(PythonModel):
    """PD, points and reasons, by riskfed's engine."""

    def load_context(self, context: Any) -> None:
        """Read the model's files."""
        from riskfed.serving.engine.engine import ScoringEngine
        from riskfed.serving.models.folder import ModelFolder

        folder = ModelFolder(Path(context.artifacts["model"]).parent)
        self._engine = ScoringEngine(folder.download(folder.resolve()))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[Any]:
        """Score the applicants, one a row."""
        del context, params
        engine, answers = self._engine, []
        for applicant in model_input.to_dict("records"):
            scored = engine.score(applicant)
            reasons = [
                {
                    "code": reason.code,
                    "text": engine.texts.text(reason.feature, "en"),
                    "feature": reason.feature,
                    "rank": reason.rank,
                    "points_lost": reason.points_lost,
                }
                for reason in scored.reasons
            ]
            answers.append({"pd": scored.pd, "score": scored.points, "reasons": reasons})
        return answers
