"""From an applicant to PD and points, with one model. Numpy only: neither xgboost nor a DataFrame in the path of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from riskfed.errors import RegistryError, RiskfedError
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import pd_of, read_model, scale_of
from riskfed.serving.applicant import ApplicantForm
from riskfed.serving.registry_client import ModelFiles


@dataclass(frozen=True, slots=True)
class Score:
    """A scored applicant: probability of default, of trees float32 like XGBoost's, and points (higher is better)."""

    pd: float
    points: int


class ScoringEngine:
    """One model, ready to score. Immutable, so that a newer one can take its place between two requests.

    Raises:
        RegistryError: the files are no model, or the model and its schema do not belong together.
    """

    def __init__(self, files: ModelFiles, scale: ScoreScale | None = None) -> None:
        self.model = files.reference
        self.sha256 = files.sha256
        self.form = ApplicantForm(files.schema)
        try:
            self._model = read_model(files.model, files.schema)
            self.scale = scale or scale_of(files.model) or ScoreScale()
        except RiskfedError as error:
            raise RegistryError(f"model {files.reference}: {error}") from None

    def score(self, applicant: Mapping[str, Any]) -> Score:
        """Score one applicant.

        Raises:
            ApplicantError: the applicant does not meet the schema.
        """
        return self._score_row(self.form.encode(applicant))

    def check(self) -> None:
        """Score the schema's example and a row with everything missing.

        Raises:
            RegistryError: the model cannot score, or does not give a probability.
        """
        empty = np.full((1, len(self.form.schema.columns)), np.nan, dtype=np.float32)
        try:
            scores = [self.score(self.form.example()), self._score_row(empty)]
        except (RiskfedError, ArithmeticError, LookupError, ValueError) as error:
            raise RegistryError(
                f"model {self.model} cannot score ({type(error).__name__}); register a sound one"
            ) from None
        if not all(0.0 <= score.pd <= 1.0 for score in scores):
            raise RegistryError(f"model {self.model} gives no probability; register a sound one")

    def _score_row(self, row: np.ndarray) -> Score:
        # The margin is logit(PD) before rounding to a PD: it keeps the points exact where the PD rounds to 0 or 1.
        margins = self._model.margins(row)
        return Score(float(pd_of(margins)[0]), int(self.scale.points_of_log_odds(margins)[0]))
