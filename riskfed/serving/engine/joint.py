"""Scoring with a partner: a model over one's own columns and what another organisation knows of the same customer.

The partner is asked during the request, and a request has little time. So there is a deadline, and a second model over the own columns
alone: where the partner's part is missing, that one answers, and the score says why (`Score.fallback`).

Who learns what. The partner learns the customer's id, which model asks, and when; never a field, the score or whether its answer came in
time. The label holder learns of this customer, from a model of trees, the partner's split decisions: zeros and ones, neither values nor
thresholds; from a linear model, the partner's partial score: one number, no single term of it. An id goes to the partner only, and stands
in no log and no error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RegistryError, RiskfedError
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.score import Score

_log = logging.getLogger("riskfed.serving")


class PartnerError(RiskfedError):
    """The partner did not answer, or refused; its operator must act. Holds no customer's id."""


class UnknownCustomerError(PartnerError):
    """The partner does not know the customer."""


class Partner(Protocol):
    """The organisation that holds the other columns."""

    async def columns(self, model_sha256: str, customer_id: str) -> NDArray[np.float32]:
        """The partner's part of a customer's row.

        Args:
            model_sha256: of the joint model, hex: which splits are meant.
            customer_id: by which both know the customer.

        Returns:
            (k,) float32 for the partner's columns in the joint model: 0 or 1 where they are levels, finite where they are scores.

        Raises:
            UnknownCustomerError: the partner does not know the customer.
            PartnerError: there is no answer.
        """
        ...


class JointEngine(Engine):
    """A joint model with its fallback, to be used where a `ScoringEngine` is.

    Attributes:
        model, sha256, kind, texts: of the joint model. In its schema the partner's columns stand behind the own ones: the levels of one
            one-hot feature, or a numeric one. That makes one reason, which tells an applicant whose information it was, not which.
        schema, form, predictions: of the own model, by which an applicant is encoded and values are tried.
        scale: of both.
    """

    def __init__(self, joint: ScoringEngine, own: ScoringEngine, partner: Partner) -> None:
        """Put the models together.

        Raises:
            RegistryError: the joint model's schema does not begin with the own model's features, or they have different scales.
        """
        n_own = len(own.schema.features)
        if joint.schema.features[:n_own] != own.schema.features or len(joint.schema.features) == n_own:
            raise RegistryError(
                f"joint model {joint.model} does not have the features of its fallback {own.model} first and the partner's behind them; "
                "register both with schemas that agree"
            )
        if joint.scale != own.scale:
            raise RegistryError(f"models {joint.model} and {own.model} have different scales of points; configure one")
        self.model, self.sha256, self.kind = joint.model, joint.sha256, joint.kind
        self.schema, self.form, self.predictions = own.schema, own.form, own.predictions
        self.scale, self.texts = joint.scale, joint.texts
        self._joint, self._own, self._partner = joint, own, partner
        theirs = joint.schema.features[n_own:]
        self._are_levels = np.array([bool(feature.levels) for feature in theirs for _ in feature.columns])

    def encode(self, applicant: Mapping[str, Any]) -> NDArray[np.float32]:
        """As `ScoringEngine.encode`: the own columns."""
        return self._own.encode(applicant)

    def score(self, applicant: Mapping[str, Any]) -> Score:
        """As `ScoringEngine.score`: without a customer to ask for, by the fallback."""
        return self.score_row(self._own.encode(applicant))

    def score_row(self, row: NDArray[np.float32]) -> Score:
        """As `ScoringEngine.score_row`, of the own columns: by the fallback."""
        return replace(self._own.score_row(row), fallback="no_customer")

    def score_rows(self, matrix: NDArray[np.float32]) -> list[Score]:
        """As `ScoringEngine.score_rows`, of the own columns: by the fallback."""
        return [replace(score, fallback="no_customer") for score in self._own.score_rows(matrix)]

    async def answer(
        self, applicant: Mapping[str, Any], customer_id: str | None, deadline: float
    ) -> tuple[NDArray[np.float32], Score]:
        """Score one applicant with the partner's part, or after ``deadline`` seconds without it.

        The applicant is checked first: of one that does not meet the schema the partner hears nothing.

        Returns:
            (1, own columns) encoded row, and the score.

        Raises:
            ApplicantError: the applicant does not meet the schema.
        """
        row = self._own.encode(applicant)
        found = await self._ask(customer_id, deadline) if customer_id is not None else "no_customer"
        if isinstance(found, str):
            return row, replace(self._own.score_row(row), fallback=found)
        return row, self._joint.score_row(np.concatenate([row, found[None]], axis=1))

    def check(self) -> None:
        """As `ScoringEngine.check`, of both models; the partner is not asked."""
        self._joint.check()
        self._own.check()

    async def _ask(self, customer_id: str, deadline: float) -> NDArray[np.float32] | str:
        """The partner's columns, or why there are none."""
        # A task of its own and not asyncio.timeout: the deadline holds even if the partner's client is slow to give up when cancelled.
        asked = asyncio.ensure_future(self._partner.columns(self.sha256, customer_id))
        try:
            done, _ = await asyncio.wait({asked}, timeout=deadline)
        finally:
            # Late, or the request itself was given up: nobody waits any more, and what still comes is thrown away.
            asked.cancel()
            asked.add_done_callback(_forget)
        if not done:
            return "deadline"
        try:
            columns = asked.result()
        except UnknownCustomerError:
            return "unknown_customer"
        except (Exception, asyncio.CancelledError) as error:
            # Whatever the partner's client raises: the applicant is scored. The type says enough, and the text might hold the id.
            _log.warning("the partner of model %s gave no answer (%s)", self.model, type(error).__name__)
            return "partner_unavailable"
        if not _are_answers(columns, self._are_levels):
            expected = len(self._are_levels)
            _log.warning(
                "the partner of model %s gave something else than %d decisions or scores", self.model, expected
            )
            return "partner_unavailable"
        return columns


def _are_answers(columns: object, are_levels: NDArray[np.bool_]) -> bool:
    """Whether a partner's columns are zeros and ones where they are levels, and finite numbers elsewhere."""
    return (
        isinstance(columns, np.ndarray)
        and columns.dtype == np.float32
        and columns.shape == are_levels.shape
        and bool(np.where(are_levels, (columns == 0) | (columns == 1), np.isfinite(columns)).all())
    )


def _forget(asked: asyncio.Future[NDArray[np.float32]]) -> None:
    """Take a late error, so that asyncio does not report it as one that nobody looked at."""
    if not asked.cancelled():
        asked.exception()
