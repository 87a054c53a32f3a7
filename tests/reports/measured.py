"""A whole evaluation by plain pooled computation, for the report's tests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from riskfed.evaluation.record import (
    Calibration,
    Discrimination,
    Evaluation,
    Grade,
    Group,
    Interval,
    Population,
    Reason,
    ScoreCell,
    Shift,
    ShiftBin,
    SwapSet,
    Vintage,
)
from riskfed.schema import Schema
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.points import ScoreScale

_RATE = 0.8


def measured(
    schema: Schema,
    scale: ScoreScale,
    frames: tuple[pd.DataFrame, pd.DataFrame],
    pds: tuple[np.ndarray, np.ndarray],
    reasons: tuple[Sequence[str], np.ndarray],
    champion: np.ndarray | None,
    bins: Mapping[str, FeatureBins],
) -> Evaluation:
    """Measure PDs of development and held-out loans."""
    development, held_out = frames
    y, before = schema.labels(held_out).astype(int), schema.labels(development).astype(int)
    points = [scale.points(pd_) for pd_ in pds]
    cohort = schema.cohort
    is_recent = held_out["vintage"].isin(cohort.recent).to_numpy() if cohort else np.ones(len(y), dtype=bool)
    grades = _grades(points, pds[1], y, is_recent)
    cutoff = int(np.quantile(points[1], 1 - _RATE))
    auc = _auc(y, pds[1])
    shares = np.array([grade.goods + grade.bads for grade in grades]) / len(y)
    return Evaluation(
        population=_population(schema, y, before),
        discrimination=Discrimination(auc=auc, gini=_gini(auc), **_ks(points[1], y)),
        calibration=_calibration(pds[1], y, grades),
        cutoff=cutoff,
        approval_rate=float((points[1] >= cutoff).mean()),
        grades=grades,
        cells=_cells(pds[1], y),
        score_shift=_shift("score", [(f"{g.low} – {g.high}", g.development, g.recent) for g in grades]),
        features=tuple(
            _feature_shift(schema, name, each, development, held_out[is_recent]) for name, each in bins.items()
        ),
        concentration=float((shares**2).sum()),
        groups=tuple(_groups(schema, held_out, pds[1], points[1], y, cutoff)),
        swap=None if champion is None else _swap(pds[1], champion, y),
        vintages=tuple(_vintages(schema, held_out, y)),
        reasons=_reasons(*reasons),
        least_cell=20,
        left_out=3,
    )


def _population(schema: Schema, y: np.ndarray, before: np.ndarray) -> Population:
    return Population(
        rows=len(y),
        defaults=int(y.sum()),
        development_rows=len(before),
        development_defaults=int(before.sum()),
        banks=5,
        recent=schema.cohort.recent if schema.cohort else (),
    )


def _auc(y: np.ndarray, pd_: np.ndarray) -> Interval:
    value = float(roc_auc_score(y, pd_))
    ranks, bad, good = stats.rankdata(pd_), int(y.sum()), int((1 - y).sum())
    of_bads = (ranks[y == 1] - stats.rankdata(pd_[y == 1])) / good
    of_goods = 1 - (ranks[y == 0] - stats.rankdata(pd_[y == 0])) / bad
    error = float(np.sqrt(of_bads.var(ddof=1) / bad + of_goods.var(ddof=1) / good))
    return _interval(value, error)


def _interval(value: float, error: float) -> Interval:
    return Interval(value=value, standard_error=error, low=value - 1.96 * error, high=value + 1.96 * error)


def _gini(auc: Interval) -> Interval:
    return _interval(2 * auc.value - 1, 2 * (auc.standard_error or 0))


def _ks(points: np.ndarray, y: np.ndarray) -> dict[str, float]:
    steps = np.arange(300, 851)
    good, bad = (
        np.searchsorted(np.sort(points[y == kind]), steps, side="right") / (y == kind).sum() for kind in (0, 1)
    )
    at = int(np.argmax(bad - good))
    return {"ks": float((bad - good)[at]), "ks_points": int(steps[at])}


def _calibration(pd_: np.ndarray, y: np.ndarray, grades: Sequence[Grade]) -> Calibration:
    margin = np.log(pd_ / (1 - pd_))
    slope = sm.Logit(y, sm.add_constant(margin)).fit(disp=0)
    level = sm.GLM(y, np.ones(len(y)), family=sm.families.Binomial(), offset=margin).fit()
    loans = np.array([grade.goods + grade.bads for grade in grades])
    bads, mean = np.array([grade.bads for grade in grades]), np.array([grade.mean_pd for grade in grades])
    statistic = float(((bads - loans * mean) ** 2 / (loans * mean * (1 - mean))).sum())
    return Calibration(
        intercept=_interval(float(level.params[0]), float(level.bse[0])),
        slope=_interval(float(slope.params[1]), float(slope.bse[1])),
        mean_pd=float(pd_.mean()),
        default_rate=float(y.mean()),
        brier=float(brier_score_loss(y, pd_)),
        log_loss=float(log_loss(y, pd_)),
        hosmer_lemeshow=statistic,
        hosmer_lemeshow_p=float(stats.chi2.sf(statistic, len(grades))),
    )


def _grades(points: Sequence[np.ndarray], pd_: np.ndarray, y: np.ndarray, recent: np.ndarray) -> tuple[Grade, ...]:
    edges = [300, *np.unique(np.quantile(points[0], np.arange(0.1, 1, 0.1)).astype(int)), 851]
    found = []
    for low, high in itertools.pairwise(edges):
        within = (points[1] >= low) & (points[1] < high)
        n, d, mean = int(within.sum()), int(y[within].sum()), float(pd_[within].mean())
        found.append(
            Grade(
                low=int(low),
                high=int(high) - 1,
                goods=n - d,
                bads=d,
                mean_pd=mean,
                jeffreys_p=float(stats.beta.cdf(mean, d + 0.5, n - d + 0.5)),
                development=int(((points[0] >= low) & (points[0] < high)).sum()),
                recent=int((within & recent).sum()),
            )
        )
    return tuple(found)


def _cells(pd_: np.ndarray, y: np.ndarray) -> tuple[ScoreCell, ...]:
    order = np.argsort(pd_, kind="stable")
    parts = np.array_split(order, 80)
    return tuple(
        ScoreCell(upper=float(pd_[part[-1]]), goods=int((1 - y[part]).sum()), bads=int(y[part].sum())) for part in parts
    )


def _shift(name: str, bins: Sequence[tuple[str, int, int]]) -> Shift:
    p, q = (np.maximum(np.array([row[at] for row in bins], dtype=float), 0.5) for at in (1, 2))
    index = float(((q / q.sum() - p / p.sum()) * np.log((q / q.sum()) / (p / p.sum()))).sum())
    noise = (len(bins) - 1) * (1 / p.sum() + 1 / q.sum())
    return Shift(
        name=name, index=index, noise=noise, bins=tuple(ShiftBin(label=t, expected=e, actual=a) for t, e, a in bins)
    )


def _feature_shift(schema: Schema, name: str, bins: FeatureBins, old: pd.DataFrame, new: pd.DataFrame) -> Shift:
    feature = next(each for each in schema.features if each.name == name)
    counts = []
    for frame in (old, new):
        matrix = schema.encode(frame)
        counts.append(np.bincount(bins.codes(lambda at, m=matrix: m[:, at]), minlength=len(bins)).tolist())
    rows = [row for row in zip(bins.labels(feature), *counts, strict=True) if row[1] + row[2]]
    return _shift(name, rows)


def _groups(
    schema: Schema, frame: pd.DataFrame, pd_: np.ndarray, points: np.ndarray, y: np.ndarray, cutoff: int
) -> list[Group]:
    found = []
    for attribute in schema.attributes:
        codes = attribute.codes(attribute.encode(frame[attribute.name])[:, 0])
        known = codes == attribute.reference
        for number, level in enumerate(attribute.groups):
            within = codes == number
            if within.sum() < 20:
                continue
            extra = {}
            if attribute.role == "protected":
                spread = float(np.sqrt((points[within].var(ddof=1) + points[known].var(ddof=1)) / 2))
                air = float((points[within] >= cutoff).mean() / (points[known] >= cutoff).mean())
                extra = {"air": air, "smd": float(points[within].mean() - points[known].mean()) / spread}
            found.append(
                Group(
                    attribute=attribute.name,
                    role=attribute.role,
                    level=level,
                    rows=int(within.sum()),
                    defaults=int(y[within].sum()),
                    approved=int((points[within] >= cutoff).sum()),
                    mean_pd=float(pd_[within].mean()),
                    mean_points=float(points[within].mean()),
                    auc=float(roc_auc_score(y[within], pd_[within])) if y[within].sum() >= 20 else None,
                    **extra,
                )
            )
    return found


def _swap(model: np.ndarray, champion: np.ndarray, y: np.ndarray) -> SwapSet:
    new, old = (pd_ <= np.quantile(pd_, _RATE) for pd_ in (model, champion))
    lots = {"both": new & old, "in": new & ~old, "out": ~new & old, "neither": ~new & ~old}
    counts = {
        f"{name}_{kind}": int((y[lot] == code).sum())
        for name, lot in lots.items()
        for kind, code in (("goods", 0), ("bads", 1))
    }
    own, other = _auc(y, model), _auc(y, champion)
    difference = _interval(own.value - other.value, 0.3 * (own.standard_error or 0))
    return SwapSet(
        champion_sha256="5f" * 32, approval_rate=_RATE, champion_auc=other.value, auc_difference=difference, **counts
    )


def _vintages(schema: Schema, frame: pd.DataFrame, y: np.ndarray) -> list[Vintage]:
    if schema.cohort is None:
        return []
    codes = frame["vintage"].to_numpy()
    lots = [(cohort, codes == cohort) for cohort in schema.cohort.levels]
    return [
        Vintage(cohort=str(cohort), rows=int(lot.sum()), defaults=int(y[lot].sum()))
        for cohort, lot in lots
        if lot.sum() >= 20
    ]


def _reasons(names: Sequence[str], contributions: np.ndarray) -> tuple[Reason, ...]:
    order = np.argsort(-contributions, axis=1)[:, :4]
    adverse = np.take_along_axis(contributions, order, axis=1) > 0
    return tuple(
        Reason(
            feature=name,
            first=float(((order[:, 0] == number) & adverse[:, 0]).mean()),
            among_four=float(((order == number) & adverse).any(axis=1).mean()),
        )
        for number, name in enumerate(names)
    )
