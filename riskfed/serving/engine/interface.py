"""What the service asks of an engine, whatever models and organisations are behind it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel
from riskfed.serving.engine.applicant import ApplicantForm
from riskfed.serving.engine.model_files import ModelReference
from riskfed.serving.engine.reason_texts import ReasonTexts
from riskfed.serving.engine.score import Score

ModelKind = Literal["xgboost", "scorecard", "logistic"]
"""What a model is: trees, a scorecard, or a linear model in parts."""


class Engine(Protocol):
    """`ScoringEngine`, a model of one organisation, or `JointEngine`, a model that a partner has a part in."""

    model: ModelReference
    sha256: str
    schema: Schema
    form: ApplicantForm
    scale: ScoreScale
    texts: ReasonTexts
    kind: ModelKind
    predictions: ScoringModel

    def under(self, reference: ModelReference) -> Self:
        """The same model under another reference: a former champion, for one, has lost its alias."""
        renamed = copy(self)
        renamed.model = reference
        return renamed

    def encode(self, applicant: Mapping[str, Any]) -> NDArray[np.float32]:
        """See `ScoringEngine.encode`."""
        ...

    def score(self, applicant: Mapping[str, Any]) -> Score:
        """See `ScoringEngine.score`."""
        ...

    def score_row(self, row: NDArray[np.float32]) -> Score:
        """See `ScoringEngine.score_row`."""
        ...

    def score_rows(self, matrix: NDArray[np.float32]) -> list[Score]:
        """See `ScoringEngine.score_rows`."""
        ...

    async def answer(
        self, applicant: Mapping[str, Any], customer_id: str | None, deadline: float
    ) -> tuple[NDArray[np.float32], Score]:
        """See `ScoringEngine.answer`: what a request calls, and where a partner may be asked."""
        ...

    def check(self) -> None:
        """See `ScoringEngine.check`."""
        ...
