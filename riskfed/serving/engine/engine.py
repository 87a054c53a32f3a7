"""From an applicant to PD, points and reasons, with one model. Numpy only: neither xgboost nor a data frame in the path of a request.

An engine knows nothing of HTTP, of clients or of other models. An applicant's values stay in the encoded row: errors name fields, never
values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RegistryError, RiskfedError
from riskfed.evaluation.reasons import DECIMALS, MOST_REASONS, NO_REASON, adverse_reasons
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import LinearModel, ScorecardModel, ScoringModel, pd_of, read_model, scale_of
from riskfed.serving.engine.applicant import ApplicantForm
from riskfed.serving.engine.interface import Engine, ModelKind
from riskfed.serving.engine.model_files import ModelFiles
from riskfed.serving.engine.reason_texts import ReasonOverlay, ReasonTexts
from riskfed.serving.engine.score import Reason, Score, rounded_points

_ROWS_AT_ONCE: Final = 8_192
"""Rows whose contributions are held at once, 8 bytes for each feature."""


class ScoredRows(NamedTuple):
    """Scores of many rows as arrays.

    Attributes:
        margins: (n,) log-odds of default, float32 of trees, float64 of others.
        pd: (n,) of the same type.
        points: (n,) int32.
        reasons: (n, 4) int16 positions of features in the schema, -1 behind the last reason.
        points_lost: (n, 4) float64, not rounded; 0 behind the last reason.
    """

    margins: NDArray[np.floating]
    pd: NDArray[np.floating]
    points: NDArray[np.int32]
    reasons: NDArray[np.int16]
    points_lost: NDArray[np.float64]


class ScoringEngine(Engine):
    """One model, ready to score. Immutable, so that a newer one can take its place between two requests, and threads can share it.

    Attributes:
        model: which one it is.
        sha256: of its JSON, hex.
        schema: of an applicant.
        form: the schema as a form that checks and encodes.
        scale: of the points.
        texts: of the reasons.
        kind: what the model is.
        predictions: the model below, for its card and for what would change a score.
    """

    def __init__(self, files: ModelFiles, scale: ScoreScale | None = None, texts: ReasonOverlay | None = None) -> None:
        """Read a model.

        Args:
            files: model and schema.
            scale: of the points; None: the model's own, else `ScoreScale`'s defaults.
            texts: laid over the schema's texts of reasons.

        Raises:
            RegistryError: the files are no model, model and schema do not belong together, or the texts are for other features.
        """
        self.model, self.sha256, self.schema = files.reference, files.sha256, files.schema
        self.form = ApplicantForm(files.schema)
        try:
            self.predictions = read_model(files.model, files.schema)
            self.scale = scale or scale_of(files.model) or ScoreScale()
            self.texts = ReasonTexts(files.schema, texts)
        except RiskfedError as error:
            raise RegistryError(f"model {files.reference}: {error}") from None
        self.kind = _kind(self.predictions)
        self._named = list(zip(self.schema.reason_codes, (feature.name for feature in self.schema.features)))
        self._factor, self._offset = self.scale.factor, self.scale.offset

    def encode(self, applicant: Mapping[str, Any]) -> NDArray[np.float32]:
        """(1, len(schema.columns)) float32 row of an applicant, NaN where missing.

        Raises:
            ApplicantError: the applicant does not meet the schema.
        """
        return self.form.encode(applicant)

    def score(self, applicant: Mapping[str, Any]) -> Score:
        """Score one applicant.

        Raises:
            ApplicantError: the applicant does not meet the schema.
        """
        return self.score_row(self.form.encode(applicant))

    def score_row(self, row: NDArray[np.float32]) -> Score:
        """Score one (1, len(schema.columns)) encoded row: to the last bit as it is scored among others."""
        margin, shares = self.predictions.explain(row[0])
        # The margin is logit(PD) before rounding to a PD: it keeps the points exact where the PD rounds to 0 or 1.
        exact = float(margin)
        points = min(max(self._offset - self._factor * exact, self.scale.minimum), self.scale.maximum)
        pd = float(pd_of(margin.reshape(1))[0])
        return Score(pd, round(points), exact, self._reasons(shares.round(DECIMALS).tolist(), shares))

    def score_rows(self, matrix: NDArray[np.float32]) -> list[Score]:
        """Score (n, len(schema.columns)) encoded rows, each as `score_row` would."""
        rows = self.score_matrix(matrix)
        return [
            Score(pd, points, margin, self._listed(positions, lost))
            for pd, points, margin, positions, lost in zip(
                rows.pd.tolist(),
                rows.points.tolist(),
                rows.margins.tolist(),
                rows.reasons.tolist(),
                rows.points_lost.tolist(),
                strict=True,
            )
        ]

    def score_matrix(self, matrix: NDArray[np.float32]) -> ScoredRows:
        """Score (n, len(schema.columns)) encoded rows into arrays: what `score_rows` gives, without an object for each."""
        margins = self.predictions.margins(matrix)
        reasons = np.empty((len(matrix), MOST_REASONS), dtype=np.int16)
        lost = np.empty(reasons.shape)
        for start in range(0, len(matrix), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            shares = self.predictions.reason_contributions(matrix[rows])
            reasons[rows] = adverse_reasons(shares)
            stated = np.take_along_axis(shares, np.maximum(reasons[rows], 0).astype(np.intp), axis=1)
            lost[rows] = np.where(reasons[rows] == NO_REASON, 0.0, stated * self._factor)
        return ScoredRows(margins, pd_of(margins), self.scale.points_of_log_odds(margins), reasons, lost)

    async def answer(
        self,
        applicant: Mapping[str, Any],
        customer_id: str | None,  # noqa: ARG002
        deadline: float,  # noqa: ARG002
    ) -> tuple[NDArray[np.float32], Score]:
        """What the service calls for a request: encoded row and score.

        A model of one organisation needs nobody else and answers at once; `riskfed.serving.engine.joint` asks a partner.

        Args:
            applicant: field -> value.
            customer_id: by which a partner knows the applicant.
            deadline: seconds that a partner may take.

        Raises:
            ApplicantError: the applicant does not meet the schema.
        """
        row = self.form.encode(applicant)
        return row, self.score_row(row)

    def check(self) -> None:
        """Score the schema's example and a row with everything missing, alone and together.

        Raises:
            RegistryError: the model cannot score, does not give a probability, or does not score a row alone as among others.
        """
        try:
            example = self.form.encode(self.form.example())
            rows = np.concatenate([example, np.full(example.shape, np.nan, dtype=np.float32)])
            with np.errstate(over="ignore"):  # leaves that add up to more than float32 holds are found below
                scores = [self.score_row(rows[:1]), self.score_row(rows[1:])]
                again = self.score_rows(rows)
        except (RiskfedError, ArithmeticError, LookupError, ValueError) as error:
            raise RegistryError(
                f"model {self.model} cannot score ({type(error).__name__}); register a sound one"
            ) from None
        if not all(0.0 <= score.pd <= 1.0 and math.isfinite(score.margin) for score in scores):
            raise RegistryError(f"model {self.model} gives no probability; register a sound one")
        if scores != again:
            raise RegistryError(
                f"model {self.model} scores a row alone otherwise than among others; report this defect"
            )

    def _reasons(self, rounded: list[float], shares: NDArray[np.float64]) -> tuple[Reason, ...]:
        """The adverse reasons of one row, ranked as `adverse_reasons` does: by rounded share, then in the schema's order."""
        adverse = [position for position, share in enumerate(rounded) if share > 0]
        adverse.sort(key=lambda position: -rounded[position])  # a stable sort
        stated = adverse[:MOST_REASONS]
        return self._listed(stated, [float(shares[position]) * self._factor for position in stated])

    def _listed(self, positions: list[int], lost: list[float]) -> tuple[Reason, ...]:
        return tuple(
            Reason(*self._named[position], rank, rounded_points(points))
            for rank, (position, points) in enumerate(zip(positions, lost), 1)
            if position != NO_REASON
        )


def _kind(model: ScoringModel) -> ModelKind:
    match model:
        case ScorecardModel():
            return "scorecard"
        case LinearModel():
            return "logistic"
        case _:
            return "xgboost"
