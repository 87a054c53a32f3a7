"""Put a scorecard together from its bins and its regression: coefficients become points.

With points = offset - factor * log-odds (`riskfed.scorecard.points`) and log-odds = intercept + sum of coefficient * WoE, each bin
gets ``-factor * coefficient * WoE`` points and everyone begins with ``offset - factor * intercept`` (Siddiqi 2006, ch. 6). All of it is
arithmetic on figures that are equal at every bank, in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from riskfed.jobs import HorizontalScorecard
from riskfed.protocols.regression.variable_selection import Selection
from riskfed.schema import Feature, Schema
from riskfed.scorecard.card import Candidate, CardBin, CardVariable, Fit, Scorecard, SelectionStep
from riskfed.scorecard.points import ScoreScale
from riskfed.scorecard.woe import BinnedFeature


def points_card(
    schema: Schema,
    job: HorizontalScorecard,
    binned: Sequence[BinnedFeature],
    entering: Sequence[BinnedFeature],
    selection: Selection,
) -> Scorecard:
    """The whole card.

    Args:
        schema, job: the consortium's; the job gives the scale.
        binned: all features that were looked at, in the schema's order.
        entering: those of them that are columns of the regression, in that order.
        selection: of these columns.
    """
    features = {feature.name: feature for feature in schema.features}
    looked_at = {one.bins.feature: one for one in binned}
    scale, fit = ScoreScale(job.base_score, job.base_odds, job.pdo), selection.fit
    exact_base = scale.offset - scale.factor * fit.coefficients[0]
    columns = {entering[column].bins.feature: place for place, column in enumerate(fit.columns)}
    weights = {name: fit.coefficients[place + 1] for name, place in columns.items()}
    left_out = _left_out(binned, entering, selection, job.min_iv)
    return Scorecard(
        columns=schema.columns,
        base_score=job.base_score,
        base_odds=job.base_odds,
        pdo=job.pdo,
        base_points=round(exact_base),
        exact_base_points=exact_base,
        variables=tuple(
            _variable(looked_at[name], features[name], selection, place, scale) for name, place in columns.items()
        ),
        candidates=tuple(
            _candidate(one, features[name], scale.factor * weights.get(name, 0.0), left_out.get(name, ""))
            for name, one in looked_at.items()
        ),
        selection=_steps(selection, entering),
        fit=_fit(selection, job),
    )


def _variable(
    one: BinnedFeature, feature: Feature, selection: Selection, place: int, scale: ScoreScale
) -> CardVariable:
    fit, vif = selection.fit, selection.vifs[place]
    coefficient = fit.coefficients[place + 1]
    return CardVariable(
        feature=one.bins.feature,
        columns=one.bins.columns,
        edges=one.bins.edges,
        groups=one.bins.groups,
        special=one.bins.special,
        bins=_bins(one, feature, scale.factor * coefficient),
        iv=one.iv,
        coefficient=coefficient,
        standard_error=fit.standard_errors[place + 1],
        wald_z=fit.wald_z[place + 1],
        p_value=fit.p_values[place + 1],
        vif=vif if math.isfinite(vif) else None,
        mean_woe=one.mean_woe,
    )


def _candidate(one: BinnedFeature, feature: Feature, points_per_woe: float, left_out: str) -> Candidate:
    return Candidate(feature=feature.name, iv=one.iv, bins=_bins(one, feature, points_per_woe), left_out=left_out)


def _steps(selection: Selection, entering: Sequence[BinnedFeature]) -> tuple[SelectionStep, ...]:
    """The steps with features by name."""
    return tuple(
        SelectionStep(
            action=step.action,
            feature=entering[step.column].bins.feature,
            statistic=step.statistic,
            p_value=step.p_value,
        )
        for step in selection.steps
    )


def _bins(one: BinnedFeature, feature: Feature, points_per_woe: float) -> tuple[CardBin, ...]:
    """Bins with their points; a WoE of 0 has 0 points, never -0."""
    rows = []
    for label, pair, woe in zip(one.bins.labels(feature), one.counts, one.woe, strict=True):
        goods, bads = (None, None) if pair is None else pair
        exact = 0.0 - points_per_woe * woe
        rows.append(CardBin(label=label, goods=goods, bads=bads, woe=woe, points=round(exact), exact_points=exact))
    return tuple(rows)


def _left_out(
    binned: Sequence[BinnedFeature], entering: Sequence[BinnedFeature], selection: Selection, min_iv: float
) -> dict[str, str]:
    """Why each feature that is not in the card is not."""
    names = [feature.bins.feature for feature in entering]
    reasons = {
        one.bins.feature: f"information value {one.iv:.4f} is under {min_iv:g}"
        if one.separates
        else "its bins do not differ"
        for one in binned
        if one.bins.feature not in names
    }
    for column, name in enumerate(names):
        if column not in selection.fit.columns:
            reasons[name] = "no step of the selection let it in"
    words = {"remove": "is not significant", "wrong sign": "its coefficient has the wrong sign"}
    for step in selection.steps:
        if step.action in words and step.column not in selection.fit.columns:
            reasons[names[step.column]] = f"{words[step.action]} (Wald p {step.p_value:.2g})"
    return reasons


def _fit(selection: Selection, job: HorizontalScorecard) -> Fit:
    fit = selection.fit
    return Fit(
        rows=fit.rows,
        defaults=fit.defaults,
        intercept=fit.coefficients[0],
        intercept_error=fit.standard_errors[0],
        log_likelihood=fit.log_likelihood,
        null_log_likelihood=fit.null_log_likelihood,
        aic=fit.aic,
        bic=fit.bic,
        iterations=fit.iterations,
        ridge=job.ridge,
        firth=job.firth,
    )
