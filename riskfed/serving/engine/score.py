"""A scored applicant, and why they have not scored better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One adverse reason; its text depends on the reader's language (`riskfed.serving.engine.reason_texts`).

    Attributes:
        code: see `Schema.reason_codes`.
        feature: its name.
        rank: from 1, the reason that costs most.
        points_lost: above 0; points on the model's scale against the average loan, rounded to 0.1, below that to one digit.
    """

    code: str
    feature: str
    rank: int
    points_lost: float


@dataclass(frozen=True, slots=True)
class Score:
    """A scored applicant.

    Attributes:
        pd: probability of default; of trees the float32 that XGBoost gives.
        points: on the model's scale, higher is better.
        margin: log-odds of default, before any rounding to a PD.
        reasons: at most four, adverse only.
        fallback: None, or why a partner's part is missing: "deadline", "unknown_customer", "partner_unavailable" or "no_customer".
    """

    pd: float
    points: int
    margin: float
    reasons: tuple[Reason, ...]
    fallback: str | None = None


def rounded_points(points: float) -> float:
    """Points of a reason as they are shown: to 0.1, and what that would make nothing to one digit, for a reason is above 0."""
    return round(points, 1) or float(f"{points:.0e}")
