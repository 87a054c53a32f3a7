"""The verdict on a release: its evaluation, and a scorecard's own figures, against limits."""

from __future__ import annotations

from riskfed.evaluation.limits import Limits, ScorecardFigures, Verdict, judge
from riskfed.linear_model import VerticalLogisticModel, is_vertical_logistic
from riskfed.protocols.release import ModelRelease
from riskfed.scorecard.card import Scorecard
from riskfed.scoring import is_scorecard


def judge_release(release: ModelRelease, limits: Limits | None = None) -> Verdict | None:
    """Hold a release against limits, the common ones where none are given; None where nothing was measured.

    Raises:
        RegistryError: a damaged scorecard.
    """
    if release.evaluation is None:
        return None
    card = scorecard_of(release)
    return judge(release.evaluation, limits or Limits(), None if card is None else scorecard_figures(card))


def scorecard_of(release: ModelRelease) -> Scorecard | None:
    """The released scorecard; None where the model is another one, or was withheld.

    Raises:
        RegistryError: a damaged scorecard.
    """
    return Scorecard.from_bytes(release.model) if is_scorecard(release.model) else None


def linear_model_of(release: ModelRelease) -> VerticalLogisticModel | None:
    """The label holder's part of a released linear model; None where the model is another one, or was withheld.

    Raises:
        RegistryError: a damaged one.
    """
    return VerticalLogisticModel.from_bytes(release.model) if is_vertical_logistic(release.model) else None


def scorecard_figures(card: Scorecard) -> ScorecardFigures:
    """The worst VIF and p-value of a scorecard's variables."""
    vifs = [(variable.vif, variable.feature) for variable in card.variables if variable.vif is not None]
    ps = [(variable.p_value, variable.feature) for variable in card.variables]
    vif, p_value = max(vifs, default=None), max(ps, default=None)
    return ScorecardFigures(
        vif=None if vif is None else (vif[1], vif[0]), p_value=None if p_value is None else (p_value[1], p_value[0])
    )
