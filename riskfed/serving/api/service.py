"""What the routes share, joined by whoever starts the service (`riskfed.serving.server`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riskfed.serving.access.gate import Gate
from riskfed.serving.api.metrics import ServiceMetrics
from riskfed.serving.api.problems import ProblemError
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.score import Score
from riskfed.serving.models.live import LiveModels, ModelChange, ServedVersion, UnknownVersionError
from riskfed.serving.models.shadow import Shadow
from riskfed.serving.partner import PartnerDirectory
from riskfed.serving.records.audit import AuditLog
from riskfed.serving.records.idempotency import IdempotencyStore


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a request may hold, and how long it may take to come.

    Attributes:
        single: bytes of a request about one applicant, and of one line of a stream.
        batch: bytes of an array of applicants, and of an inference request.
        applicants: entries of such a request.
        seconds: within which a body must have come.
        idle_seconds: for which a stream may be silent, and its reader may not read.
    """

    single: int = 64 << 10
    batch: int = 8 << 20
    applicants: int = 10_000
    seconds: float = 10.0
    idle_seconds: float = 60.0


@dataclass(frozen=True)
class Service:
    """The service's parts.

    Attributes:
        live: the models.
        gate: who is let in.
        audit: the log of what left; None where the operator wants none.
        idempotency: answers kept for retries; None: requests with an Idempotency-Key are refused.
        shadow: scores for the challenger; None where there is none.
        limits: on bodies.
        metrics: of this process.
        joint_deadline: seconds that a partner's part of a score may take.
        partners: who may be asked; None where there is nobody.
    """

    live: LiveModels
    gate: Gate
    audit: AuditLog | None = None
    idempotency: IdempotencyStore | None = None
    shadow: Shadow | None = None
    limits: BodyLimits = field(default_factory=BodyLimits)
    metrics: ServiceMetrics = field(default_factory=ServiceMetrics)
    joint_deadline: float = 0.2
    partners: PartnerDirectory | None = None

    def engine(self, version: str | None = None) -> Engine:
        """The engine of a version, by default the champion's.

        Raises:
            ProblemError: 503 where no model is loaded yet; 404 where that version is not served.
        """
        champion = self.live.champion
        if version is None and champion is not None:
            return champion
        return self.served(version).engine

    def served(self, version: str | None = None) -> ServedVersion:
        """A version with its files, by default the champion's; raises as `engine`."""
        try:
            return self.live.version(version)
        except UnknownVersionError as error:
            if not error.served:
                raise ProblemError(503, "No model is loaded yet.", headers={"Retry-After": "15"}) from None
            # The version that was asked for is the client's text, so only those that there are get named.
            named = ", ".join(error.served)
            raise ProblemError(
                404, f"That version is not served; these are: {named}.", kind="version-not-served"
            ) from None

    def scored(self, engine: Engine, scores: Sequence[tuple[str, NDArray[np.float32], Score]]) -> None:
        """Count scores, and let the challenger score the same applicants where it was the champion that did.

        Args:
            engine: that scored.
            scores: for each applicant the request id, the (1, k) encoded row and the score.
        """
        self.metrics.scored(engine.model.name, engine.model.version, len(scores))
        shadow = self.shadow if engine is self.live.champion else None
        for request_id, row, score in scores:
            if score.fallback is not None:
                self.metrics.fallbacks.labels(score.fallback).inc()
            if shadow is not None:
                shadow.offer(row, request_id, score)

    def record(self, event: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write audit lines.

        Raises:
            AuditError: they could not be written; what they tell must not leave.
        """
        if self.audit is not None:
            self.audit.record_many(event, entries)
            self.metrics.audit_lines.inc(len(entries))


def change_recorder(audit: AuditLog | None, metrics: ServiceMetrics) -> Callable[[ModelChange], None]:
    """What `LiveModels` calls when a model changes: an audit line, and a count."""

    def record(change: ModelChange) -> None:
        metrics.model_changes.labels(change.kind).inc()
        if audit is None:
            return
        replaced = str(change.replaced) if change.replaced is not None else None
        reference = change.reference
        audit.record(
            "model",
            kind=change.kind,
            model=reference.name,
            version=reference.version,
            alias=reference.alias,
            sha256=change.sha256,
            replaced=replaced,
            reason=change.reason,
        )

    return record
