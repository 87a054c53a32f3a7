"""What a model must keep to: limits, and the verdict on an evaluation against them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from riskfed.errors import ConfigurationError
from riskfed.evaluation.record import Evaluation

Colour = Literal["green", "amber", "red"]
_WORSE: dict[Colour, int] = {"green": 0, "amber": 1, "red": 2}


class Limit(BaseModel):
    """One limit with two steps: beyond `amber` a figure is to be watched, beyond `red` the model fails. Either may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    amber: float | None = None
    red: float | None = None


class Limits(BaseModel):
    """Limits on a model; each has a default that is common in credit risk, and the job's file can set others.

    Attributes:
        auc, ks: least.
        auc_difference: least AUC over the champion's on the same loans, where there is a champion.
        calibration_slope: greatest distance of the slope from 1.
        calibration_gap: greatest distance of the mean PD from the observed default rate, as a share of the latter.
        psi, csi: greatest; the convention is 0.10 and 0.25.
        jeffreys_p: least probability of a grade's PD being high enough, times the number of grades (Bonferroni: of many grades, one is
            low by chance); below it, the grade's PDs are too low. No red: with many loans, any difference is significant.
        hhi: greatest concentration over the grades.
        air: least adverse impact ratio of a protected group.
        vif: greatest variance inflation factor of a scorecard's variable.
        p_value: greatest p of a scorecard's coefficient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auc: Limit = Limit(amber=0.70, red=0.60)
    ks: Limit = Limit(amber=0.30, red=0.20)
    auc_difference: Limit = Limit(amber=0.0)
    calibration_slope: Limit = Limit(amber=0.10, red=0.25)
    calibration_gap: Limit = Limit(amber=0.10, red=0.25)
    psi: Limit = Limit(amber=0.10, red=0.25)
    csi: Limit = Limit(amber=0.10, red=0.25)
    jeffreys_p: Limit = Limit(amber=0.05)
    hhi: Limit = Limit(amber=0.25, red=0.40)
    air: Limit = Limit(amber=0.80)
    vif: Limit = Limit(amber=5.0, red=10.0)
    p_value: Limit = Limit(amber=0.05)

    def __init__(self, **limits: object) -> None:
        try:
            super().__init__(**limits)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'acceptance'}: {e['msg']}" for e in found)
            raise ConfigurationError(f"limits: {reasons}; correct the run file's acceptance table") from None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in type(self).model_fields:
            limit: Limit = getattr(self, name)
            if limit.amber is None or limit.red is None:
                continue
            if (limit.amber < limit.red) == (name in _LEAST) and limit.amber != limit.red:
                raise ValueError(f"{name}: red must be {'below' if name in _LEAST else 'above'} amber")
        return self


_LEAST = frozenset({"auc", "ks", "auc_difference", "jeffreys_p", "air"})
"""Limits that a figure must not fall below; the others must not be exceeded."""


class Check(BaseModel):
    """One figure against its limit.

    Attributes:
        name: the limit.
        what: the figure in words.
        value: the figure; the worst one, where the limit is on several.
        limit: what it was held against.
        colour: green, amber or red.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    what: str
    value: float
    limit: Limit
    colour: Colour

    @property
    def is_least(self) -> bool:
        """Whether the figure must not fall below the limit; others must not exceed it."""
        return self.name in _LEAST


class Verdict(BaseModel):
    """All checks, and the worst colour among them."""

    model_config = ConfigDict(frozen=True)

    colour: Colour
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not green, the worst first."""
        bad = sorted((c for c in self.checks if c.colour != "green"), key=lambda check: -_WORSE[check.colour])
        return tuple(f"{check.colour}: {check.what} {check.value:.4g}" for check in bad)


def judge(evaluation: Evaluation, limits: Limits, fit: ScorecardFigures | None = None) -> Verdict:
    """Hold an evaluation against limits.

    Args:
        evaluation: of the model.
        limits: the job's.
        fit: a scorecard's own figures, where the model is one.
    """
    found = [*_ranking(evaluation), *_agreement(evaluation), *_stability(evaluation), *_treatment(evaluation)]
    if fit is not None:
        found += [("vif", f"greatest VIF ({fit.vif[0]})", fit.vif[1])] if fit.vif else []
        found += [("p_value", f"greatest p-value ({fit.p_value[0]})", fit.p_value[1])] if fit.p_value else []
    checks = tuple(_checked(name, what, value, getattr(limits, name)) for name, what, value in found)
    colour: Colour = max((check.colour for check in checks), key=_WORSE.__getitem__, default="green")
    return Verdict(colour=colour, checks=checks)


class ScorecardFigures(BaseModel):
    """The worst VIF and p-value of a scorecard, each with its variable; None where it has no variable."""

    model_config = ConfigDict(frozen=True)

    vif: tuple[str, float] | None
    p_value: tuple[str, float] | None


_Found = tuple[str, str, float]


def _checked(name: str, what: str, value: float, limit: Limit) -> Check:
    sign = -1.0 if name in _LEAST else 1.0

    def beyond(step: float | None) -> bool:
        return step is not None and sign * value > sign * step

    colour: Colour = "red" if beyond(limit.red) else "amber" if beyond(limit.amber) else "green"
    return Check(name=name, what=what, value=value, limit=limit, colour=colour)


def _ranking(evaluation: Evaluation) -> Iterator[_Found]:
    rank = evaluation.discrimination
    yield "auc", "AUC", rank.auc.value
    yield "ks", "KS", rank.ks
    if evaluation.swap is not None:
        yield "auc_difference", "AUC over the champion's", evaluation.swap.auc_difference.value


def _agreement(evaluation: Evaluation) -> Iterator[_Found]:
    fit = evaluation.calibration
    yield "calibration_slope", "distance of the calibration slope from 1", abs(fit.slope.value - 1)
    if fit.default_rate > 0:
        gap = abs(fit.mean_pd - fit.default_rate) / fit.default_rate
        yield "calibration_gap", "mean PD off the default rate by a share of", gap
    if evaluation.grades:
        least = min(grade.jeffreys_p for grade in evaluation.grades)
        yield "jeffreys_p", "least Jeffreys p of a grade, times grades", min(1.0, least * len(evaluation.grades))


def _stability(evaluation: Evaluation) -> Iterator[_Found]:
    if evaluation.score_shift.index is not None:
        yield "psi", "PSI of the score", evaluation.score_shift.index
    shifts = [(s.index, s.name) for s in evaluation.features if s.index is not None]
    if shifts:
        worst, name = max(shifts)
        yield "csi", f"greatest CSI ({name})", worst
    yield "hhi", "concentration over the grades (HHI)", evaluation.concentration


def _treatment(evaluation: Evaluation) -> Iterator[_Found]:
    ratios = [(g.air, f"{g.attribute} {g.level}") for g in evaluation.groups if g.air is not None]
    if ratios:
        least, name = min(ratios)
        yield "air", f"least adverse impact ratio ({name})", least
